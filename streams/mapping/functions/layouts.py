"""Dates by a pattern: read by an example date as Go's `time.Parse` has it (`02/01/2006`), written as strftime does."""

import re
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta, timezone
from functools import lru_cache

from schemas.envelope import EpochMillis
from streams.mapping.dates import EPOCH, MILLISECOND, in_range

_MONTHS = (
    "January", "February", "March", "April", "May", "June",
    "July", "August", "September", "October", "November", "December",
)  # fmt: skip
_DAYS = ("Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday")
_OFFSET = r"(?P<offset>[+-]\d\d"


def _names(names: Sequence[str], length: int | None = None) -> str:
    return "|".join(name[:length] for name in names)


_PARTS = [
    ("2006", r"(?P<year>\d{4})"),
    ("-07:00:00", rf"{_OFFSET}:\d\d:\d\d)"),
    ("Z07:00", rf"(?:Z|{_OFFSET}:\d\d))"),
    ("Z0700", rf"(?:Z|{_OFFSET}\d\d))"),
    ("-07:00", rf"{_OFFSET}:\d\d)"),
    ("-0700", rf"{_OFFSET}\d\d)"),
    ("-07", rf"{_OFFSET})"),
    ("January", rf"(?P<month_name>{_names(_MONTHS)})"),
    ("Jan", rf"(?P<month_name>{_names(_MONTHS, 3)})"),
    ("Monday", rf"(?:{_names(_DAYS)})"),
    ("Mon", rf"(?:{_names(_DAYS, 3)})"),
    ("MST", r"(?:UTC|GMT)"),
    ("002", r"(?P<day_of_year>\d{3})"),
    ("01", r"(?P<month>\d\d)"),
    ("02", r"(?P<day>\d\d)"),
    ("03", r"(?P<half_hour>\d\d)"),
    ("04", r"(?P<minute>\d\d)"),
    ("05", r"(?P<second>\d\d)(?:[.,](?P<fraction>\d+))?"),
    ("06", r"(?P<short_year>\d\d)"),
    ("15", r"(?P<hour>\d\d)"),
    ("_2", r"\x20?(?P<day>\d{1,2})"),
    ("PM", r"(?P<half>AM|PM)"),
    ("pm", r"(?P<half>am|pm)"),
    ("1", r"(?P<month>\d{1,2})"),
    ("2", r"(?P<day>\d{1,2})"),
    ("3", r"(?P<half_hour>\d{1,2})"),
    ("4", r"(?P<minute>\d{1,2})"),
    ("5", r"(?P<second>\d{1,2})(?:[.,](?P<fraction>\d+))?"),
]
"""The parts of the example date (Monday, 2 January 2006, 15:04:05 -0700) and what is in their place in a text."""
_PART = re.compile("|".join([r"[.,](?P<fraction>0+|9+)(?!\d)", *(re.escape(part) for part, _ in _PARTS)]))
_LONGEST = 128


def parse_layout(layout: str, text: str) -> EpochMillis | None:
    """Return the instant that a text names in a layout, UTC where it has no offset; None when it does not fit."""
    pattern = _pattern(layout) if 0 < len(layout) <= _LONGEST and len(text) <= _LONGEST else None
    match = pattern.fullmatch(text) if pattern is not None else None
    return None if match is None else _instant(match.groupdict())


@lru_cache(maxsize=256)
def _pattern(layout: str) -> re.Pattern[str] | None:
    forms, at, pattern = dict(_PARTS), 0, ""
    for part in _PART.finditer(layout):
        pattern += re.escape(layout[at : part.start()])
        zeros = part["fraction"]
        if zeros:  # behind seconds, which read any fraction by themselves
            pattern += "" if "second" in pattern else rf"[.,](?P<fraction>\d{{{len(zeros)}}})"
        else:
            pattern += forms[part[0]]
        at = part.end()
    try:
        return re.compile(pattern + re.escape(layout[at:]), re.IGNORECASE | re.ASCII)
    except re.error:  # a part that is named twice
        return None


def _instant(part: dict[str, str | None]) -> EpochMillis | None:
    def number(name: str, otherwise: int) -> int:
        return int(part.get(name) or otherwise)

    try:
        moment = datetime(
            _year(part),
            _month(part),
            number("day", 1),
            _hour(part),
            number("minute", 0),
            number("second", 0),
            int(((part.get("fraction") or "") + "000000")[:6]),
            tzinfo=_zone(part.get("offset")),
        )
        moment += timedelta(days=number("day_of_year", 1) - 1)
        return in_range((moment - EPOCH) // MILLISECOND)
    except (ValueError, OverflowError):
        return None


def _year(part: dict[str, str | None]) -> int:
    short = part.get("short_year")
    if short is None:
        return int(part.get("year") or 1)
    return int(short) + (1900 if int(short) >= 69 else 2000)


def _month(part: dict[str, str | None]) -> int:
    name = part.get("month_name")
    if name is None:
        return int(part.get("month") or 1)
    return next(number for number, month in enumerate(_MONTHS, 1) if month.lower().startswith(name.lower()))


def _hour(part: dict[str, str | None]) -> int:
    half_hour, half = part.get("half_hour"), (part.get("half") or "").upper()
    hour = int(half_hour or part.get("hour") or 0)
    if half_hour is not None and not 0 <= hour <= 12:
        raise ValueError("a twelve-hour clock goes to 12")
    return hour + 12 if half == "PM" and hour < 12 else 0 if half == "AM" and hour == 12 else hour


def _zone(offset: str | None) -> timezone:
    if offset is None:
        return UTC
    hours, minutes = int(offset[1:3]), int(offset[3:].replace(":", "")[:2] or 0)
    return timezone(timedelta(hours=hours, minutes=minutes) * (-1 if offset[0] == "-" else 1))


_DIRECTIVE = re.compile(r"%([aAwdbBmyYHIpMSfzZjUWcxX%])")


def format_date(instant: EpochMillis, pattern: str) -> str:
    """Write an instant by strftime's directives, in English and UTC; what is no directive stays."""
    moment = EPOCH + instant * MILLISECOND
    return _DIRECTIVE.sub(lambda directive: _directive(moment, directive[1]), pattern)


def _directive(moment: datetime, name: str) -> str:
    weekday = moment.isoweekday() % 7
    match name:
        case "a" | "A":
            return _DAYS[weekday][: 3 if name == "a" else None]
        case "b" | "B":
            return _MONTHS[moment.month - 1][: 3 if name == "b" else None]
        case "p":
            return "AM" if moment.hour < 12 else "PM"
        case "Y":
            return f"{moment.year:04d}"
        case "c":
            return format_date((moment - EPOCH) // MILLISECOND, "%a %b %d %H:%M:%S %Y")
    return moment.strftime(f"%{name}")
