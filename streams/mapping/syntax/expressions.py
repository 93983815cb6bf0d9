"""A mapping file as data: values, conditions, mappings, streams. Parsing builds it, compiling reads it.

Nodes are equal when they mean the same; their place in the text is kept beside them, for error messages.
"""

import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

from streams.mapping.kinds import FieldKind


class TextPosition(NamedTuple):
    """Line and column, both counted from 1."""

    line: int
    column: int


START = TextPosition(1, 1)


class MappingError(ValueError):
    """A mapping text or a set of mappings that cannot be used; the message names file, line and column."""

    def __init__(self, problem: str, *, file: str = "<text>", at: TextPosition = START, expected: str = "") -> None:
        self.problem = problem
        self.file = file
        self.line, self.column = at
        self.expected = expected
        """What was expected there, in words; empty when the problem names it."""
        hint = f"; expected {expected}" if expected else ""
        super().__init__(f"{file}:{self.line}:{self.column}: {problem}{hint}")


@dataclass(frozen=True, slots=True)
class Field:
    """A field of the message; with a dot, first the field of that very name, then a path."""

    name: str
    at: TextPosition = dataclasses.field(default=START, compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class Literal:
    """A text, a number, true or false."""

    value: str | int | float | bool
    at: TextPosition = dataclasses.field(default=START, compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class FunctionCall:
    """A function of values; `name` is in lower case."""

    name: str
    arguments: tuple["Expression", ...]
    at: TextPosition = dataclasses.field(default=START, compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class Compare:
    """`left operator right`; the operator is one of ==, !=, <, <=, >, >=, contains, like."""

    operator: str
    left: "Expression"
    right: "Expression"
    at: TextPosition = dataclasses.field(default=START, compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class In:
    """`value IN (items)`."""

    value: "Expression"
    items: tuple["Expression", ...]
    at: TextPosition = dataclasses.field(default=START, compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class Between:
    """`value BETWEEN low AND high`: greater than the one and less than the other."""

    value: "Expression"
    low: "Expression"
    high: "Expression"
    at: TextPosition = dataclasses.field(default=START, compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class Calculate:
    """`left operator right`; the operator is one of + - * / %."""

    operator: str
    left: "Expression"
    right: "Expression"
    at: TextPosition = dataclasses.field(default=START, compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class Exists:
    """`EXISTS value`: it has a value."""

    value: "Expression"
    at: TextPosition = dataclasses.field(default=START, compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class Not:
    """The opposite; of what cannot be evaluated, nothing."""

    condition: "Expression"
    at: TextPosition = dataclasses.field(default=START, compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class All:
    """`a AND b AND ...`."""

    conditions: tuple["Expression", ...]
    at: TextPosition = dataclasses.field(default=START, compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class Some:
    """`a OR b OR ...`."""

    conditions: tuple["Expression", ...]
    at: TextPosition = dataclasses.field(default=START, compare=False, repr=False)


Expression = Field | Literal | FunctionCall | Calculate | Compare | In | Between | Exists | Not | All | Some
Condition = Compare | In | Between | Exists | Not | All | Some


def children(node: Expression) -> tuple[Expression, ...]:
    """Return the direct operands and arguments of this expression."""
    match node:
        case Field() | Literal():
            return ()
        case FunctionCall():
            return node.arguments
        case Compare() | Calculate():
            return node.left, node.right
        case Between():
            return node.value, node.low, node.high
        case In():
            return node.value, *node.items
        case Exists():
            return (node.value,)
        case Not():
            return (node.condition,)
        case All() | Some():
            return node.conditions


def walk(node: Expression) -> Iterator[Expression]:
    """Yield the expression and everything in it."""
    yield node
    for child in children(node):
        yield from walk(child)


@dataclass(frozen=True, slots=True)
class Mapping:
    """One row of a mapping file: `expression [IF condition] AS field ...`."""

    expression: Expression
    field: str
    condition: Expression | None = None
    kind: FieldKind | None = None
    """None: the kind that the expression implies."""
    description: str = dataclasses.field(default="", compare=False)
    long_description: str = dataclasses.field(default="", compare=False)
    capacity: int | None = None
    keep_days: int | None = None
    at: TextPosition = dataclasses.field(default=START, compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class StreamMapping:
    """One mapping file: what the messages of one topic mean for a profile."""

    stream: str
    entity: str
    key: Expression
    mappings: tuple[Mapping, ...]
    where: Expression | None = None
    """Messages for which it is not true change nothing."""
    file: str = dataclasses.field(default="<text>", compare=False)
    at: TextPosition = dataclasses.field(default=START, compare=False, repr=False)


def spell(node: Expression) -> str:
    """Write an expression in its canonical form: what a mapping's version is computed from, and what tools show."""
    match node:
        case Field():
            return node.name if _is_bare(node.name) else f"`{node.name.replace('`', '``')}`"
        case Literal():
            return _spell_literal(node.value)
        case FunctionCall():
            return f"{node.name}({', '.join(map(spell, node.arguments))})"
        case Compare():
            operator = node.operator.upper() if node.operator.isalpha() else node.operator
            return f"{_operand(node.left)} {operator} {_operand(node.right)}"
        case Calculate():
            return f"{_operand(node.left)} {node.operator} {_operand(node.right)}"
        case Between():
            return f"{_operand(node.value)} BETWEEN {_operand(node.low)} AND {_operand(node.high)}"
        case In():
            return f"{_operand(node.value)} IN ({', '.join(map(spell, node.items))})"
        case Exists():
            return f"EXISTS {_operand(node.value)}"
        case Not():
            return f"NOT {_operand(node.condition)}"
        case All():
            return " AND ".join(map(_operand, node.conditions))
        case Some():
            return " OR ".join(map(_operand, node.conditions))


def _spell_literal(value: str | float | bool) -> str:
    if isinstance(value, str):
        return '"' + "".join(_ESCAPES.get(character, character) for character in value) + '"'
    return {True: "true", False: "false"}[value] if isinstance(value, bool) else repr(value)


_ESCAPES = {'"': '\\"', "\\": "\\\\", "\n": "\\n", "\r": "\\r", "\t": "\\t"}
_RESERVED = frozenset(
    ("select", "as", "if", "kind", "from", "into", "by", "where", "mergeop", "and", "or", "not", "in", "exists",
     "contains", "like", "between", "intersects", "true", "false")
)  # fmt: skip


def _is_bare(name: str) -> bool:
    return name.lower() not in _RESERVED and all(part.isidentifier() for part in name.split("."))


def _operand(node: Expression) -> str:
    return f"({spell(node)})" if isinstance(node, Condition | Calculate) else spell(node)
