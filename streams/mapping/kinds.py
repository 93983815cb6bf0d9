"""The kinds of fields, and how a value becomes one. What cannot become the kind is no value: never a wrong type."""

import math
import re
from decimal import Decimal
from enum import StrEnum
from typing import Any

from schemas.envelope import EpochMillis
from streams.mapping.dates import DateValue, in_range, parse_date, rfc3339

INT_MIN, INT_MAX = -(2**63), 2**63 - 1
_EXACT = 2**53
"""Whole floats below this are integers on the profile topic."""

_MONEY = str.maketrans("", "", "$,£€ ")
"""What amounts have besides their number: `€ 5,555.00`."""
_NUMBER = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?", re.ASCII)
_WHOLE = re.compile(r"[+-]?[0-9]+", re.ASCII)
_LONGEST_NUMBER = 400
"""Digits of the largest double, and some; longer texts are not numbers to anyone."""


class FieldKind(StrEnum):
    """What a field holds."""

    STRING = "string"
    INT = "int"
    NUMBER = "number"
    DATE = "date"
    SET = "[]string"
    MAP = "map[string]string"
    SUMS = "map[string]intsum"


def to_text(value: Any) -> str | None:
    """Return a JSON value as text; a list is its first element, an object has none."""
    if isinstance(value, str):
        return presentable(value)
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return rfc3339(value) if value.__class__ is DateValue else str(value)
    if isinstance(value, float):
        return _decimal(value)
    return to_text(value[0]) if isinstance(value, list) and value and not isinstance(value[0], list) else None


def to_int(value: Any) -> int | None:
    """Return a JSON value as a 64-bit integer; fractions are cut toward zero, booleans refused.

    A text is a number as people write it, also an amount (`€ 5,555.00`); an exponent needs a decimal point.
    """
    if isinstance(value, bool):
        return None
    if isinstance(value, int):
        return value if INT_MIN <= value <= INT_MAX else None
    if isinstance(value, float):
        return to_int(math.trunc(value)) if math.isfinite(value) else None
    if isinstance(value, str):
        return _whole_of(value)
    return to_int(value[0]) if isinstance(value, list) and value and not isinstance(value[0], list) else None


def to_number(value: Any) -> int | float | None:
    """Return a JSON value as a finite double; whole ones as the integer that JSON shows without an exponent."""
    if isinstance(value, bool):
        return int(value)
    if isinstance(value, int):
        return value if -_EXACT <= value <= _EXACT else _finite(value)
    if isinstance(value, float):
        return whole(value) if math.isfinite(value) else None
    if isinstance(value, str):
        spelt = _number_in(value)
        return None if spelt is None else _finite(spelt)
    return to_number(value[0]) if isinstance(value, list) and value and not isinstance(value[0], list) else None


def to_date(value: Any) -> EpochMillis | None:
    """Return a message field as an instant: texts by their form, whole numbers by their count of digits."""
    if isinstance(value, str):
        return parse_date(value)
    if isinstance(value, bool):
        return None
    if isinstance(value, int):
        return value if value.__class__ is DateValue else parse_date(str(value))
    if isinstance(value, float):
        return parse_date(str(int(value))) if value.is_integer() else None
    return to_date(value[0]) if isinstance(value, list) and value and not isinstance(value[0], list) else None


def ms_to_date(value: Any) -> EpochMillis | None:
    """Return milliseconds that a function yielded as an instant."""
    ms = to_int(value)
    return None if ms is None else in_range(ms)


def texts_of(value: Any) -> tuple[list[str], int]:
    """Return the texts that a value adds to a set, empty ones left out, and how many elements had no text."""
    if not isinstance(value, list):
        value = [value]
    texts, refused = [], 0
    for element in value:
        if element is None or element == "":
            continue
        text = None if isinstance(element, list) else to_text(element)
        if text is None:
            refused += 1
        else:
            texts.append(text)
    return texts, refused


def presentable(text: str) -> str:
    """Return the text with bytes that were not UTF-8 replaced, as JSON needs it."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
    return text


def whole(number: float) -> int | float:
    """Return a whole double as the integer with the fewest digits that reads as the same double.

    Below 2**53 that is the number itself; above, the shortest decimal, as ECMAScript prints it. Beyond 64 bits
    JSON libraries differ, so larger ones stay doubles.
    """
    if not number.is_integer() or abs(number) >= 2**63:
        return number if abs(number) != 2**63 or number < 0 else int(Decimal(repr(number)))
    return int(number) if abs(number) < _EXACT else int(Decimal(repr(number)))


def _number_in(text: str) -> str | None:
    """The number that a text spells, without what an amount has besides; None when it spells none."""
    if len(text) > _LONGEST_NUMBER:
        return None
    if not _NUMBER.fullmatch(text):
        text = text.translate(_MONEY)
    return text if _NUMBER.fullmatch(text) else None


def _whole_of(text: str) -> int | None:
    spelt = _number_in(text)
    if spelt is None or ("." not in spelt and not _WHOLE.fullmatch(spelt)):
        return None
    if "e" in spelt or "E" in spelt:
        return to_int(float(spelt))
    before = spelt.partition(".")[0]
    return to_int(int(before if before.strip("+-") else "0"))


def _finite(value: str | int) -> int | float | None:
    try:
        number = float(value)
    except OverflowError:
        return None
    return whole(number) if math.isfinite(number) else None


def _decimal(number: float) -> str | None:
    if not math.isfinite(number):
        return None
    text = format(Decimal(repr(number)), "f")
    return text.rstrip("0").rstrip(".") if "." in text else text
