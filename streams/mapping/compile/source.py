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
    Between,
    Calculate,
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
_COMPARE_ANY = {"==": "same({}, {})", "!=": "different({}, {})", "like": "call_like({}, {})"}
"""Comparisons that cannot always be evaluated: objects have no equality."""


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
        case Calculate():
            left, right = value(scope, node.left), value(scope, node.right)
            return scope.keep(node, f"calculate({node.operator!r}, {left}, {right})", "number")
        case _:
            return scope.keep(node, condition(scope, node), "condition")


def _call(scope: FunctionScope, node: FunctionCall) -> str:
    function = FUNCTIONS[node.name]
    called = "call_" + node.name.replace(".", "_")
    count = len(node.arguments)
    if not count and function.of_time is not None:
        return "ms" if function.yields is Yields.MESSAGE_TIME else f"{called}_at(ms)"
    if function.second_form(count):
        return f"{called}_two({', '.join([value(scope, argument) for argument in node.arguments])})"
    if function.takes_date:
        instant, rest = date(scope, node.arguments[0]), [value(scope, argument) for argument in node.arguments[1:]]
        return f"{called}({', '.join([instant, *rest])}) if {instant} is not None else None"
    given = ["message"] * function.takes_message + ["ms"] * function.takes_time
    return f"{called}({', '.join(given + [value(scope, argument) for argument in node.arguments])})"


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
            return f"({' and '.join(parts)})" if all(map(decided, node.conditions)) else f"every({', '.join(parts)})"
        case Some():
            parts = [condition(scope, part) for part in node.conditions]
            return f"({' or '.join(parts)})" if all(map(decided, node.conditions)) else f"any_of({', '.join(parts)})"
        case Not():
            inner = condition(scope, node.condition)
            return f"(not {inner})" if decided(node.condition) else f"opposite({inner})"
        case Exists():
            inner = value(scope, node.value)
            return f"bool({inner} or has_value({inner}))"
        case In():
            return _in(scope, node)
        case Compare():
            return _compare(scope, node)
        case Between():
            value_, low, high = (value(scope, operand) for operand in (node.value, node.low, node.high))
            return f"between({value_}, {low}, {high})"
    return value(scope, node) if yields(node) is Yields.BOOL else f"truth({value(scope, node)})"


def decided(node: Expression) -> bool:
    """Whether a condition is always true or false, whatever the message holds."""
    match node:
        case Compare():
            return node.operator in _COMPARE and not (node.operator != "contains" and _may_be_objects(node))
        case In() | Exists():
            return True
        case Not():
            return decided(node.condition)
        case All() | Some():
            return all(map(decided, node.conditions))
    return not isinstance(node, Condition) and isinstance(node, Literal)


def _compare(scope: FunctionScope, node: Compare) -> str:
    if node.operator in ("==", "!=") and isinstance(node.left, Field) and _is_word(node.right):
        text = _scalar(scope, node.left)
        return f"{text} {node.operator} {value(scope, node.right)}"
    left, right = value(scope, node.left), value(scope, node.right)
    if node.operator in _COMPARE_ANY and not decided(node):
        return _COMPARE_ANY[node.operator].format(left, right)
    if node.operator in _COMPARE:
        return _COMPARE[node.operator].format(left, right)
    return f"ordered({node.operator!r}, {left}, {right})"


def _in(scope: FunctionScope, node: In) -> str:
    items = ", ".join(value(scope, item) for item in node.items)
    if isinstance(node.value, Field) and all(map(_is_word, node.items)):
        whole, text = value(scope, node.value), _scalar(scope, node.value)
        several = "is list" if scope.attributes else "in (list, dict)"  # a contract's fields are no objects
        return f"({text} in ({items},) or {whole}.__class__ {several} and member({whole}, ({items},)))"
    return f"member({value(scope, node.value)}, ({items},))"


def _may_be_objects(node: Compare) -> bool:
    """Whether an object could be on either side; a literal is none, and nothing that is an object equals it."""
    return not any(isinstance(side, Literal) or yields(side) in _SCALARS for side in (node.left, node.right))


_SCALARS = (Yields.TEXT, Yields.INT, Yields.NUMBER, Yields.BOOL, Yields.INSTANT, Yields.MESSAGE_TIME)


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
