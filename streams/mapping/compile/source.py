"""Python source for values and conditions: the compiler's lower half.

A `FunctionScope` writes statements and remembers which expression is already in which variable, so that every input is
read once and every value computed once. Values are None where there is no value.
"""

import re
from collections.abc import Iterator
from contextlib import contextmanager

from streams.mapping.conditions import spells_number
from streams.mapping.functions import FUNCTIONS, Yields
from streams.mapping.syntax.check import yields
from streams.mapping.syntax.expressions import (
    All,
    Compare,
    Condition,
    Exists,
    Expression,
    Field,
    FunctionCall,
    In,
    Literal,
    Not,
    Some,
    spell,
)

_COMPARE = {"==": "equal({}, {})", "!=": "not equal({}, {})", "contains": "contains({}, {})"}


class FunctionScope:
    """Lines of a function body, indented, and what their variables hold."""

    def __init__(self, *, attributes: bool = False) -> None:
        """`attributes`: a message's fields are an object's attributes, None where there is none; else a dict's keys."""
        self.lines: list[str] = []
        self.attributes = attributes
        self._depth = 1
        self._known: list[dict[str, str]] = [{}]
        self._names: set[str] = set()

    def add(self, line: str = "") -> None:
        """Write one line."""
        self.lines.append("    " * self._depth + line if line else "")

    @contextmanager
    def block(self, head: str) -> Iterator[None]:
        """Write an indented block; what is computed inside of it is not known behind it."""
        self.add(head)
        self._depth += 1
        self._known.append({})
        yield
        self._known.pop()
        self._depth -= 1

    def known(self, expression: Expression) -> str | None:
        """Return the variable that holds this expression here."""
        spelt = spell(expression)
        return next((names[spelt] for names in reversed(self._known) if spelt in names), None)

    def keep(self, expression: Expression, code: str, name: str) -> str:
        """Compute an expression into a variable of about this name; return the variable."""
        stem = re.sub(r"\W+", "_", name, flags=re.ASCII).strip("_") or "value"
        if not stem.isidentifier():
            stem = f"value_{stem}"
        variable, number = f"{stem}_", 1
        while variable in self._names:
            number += 1
            variable = f"{stem}_{number}_"
        self._names.add(variable)
        self.add(f"{variable} = {code}")
        self._known[-1][spell(expression)] = variable
        return variable


def one_line(text: str) -> str:
    """Return a mapping's text for a comment: whatever may end a line is escaped, so nothing of it is code."""
    return "".join(
        character if character.isprintable() else character.encode("unicode_escape", "backslashreplace").decode()
        for character in text
    )


def value(scope: FunctionScope, node: Expression) -> str:
    """Return Python source for a value: a variable or a constant. Whatever has to be computed is written before."""
    known = scope.known(node)
    if known is not None:
        return known
    match node:
        case Literal():
            return repr(node.value)
        case Field():
            if scope.attributes:
                return scope.keep(node, f"message.{node.name}", node.name)
            code = f"get({node.name!r})" if "." not in node.name else f"look_up(message, {node.name!r})"
            return scope.keep(node, code, node.name)
        case FunctionCall():
            return scope.keep(node, _call(scope, node), node.name)
        case _:
            raise AssertionError(f"{spell(node)} is refused by `check`")


def _call(scope: FunctionScope, node: FunctionCall) -> str:
    function = FUNCTIONS[node.name]
    called = "call_" + node.name.replace(".", "_")
    if not node.arguments:
        return "ms" if function.yields is Yields.MESSAGE_TIME else f"{called}_at(ms)"
    arguments = [
        date(scope, argument) if function.takes_date else value(scope, argument) for argument in node.arguments
    ]
    if function.takes_date:
        (argument,) = arguments
        return f"{called}({argument}) if {argument} is not None else None"
    return f"{called}({', '.join(arguments)})"


def date(scope: FunctionScope, node: Expression) -> str:
    """Return source for a value as an instant in milliseconds, None where it is none."""
    source, kind = value(scope, node), yields(node)
    if kind in (Yields.MESSAGE_TIME, Yields.INSTANT):
        return source
    name = "ms_to_date" if kind in (Yields.INT, Yields.NUMBER) else "to_date"
    return scope.keep(FunctionCall("as_date", (node,)), f"{name}({source})", "date")


def condition(scope: FunctionScope, node: Expression) -> str:
    """Return source for a condition: an expression that is True, False, or None where it cannot be evaluated."""
    match node:
        case All():
            parts = [condition(scope, part) for part in node.conditions]
            return f"({' and '.join(parts)})" if all(map(_decided, node.conditions)) else f"every({', '.join(parts)})"
        case Some():
            parts = [condition(scope, part) for part in node.conditions]
            return f"({' or '.join(parts)})" if all(map(_decided, node.conditions)) else f"any_of({', '.join(parts)})"
        case Not():
            inner = condition(scope, node.condition)
            return f"(not {inner})" if _decided(node.condition) else f"opposite({inner})"
        case Exists():
            inner = value(scope, node.value)
            return f"bool({inner} or has_value({inner}))"
        case In():
            return _in(scope, node)
        case Compare():
            return _compare(scope, node)
    return f"truth({value(scope, node)})"


def _decided(node: Expression) -> bool:
    """Whether a condition is always true or false, whatever the message holds."""
    match node:
        case Compare():
            return node.operator in _COMPARE
        case In() | Exists():
            return True
        case Not():
            return _decided(node.condition)
        case All() | Some():
            return all(map(_decided, node.conditions))
    return not isinstance(node, Condition) and isinstance(node, Literal)


def _compare(scope: FunctionScope, node: Compare) -> str:
    if node.operator in ("==", "!=") and isinstance(node.left, Field) and _is_word(node.right):
        text = _scalar(scope, node.left)
        return f"{text} {node.operator} {value(scope, node.right)}"
    left, right = value(scope, node.left), value(scope, node.right)
    if node.operator in _COMPARE:
        return _COMPARE[node.operator].format(left, right)
    return f"ordered({node.operator!r}, {left}, {right})"


def _in(scope: FunctionScope, node: In) -> str:
    items = ", ".join(value(scope, item) for item in node.items)
    if isinstance(node.value, Field) and all(map(_is_word, node.items)):
        whole, text = value(scope, node.value), _scalar(scope, node.value)
        return f"({text} in ({items},) or {whole}.__class__ is list and member({whole}, ({items},)))"
    return f"member({value(scope, node.value)}, ({items},))"


def _is_word(node: Expression) -> bool:
    """Whether only that very text equals this literal: no number and no boolean does."""
    return isinstance(node, Literal) and isinstance(node.value, str) and not spells_number(node.value)


def _scalar(scope: FunctionScope, field: Field) -> str:
    marker = FunctionCall("first", (field,))
    known = scope.known(marker)
    if known is not None:
        return known
    source = value(scope, field)
    code = f"{source} if {source}.__class__ is str else first({source})"
    return scope.keep(marker, code, f"{field.name}_text")
