"""Numbers: conversions, arithmetic of one message's values, and comparisons of what can become a number."""

import math
from typing import Any

from streams.mapping.conditions import compared, has_value
from streams.mapping.dates import DateValue
from streams.mapping.functions.declared import Function, Yields
from streams.mapping.functions.text import spelled
from streams.mapping.kinds import INT_MAX, INT_MIN, to_date, to_int, to_number, whole

_TRUE = frozenset(("1", "t", "T", "true", "TRUE", "True"))
_FALSE = frozenset(("0", "f", "F", "false", "FALSE", "False"))


def to_bool(value: Any) -> bool | None:
    """A boolean, 0 or 1, or a text that spells one (`true`, `t`, `1`)."""
    if isinstance(value, bool):
        return value
    if isinstance(value, str):
        return True if value in _TRUE else False if value in _FALSE else None
    number = to_int(value) if isinstance(value, int | float) else None
    return bool(number) if number in (0, 1) else None


def unsign(value: Any) -> str | None:
    """A whole number as the text of an unsigned one of 64 bits."""
    number = to_int(value)
    return None if number is None else str(number % 2**64)


def cast(value: Any, kind: Any) -> Any:
    """A value as `int`, `string`, `char` or `time`; `cast(x AS int)` is the same."""
    if not has_value(value):
        return None
    match spelled(kind).lower():
        case "int":
            return to_int(value)
        case "string" | "char" | "[]byte":
            return spelled(value)
        case "time":
            date = to_date(value)
            return None if date is None else DateValue(date)
    return None


def square_root(number: Any) -> float | int | None:
    """The square root of a number."""
    if isinstance(number, bool) or not isinstance(number, int | float) or number < 0:
        return None
    return whole(math.sqrt(number))


def power(number: Any, exponent: Any) -> float | int | None:
    """A number to the power of another one."""
    base, times = _number(number), _number(exponent)
    if base is None or times is None:
        return None
    try:
        return to_number(math.pow(base, times))
    except (ValueError, OverflowError):
        return None


def total(*numbers: Any) -> float | int | None:
    """The sum of a message's numbers, lists included; what is no number is left out, and 0 is no value."""
    found = 0.0
    for value in numbers:
        if isinstance(value, bool | dict):
            return None
        for element in value if isinstance(value, list) else [value]:
            number = _number(element)
            if number is None and isinstance(value, list) and not all(isinstance(other, str) for other in value):
                return None
            found += number or 0.0
    return to_number(found) if found else None


def average(*numbers: Any) -> float | int | None:
    """The average of a message's numbers, lists included."""
    found: list[float | int] = []
    for value in numbers:
        several = isinstance(value, list)
        for element in value if several else [value]:
            number = None if isinstance(value, bool) else _number(element)
            if number is not None:
                found.append(number)
            elif several:
                return None
    return to_number(sum(found) / len(found)) if found else None


def greater(left: Any, right: Any) -> bool | None:
    """Whether the first number is greater; amounts in texts count as numbers."""
    return compared(">", _number(left), _number(right))


def greater_or_equal(left: Any, right: Any) -> bool | None:
    """Whether the first number is greater or the same."""
    return compared(">=", _number(left), _number(right))


def less(left: Any, right: Any) -> bool | None:
    """Whether the first number is less."""
    return compared("<", _number(left), _number(right))


def less_or_equal(left: Any, right: Any) -> bool | None:
    """Whether the first number is less or the same."""
    return compared("<=", _number(left), _number(right))


def _number(value: Any) -> float | int | None:
    return None if isinstance(value, list | dict) else to_number(value)


def calculate(operator: str, left: Any, right: Any) -> int | float | None:
    """Return `left operator right` for + - * / and %: whole numbers stay whole, `7 / 2` is 3.

    A text counts when it is a number and the other side is one. None when one side is no number, by zero, and beyond
    64 bits.
    """
    a, b = _operand(left, right), _operand(right, left)
    if a is None or b is None:
        return None
    try:
        if isinstance(a, int) and isinstance(b, int):
            result: int | float = _whole_numbers(operator, a, b)
            return result if INT_MIN <= result <= INT_MAX else None
        return to_number(_doubles(operator, float(a), float(b)))
    except ArithmeticError:
        return None


def _operand(value: Any, other: Any) -> int | float | None:
    if isinstance(value, bool | DateValue) or (isinstance(value, str) and isinstance(other, str)):
        return None
    return to_number(value) if isinstance(value, str) else value if isinstance(value, int | float) else None


def _whole_numbers(operator: str, a: int, b: int) -> int:
    match operator:
        case "+":
            return a + b
        case "-":
            return a - b
        case "*":
            return a * b
        case "/":
            return abs(a) // abs(b) * (1 if (a < 0) == (b < 0) else -1)
    return a - b * _whole_numbers("/", a, b)


def _doubles(operator: str, a: float, b: float) -> float:
    match operator:
        case "+":
            return a + b
        case "-":
            return a - b
        case "*":
            return a * b
        case "/":
            return a / b
    return float(_whole_numbers("%", int(a), int(b)))


NUMBERS: dict[str, Function] = {
    "toint": Function("value", Yields.INT, to_int, {'toint("€ 5,555.00")': 5555, 'toint("x")': None}),
    "tonumber": Function("value", Yields.NUMBER, to_number, {'tonumber("$ 5.22")': 5.22}),
    "tobool": Function("value", Yields.BOOL, to_bool, {'tobool("t")': True, 'tobool("on")': None}),
    "unsign": Function("value", Yields.TEXT, unsign, {"unsign(-1)": "18446744073709551615"}),
    "cast": Function("value, kind", Yields.ANYTHING, cast, {'cast("31.9" AS int)': 31, 'cast(640, "string")': "640"}),
    "sqrt": Function("number", Yields.NUMBER, square_root, {"sqrt(6.25)": 2.5}),
    "pow": Function("number, exponent", Yields.NUMBER, power, {"pow(2, -2)": 0.25}),
    "sum": Function("number, ...", Yields.NUMBER, total, {'sum(3, "$1.50")': 4.5}),
    "avg": Function("number, ...", Yields.NUMBER, average, {"avg(3, 6)": 4.5}),
    "gt": Function("left, right", Yields.BOOL, greater, {'gt("1,000", 999)': True, 'gt("a", 1)': None}),
    "ge": Function("left, right", Yields.BOOL, greater_or_equal, {"ge(2.5, 2)": True}),
    "lt": Function("left, right", Yields.BOOL, less, {'lt("10", "9")': False}),
    "le": Function("left, right", Yields.BOOL, less_or_equal, {"le(4, 4)": True}),
}
