"""What conditions mean for the values that messages really hold. True, False, or None where it cannot be evaluated."""

import re
from collections.abc import Sequence
from typing import Any

from streams.mapping.kinds import to_text

_SPELT_NUMBER = re.compile(r"-?[0-9]{1,400}(?:\.[0-9]{1,400})?(?:[eE][+-]?[0-9]{1,3})?", re.ASCII)


def first(value: Any) -> Any:
    """Return what a one-value function sees: of a list its first element, None for an empty one."""
    while value.__class__ is list:
        value = value[0] if value else None
    return value


def has_value(value: Any) -> bool:
    """Whether an input has a value: it is there, and is no empty text, list or object."""
    return value is not None and value != "" and value != [] and value != {}


def truth(value: Any) -> bool | None:
    """Return a boolean as a condition; anything else is no condition."""
    value = first(value)
    return value if isinstance(value, bool) else None


def equal(left: Any, right: Any) -> bool:
    """Whether two values are the same: texts exactly, a number also as its text; what is missing equals nothing."""
    left, right = first(left), first(right)
    if left is None or right is None:
        return False
    if isinstance(left, bool) or isinstance(right, bool):
        return (
            _spelt(left) == _spelt(right) if isinstance(left, bool | str) and isinstance(right, bool | str) else False
        )
    if isinstance(left, str) and isinstance(right, str):
        return left == right
    a, b = _number(left), _number(right)
    return a is not None and a == b


def member(value: Any, items: Sequence[Any]) -> bool:
    """Whether the value, or any element of a list, equals one of the items, or an element of an item that is a list."""
    values = value if isinstance(value, list) else [value]
    choices = [choice for item in items for choice in (item if isinstance(item, list) else [item])]
    return any(equal(element, choice) for element in values for choice in choices)


def contains(value: Any, part: Any) -> bool:
    """Whether a text holds a text, or a list an element."""
    part = first(part)
    if part is None:
        return False
    if isinstance(value, list):
        return any(equal(element, part) for element in value)
    text, wanted = to_text(value), to_text(part)
    return text is not None and wanted is not None and wanted in text


def ordered(operator: str, left: Any, right: Any) -> bool | None:
    """Return `left operator right` for <, <=, > and >=; texts by code point, numbers also when one is spelt as text.

    False when one is missing, None when they cannot be compared.
    """
    left, right = first(left), first(right)
    if left is None or right is None:
        return False
    a: Any
    b: Any
    if isinstance(left, str) and isinstance(right, str):
        a, b = left, right
    else:
        a, b = _number(left), _number(right)
        if a is None or b is None:
            return None
    match operator:
        case "<":
            return bool(a < b)
        case "<=":
            return bool(a <= b)
        case ">":
            return bool(a > b)
    return bool(a >= b)


def opposite(condition: bool | None) -> bool | None:
    """Return NOT; the opposite of what cannot be evaluated cannot be evaluated either."""
    return None if condition is None else not condition


def every(*conditions: bool | None) -> bool | None:
    """Return AND: false when one is false, else None when one cannot be evaluated."""
    return False if False in conditions else None if None in conditions else True


def any_of(*conditions: bool | None) -> bool | None:
    """Return OR: true when one is true, else None when one cannot be evaluated."""
    return True if True in conditions else None if None in conditions else False


def spells_number(text: str) -> bool:
    """Whether a text is what a number or a boolean could equal."""
    return text in ("true", "false") or _SPELT_NUMBER.fullmatch(text) is not None


def _spelt(value: bool | str) -> str:
    return value if isinstance(value, str) else "true" if value else "false"


def _number(value: Any) -> int | float | None:
    if isinstance(value, bool):
        return None
    if isinstance(value, int | float):
        return value
    if isinstance(value, str) and _SPELT_NUMBER.fullmatch(value):
        return int(value) if value.lstrip("-").isdigit() else float(value)
    return None
