"""Functions of dates and of the message time. Everything is UTC; a text or a number is a date by its form."""

from datetime import timedelta
from functools import cache
from typing import Any
from zoneinfo import ZoneInfo

from schemas.envelope import EpochMillis
from schemas.identity import lower
from streams.mapping.conditions import first, has_value
from streams.mapping.dates import (
    DAY_MS,
    EPOCH,
    DateValue,
    hour_of_day,
    hour_of_week,
    in_range,
    parse_date,
    parse_micros,
    year_and_month,
)
from streams.mapping.functions.declared import Function, Yields
from streams.mapping.functions.layouts import format_date, parse_layout
from streams.mapping.functions.text import spelled
from streams.mapping.kinds import to_date, to_number, to_text


def message_time(instant: EpochMillis) -> EpochMillis:
    """The message time, milliseconds since 1970."""
    return instant


def as_date(date: EpochMillis) -> DateValue:
    """A date: by its form, or by a layout such as `02/01/2006`."""
    return DateValue(date)


def date_by_layout(layout: Any, date: Any) -> DateValue | None:
    """A date that is spelt as the layout spells 2 January 2006, 15:04:05."""
    pattern, text = to_text(layout), to_text(date)
    instant = None if pattern is None or text is None else parse_layout(pattern, text)
    return None if instant is None else DateValue(instant)


def date_in(date: Any, zone: str) -> DateValue | None:
    """A date whose text has no offset and is from a time zone."""
    text = to_text(date)
    instant = None if text is None else parse_date(text, _zone(zone))
    return None if instant is None else DateValue(instant)


@cache
def _zone(name: str) -> ZoneInfo:
    try:
        return ZoneInfo(name)
    except (ValueError, OSError, LookupError):
        raise ValueError(f"there is no time zone {name!r}") from None


def timestamp(date: EpochMillis) -> int:
    """Seconds since 1970."""
    return date // 1000


