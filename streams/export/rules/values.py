"""A person's field as the text that a custom field takes.

Campaign Monitor silently drops what it does not understand: dates out of range, unknown options, values of more
than 250 characters. So a value that would be lost is left out here, and the receipt names it and the reason; the person
is sent all the same. Pure.
"""

import math
import re
from datetime import UTC, date, datetime
from typing import Any

import orjson

from schemas.control import DataType

VALUE_LIMIT = 250
"""Characters. Campaign Monitor documents the limit, not what it does beyond."""
FIRST_DATE, LAST_DATE = date(1900, 1, 1), date(2076, 6, 6)
"""Outside of these Campaign Monitor ignores a date."""

_DATE = re.compile(r"(\d{4})[-/](\d{1,2})[-/](\d{1,2})(?:$|[T ])")
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")


class UnusableError(ValueError):
    """The value cannot be kept by the field; the text is the reason."""


def texts(value: Any, data_type: DataType) -> tuple[str, ...]:
    """Return the texts to write, one for each option of a select-many field; none when there is no value.

    Raises UnusableError when Campaign Monitor would lose the value.
    """
    if value is None or value == "" or value == []:
        return ()
    if data_type == "MultiSelectMany":
        options = value if isinstance(value, list) else [value]
        return tuple(dict.fromkeys(_within_limit(_plain(option)) for option in options if option not in (None, "")))
    if isinstance(value, list) and data_type != "Text":
        value = value[0]
    match data_type:
        case "Number":
            return (_within_limit(_number(value)),)
        case "Date":
            return (_date(value),)
        case _:
            return (_within_limit(_plain(value)),)


def option_text(name: str) -> str:
    """Return an audience's name as an option: one line, without the double pipe that separates options in places."""
    text = " ".join(name.split())
    while "||" in text:
        text = text.replace("||", "| |")
    return text[:VALUE_LIMIT]


def field_name(text: str) -> str:
    """Return a field's name or key in the one form in which Campaign Monitor's different spellings are equal."""
    return text.strip().strip("[]").replace(" ", "").casefold()


def time_of(value: Any) -> datetime | None:
    """Return a field's value as an instant: RFC 3339, a date, or seconds or milliseconds since the epoch."""
    if isinstance(value, bool) or value is None:
        return None
    if isinstance(value, int | float):
        if not math.isfinite(value) or not 0 < value < 1e14:
            return None
        return datetime.fromtimestamp(value / 1000 if value > 1e11 else value, UTC)
    try:
        instant = datetime.fromisoformat(str(value).strip())
    except ValueError:
        return None
    return instant.replace(tzinfo=UTC) if instant.tzinfo is None else instant.astimezone(UTC)


def _plain(value: Any) -> str:
    match value:
        case str():
            return value
        case bool():
            return "true" if value else "false"
        case float() if value.is_integer() and abs(value) < 1e15:
            return str(int(value))
        case int() | float():
            return str(value)
        case list() if all(isinstance(item, str | int | float) for item in value):
            return ", ".join(_plain(item) for item in value)
        case _:
            return orjson.dumps(value).decode()


def _within_limit(text: str) -> str:
    if len(text) > VALUE_LIMIT:
        raise UnusableError(f"{len(text)} characters; the limit is {VALUE_LIMIT}")
    return text


def _number(value: Any) -> str:
    if isinstance(value, bool):
        return "1" if value else "0"
    text = _plain(value).strip()
    if isinstance(value, int | float | str) and _NUMBER.fullmatch(text):
        return text
    raise UnusableError("not a number")


def _date(value: Any) -> str:
    if isinstance(value, str) and (found := _DATE.match(value.strip())):
        try:
            day = date(int(found[1]), int(found[2]), int(found[3]))
        except ValueError:
            raise UnusableError("not a date") from None
    else:
        instant = time_of(value)
        if instant is None:
            raise UnusableError("not a date; write year-month-day")
        day = instant.date()
    if not FIRST_DATE <= day <= LAST_DATE:
        raise UnusableError(f"{day.isoformat()} is outside of {FIRST_DATE} to {LAST_DATE}")
    return day.isoformat()
