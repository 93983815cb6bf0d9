"""What conditions mean for the values that messages really hold. True, False, or None where it cannot be evaluated."""

import re
from collections.abc import Iterable, Sequence
from typing import Any

from streams.mapping.dates import DateValue
from streams.mapping.kinds import to_date, to_int, to_number, to_text

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
    """Whether two values are the same: texts exactly, a number also as its text; what is missing equals nothing.

    Two lists are compared element by element; of a list beside another value the first element counts.
    """
    if left.__class__ is list and right.__class__ is list:
        return len(left) == len(right) and all(map(equal, left, right))
    left, right = first(left), first(right)
    if left is None or right is None:
        return False
    if isinstance(left, bool) or isinstance(right, bool):
        return (
            _spelt(left) == _spelt(right) if isinstance(left, bool | str) and isinstance(right, bool | str) else False
        )
    if isinstance(left, str) and isinstance(right, str):
        return left == right
    if left.__class__ is DateValue or right.__class__ is DateValue:
        return _second(left) == _second(right) is not None
    a, b = _number(left), _number(right)
    return a is not None and a == b


def same(left: Any, right: Any) -> bool | None:
    """Return what `equal` does, None where an object is compared: objects have no equality."""
    return None if _object(left, right) else equal(left, right)


def different(left: Any, right: Any) -> bool | None:
    """Return the opposite of `same`; two missing values are not different."""
    if left is None and right is None:
        return False
    return None if _object(left, right) else not equal(left, right)


def member(value: Any, items: Sequence[Any]) -> bool:
    """Whether the value, or any element of a list, equals one of the items, or an element of an item that is a list.

    Of an object the keys count.
    """
    choices = [choice for item in items for choice in _elements(item)]
    return any(equal(element, choice) for element in _elements(value) for choice in choices)


def contains(value: Any, part: Any) -> bool:
    """Whether a text, or a text of a list, has a text in it; or whether a list has a number."""
    part = first(part)
    if part is None:
        return False
    if isinstance(value, list) and not isinstance(part, str):
        return any(equal(element, part) for element in value)
    wanted = to_text(part)
    texts = map(to_text, value) if isinstance(value, list) else (to_text(value),)
    return wanted is not None and any(text is not None and wanted in text for text in texts)


def ordered(operator: str, left: Any, right: Any) -> bool | None:
    """Return `left operator right` for <, <=, > and >=: numbers, also when one is spelt as text, and dates.

    False when one is missing, None when they cannot be compared, as two texts.
    """
    left, right = first(left), first(right)
    if left is None or right is None:
        return False
    if left.__class__ is DateValue or right.__class__ is DateValue:
        return compared(operator, _second(left), _second(right))
    if isinstance(left, str):
        return None if isinstance(right, str) or _number(right) is None else compared(operator, to_number(left), right)
    return compared(operator, _number(left), _number(right))


def compared(operator: str, left: Any, right: Any) -> bool | None:
    """Return `left operator right` of two numbers, None when one is none."""
    if left is None or right is None:
        return None
    match operator:
        case "<":
            return bool(left < right)
        case "<=":
            return bool(left <= right)
        case ">":
            return bool(left > right)
    return bool(left >= right)


def between(value: Any, low: Any, high: Any) -> bool | None:
    """Return whether a whole number, a number or a date is between two others and neither of them."""
    if value.__class__ is DateValue:
        return _inside(_second(value), _second(low), _second(high))
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    if isinstance(value, int):
        return _inside(value, to_int(low), to_int(high))
    return _inside(value, to_number(low), to_number(high))


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


def _inside(value: float | None, low: float | None, high: float | None) -> bool | None:
    return None if value is None or low is None or high is None else low < value < high


def _object(left: Any, right: Any) -> bool:
    return left is not None and right is not None and (left.__class__ is dict or right.__class__ is dict)


def _elements(value: Any) -> Iterable[Any]:
    return value if isinstance(value, list | dict) else (value,)


def _second(value: Any) -> int | None:
    date = to_date(value)
    return None if date is None else date // 1000


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
