"""A person's field as the text that a custom field takes.

Campaign Monitor silently drops what it does not understand: dates out of range, unknown options, other countries than
its own, more than 250 characters. So a value that would be lost is translated or left out here, and the receipt names
it and the reason; the person is sent all the same. Pure.
"""

import hashlib
import math
import re
import unicodedata
from collections.abc import Iterable, Mapping
from datetime import UTC, date, datetime
from decimal import Decimal
from itertools import chain, count
from typing import Any, Literal, NamedTuple

import orjson

from schemas.control import DataType
from streams.export.rules.places import country_name, state_name

Units = Literal["utf-16", "characters"]
"""What a text's length counts. Campaign Monitor does not say which it is; UTF-16 units allow less."""
VALUE_LIMIT = 250
"""Campaign Monitor documents 250 characters."""
SEPARATOR = "||"
"""Campaign Monitor writes it between the options of a field."""
FIRST_DATE, LAST_DATE = date(1900, 1, 1), date(2076, 6, 6)
"""Outside of these Campaign Monitor ignores a date."""

EXACT = 2**53
"""From here on a JSON number may have lost digits when it was read."""

LOST_DIGITS = "a number with digits that JSON numbers do not keep; send it as a text"

_DATE = re.compile(r"(\d{4})[-/](\d{1,2})[-/](\d{1,2})(?:$|[T ])")
_NUMBER = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]{1,3})?")
# Decimal separator and minus sign of other scripts, beside their digits.
_SIGNS = str.maketrans("\u066b\uff0e\u2212\uff0d\uff0b", "..--+")


class UnusableError(ValueError):
    """The value cannot be kept by the field; the text is the reason."""


class FieldTexts(NamedTuple):
    """What is written of a value."""

    texts: tuple[str, ...] | None
    """One for each option of a select-many field; empty: the field is cleared; None: nothing is written."""
    left_out: tuple[str, ...] = ()
    """Why the value, or some of its options, are left out."""


def texts(value: Any, data_type: DataType, units: Units = "utf-16") -> FieldTexts:
    """Return the texts to write, and the reasons for what is left out because Campaign Monitor would lose it."""
    values = [item for item in (value if isinstance(value, list) else [value]) if item is not None and item != ""]
    if not values:
        return FieldTexts(())
    try:
        if data_type == "Text":
            return FieldTexts((_within_limit(_plain(value), units),))
        if data_type == "MultiSelectMany":
            return _options(values, units)
        found = dict.fromkeys(_single(item, data_type, units) for item in values)
        if len(found) > 1:
            raise UnusableError(f"{len(found)} values; the field holds one")
        return FieldTexts(tuple(text for text in found if text))
    except UnusableError as reason:
        return FieldTexts(None, (str(reason),))


def kept(data_type: DataType, written: Iterable[str], found: Iterable[str]) -> bool:
    """Whether a field that reads as `found` holds what was written: numbers and dates come back in other spellings."""
    return {_comparable(text, data_type) for text in written} == {_comparable(text, data_type) for text in found}


def option_text(name: str, units: Units = "utf-16") -> str:
    """Return an audience's name as an option: one line, without the double pipe that separates options in places."""
    text = " ".join(name.split())
    while SEPARATOR in text:
        text = text.replace(SEPARATOR, "| |")
    return cut(text, VALUE_LIMIT, units)


def distinct_texts(names: Mapping[str, str], units: Units = "utf-16") -> dict[str, str]:
    """Return an option for each name, by id; no two of them differ in case, accents' spelling or white space only.

    Of equal names the one with the smallest id keeps it; the others have their id behind it. Which ids they are is all
    that matters: every worker gets the same ones, after any restart and in any order. A blank name is the id.
    """
    options: dict[str, str] = {}
    used: set[str] = set()
    repeated: list[tuple[str, str]] = []
    for key in sorted(names):
        text = option_text(names[key], units)
        folded = fold_text(text)
        if not folded or folded in used:
            repeated.append((key, text))
        else:
            used.add(folded)
            options[key] = text
    for key, text in repeated:
        candidates = (_suffixed(text, suffix, units) for suffix in chain([key], (f"{key} {n}" for n in count(2))))
        options[key] = next(text for text in candidates if (folded := fold_text(text)) and folded not in used)
        used.add(fold_text(options[key]))
    return options