def short_year(date: EpochMillis) -> int:
    """The year without its century."""
    year = (EPOCH + timedelta(days=date // DAY_MS)).year
    return year - 2000 if year >= 2000 else year - 1900 if year >= 1900 else year


def month(date: EpochMillis) -> int:
    """The month, 1 to 12."""
    return (EPOCH + timedelta(days=date // DAY_MS)).month


def day_of_week(date: EpochMillis) -> int:
    """The day of the week, 0 to 6; Sunday is 0."""
    return (date // DAY_MS + 4) % 7


def formatted(date: EpochMillis, pattern: Any) -> str | None:
    """A date as text, by strftime's directives."""
    text = to_text(pattern)
    return None if text is None else format_date(date, text)


def seconds(value: Any) -> float | int | None:
    """Seconds: of a date since 1970, of minutes and seconds (`M10:30`), or a number as it is."""
    if isinstance(value, str):
        date = parse_date(value)
        return date // 1000 if date is not None else _clock(value.removeprefix("M"))
    return None if isinstance(value, bool | DateValue) or not isinstance(value, int | float) else value


def _clock(text: str) -> float | int | None:
    if ":" not in text:
        return to_number(text) if text.strip() == text and not set(text) & set("$,£€ ") else None
    parts = [to_number(part) or 0 for part in text.split(":")]
    return 60 * parts[0] + parts[1] if len(parts) == 2 and max(parts) > 0 else None


def map_time(instant: EpochMillis, key: Any) -> dict[str, DateValue] | None:
    """A key in lower case with the message time, or with a date."""
    return {lower(spelled(key)): DateValue(instant)} if has_value(key) else None


def map_date(key: Any, date: Any) -> dict[str, DateValue] | None:
    """A key in lower case with a date."""
    instant = to_date(date)
    return None if instant is None else map_time(instant, key)


def unix_truncated(date: Any, precision: Any = "whole") -> str | None:
    """Seconds since 1970 as text: whole, with `s` three digits of their fraction, with `sm` six; `ms`: milliseconds."""
    micros, wanted = _micros(first(date)), to_text(precision)
    if micros is None or wanted is None:
        return None
    match wanted.lower():
        case "whole":
            return str(micros // 1_000_000)
        case "s" | "seconds":
            return f"{micros // 1_000_000}.{micros // 1000 % 1000:03d}"
        case "sm" | "secondsmicro":
            return f"{micros // 1_000_000}.{micros % 1_000_000:06d}"
        case "ms" | "milliseconds":
            return str(micros // 1000)
    return None


def _micros(date: Any) -> int | None:
    if date.__class__ is DateValue:
        return int(date) * 1000
    text = to_text(date)
    micros = None if text is None else parse_micros(text)
    return None if micros is None or in_range(micros // 1000) is None else micros


TIMES: dict[str, Function] = {
    "epochms": Function("", Yields.MESSAGE_TIME, message_time, {"epochms()": 1731663000000}, of_time=message_time),
    "now": Function("", Yields.INSTANT, as_date, {"now()": "2024-11-15T09:30:00.000Z"}, of_time=as_date),
    "hourofday": Function(
        "[date]",
        Yields.INT,
        hour_of_day,
        {"hourofday()": 9, 'hourofday("2010-10-25 10:28")': 10},
        of_time=hour_of_day,
        takes_date=True,
        distinct=24,
    ),
    "hourofweek": Function(
        "[date]",
        Yields.INT,
        hour_of_week,
        {"hourofweek()": 129},
        of_time=hour_of_week,
        takes_date=True,
        distinct=168,
    ),
    "dayofweek": Function(
        "[date]", Yields.INT, day_of_week, {"dayofweek()": 5}, of_time=day_of_week, takes_date=True, distinct=7
    ),
    "yymm": Function(
        "[date]", Yields.TEXT, year_and_month, {"yymm()": "2411"}, of_time=year_and_month, takes_date=True
    ),
    "yy": Function("[date]", Yields.INT, short_year, {'yy("2014-03-01")': 14}, of_time=short_year, takes_date=True),
    "mm": Function("[date]", Yields.INT, month, {'mm("2014-03-01")': 3}, of_time=month, takes_date=True, distinct=12),
    "monthofyear": Function(
        "[date]", Yields.INT, month, {"monthofyear()": 11}, of_time=month, takes_date=True, distinct=12
    ),
    "todate": Function(
        "[layout, ]date",
        Yields.INSTANT,
        as_date,
        {
            'todate("10/11/2010")': "2010-10-11T00:00:00.000Z",
            'todate("02.01.2006", "05.06.2020")': "2020-06-05T00:00:00.000Z",
        },
        takes_date=True,
        of_two=date_by_layout,
    ),
    "todatein": Function(
        "date, zone",
        Yields.INSTANT,
        date_in,
        {'todatein("2019-07-08 09:00", "Asia/Tokyo")': "2019-07-08T00:00:00.000Z"},
        literals={1: _zone},
    ),
    "totimestamp": Function("date", Yields.INT, timestamp, {'totimestamp("2019-07-08")': 1562544000}, takes_date=True),
    "seconds": Function("value", Yields.NUMBER, seconds, {'seconds("M10:30")': 630, "seconds(2.5)": 2.5}),
    "strftime": Function(
        "date, pattern", Yields.TEXT, formatted, {'strftime("2019-07-18", "%d %B")': "18 July"}, takes_date=True
    ),
    "extract": Function(
        "date, pattern", Yields.TEXT, formatted, {'extract("2019-07-18", "%a")': "Thu"}, takes_date=True
    ),
    "unixtrunc": Function(
        "date[, precision]",
        Yields.TEXT,
        unix_truncated,
        {'unixtrunc("2019-07-08T09:10:11.456Z", "s")': "1562577011.456"},
    ),
    "maptime": Function(
        "key[, date]",
        Yields.MAP,
        map_time,
        {'maptime("Store")': {"store": "2024-11-15T09:30:00.000Z"}},
        takes_time=True,
        of_two=map_date,
    ),
}