def fold_text(text: str) -> str:
    """Return a name in the form in which names are compared, where Campaign Monitor may take them for the same."""
    return " ".join(unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).casefold()).split())


def _suffixed(text: str, suffix: str, units: Units) -> str:
    end = option_text(suffix, units)
    if units_of(end, units) > VALUE_LIMIT // 2:  # too long to be seen behind a name: cut, two might be equal
        end = hashlib.blake2b(suffix.encode(), digest_size=8).hexdigest()
    if not text:
        return end
    return f"{cut(text, VALUE_LIMIT - units_of(end, units) - 3, units)} ({end})"


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
        case float() if value.is_integer() and abs(value) <= EXACT:
            return str(int(value))
        case int():
            return str(value)
        case float() if math.isfinite(value) and abs(value) > EXACT:
            raise UnusableError(LOST_DIGITS)
        case float():
            return str(value)
        case list() if all(isinstance(item, str | int | float) for item in value):
            return ", ".join(_plain(item) for item in value)
        case _:
            return orjson.dumps(value).decode()


def _options(values: Iterable[Any], units: Units) -> FieldTexts:
    options: dict[str, None] = {}
    left_out: dict[str, None] = {}
    for item in values:
        try:
            options[_option(item, units)] = None
        except UnusableError as reason:
            left_out[f"an option, {reason}"] = None
    written = tuple(option for option in options if option)
    return FieldTexts(None if left_out and not written else written, tuple(left_out))


def _single(value: Any, data_type: DataType, units: Units) -> str:
    match data_type:
        case "Number":
            return _within_limit(_number(value), units)
        case "Date":
            return _date(value)
        case "Country":
            return _place(country_name(_plain(value)), value, "a country")
        case "USState":
            return _place(state_name(_plain(value)), value, "a state of the USA")
        case _:
            return _option(value, units)


def _option(value: Any, units: Units) -> str:
    text = " ".join(_plain(value).split())
    if SEPARATOR in text:
        raise UnusableError(f"it contains {SEPARATOR}, which separates options")
    return _within_limit(text, units)


def _place(name: str | None, value: Any, what: str) -> str:
    if name is None and _plain(value).strip():
        raise UnusableError(f"not {what} that Campaign Monitor knows")
    return name or ""


def _within_limit(text: str, units: Units) -> str:
    length = units_of(text, units)
    if length > VALUE_LIMIT:
        raise UnusableError(f"{length} characters; the limit is {VALUE_LIMIT}")
    return text


def units_of(text: str, units: Units = "utf-16") -> int:
    """Return the length of a text."""
    return len(text) + (units == "utf-16" and not text.isascii() and sum(letter > "\uffff" for letter in text))


def cut(text: str, length: int, units: Units = "utf-16") -> str:
    """Return the text, cut to a length; a character that does not fit as a whole is left out."""
    if units_of(text, units) <= length:
        return text
    if units == "characters":
        return text[:length].rstrip()
    return text.encode("utf-16-le", "surrogatepass")[: 2 * length].decode("utf-16-le", "ignore").rstrip()


def _number(value: Any) -> str:
    """Return plain decimal digits: an exponent is written out, digits of other scripts are translated."""
    if isinstance(value, bool):
        return "1" if value else "0"
    text = _plain(value).strip()
    if not text.isascii():
        text = "".join(str(unicodedata.decimal(letter, letter)) for letter in text).translate(_SIGNS)
    if not isinstance(value, int | float | str) or not _NUMBER.fullmatch(text):
        raise UnusableError("not a number")
    return f"{Decimal(text):f}" if "e" in text.lower() else text


def _comparable(text: str, data_type: DataType) -> str:
    text = text.strip()
    if data_type == "Number" and _NUMBER.fullmatch(text):
        return f"{Decimal(text).normalize():f}"
    return text.replace("/", "-")[:10] if data_type == "Date" else text


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
