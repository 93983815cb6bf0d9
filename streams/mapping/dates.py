"""Texts and numbers that are dates, and instants as the profile shows them. Everything is UTC milliseconds.

The forms are those that araddon/dateparse users know: ISO, slashes with the month first, month names, and plain digits
taken by their count. A zone may be an offset, Z, UTC or GMT; other abbreviations are refused rather than misread.
"""

import re
from datetime import UTC, datetime, timedelta, timezone, tzinfo

from schemas.envelope import EpochMillis

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MILLISECOND = timedelta(milliseconds=1)
_MICROSECOND = timedelta(microseconds=1)
DAY_MS = 86_400_000
HOUR_MS = 3_600_000

FIRST: EpochMillis = (datetime(1, 1, 1, tzinfo=UTC) - EPOCH) // MILLISECOND
LAST: EpochMillis = (datetime(9999, 12, 31, 23, 59, 59, 999_000, tzinfo=UTC) - EPOCH) // MILLISECOND
"""The instants that RFC 3339 can spell."""


class DateValue(EpochMillis):
    """Milliseconds that mean a date wherever they are: what `todate` yields, inside of maps and lists, too."""


_MONTHS = ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"]
_MONTH = (
    r"(?P<name>jan(?:uary)?|feb(?:ruary)?|mar(?:ch)?|apr(?:il)?|may|june?|july?|aug(?:ust)?"
    r"|sept?(?:ember)?|oct(?:ober)?|nov(?:ember)?|dec(?:ember)?)\.?"
)
_WEEKDAY = r"(?:(?:mon|tue|wed|thu|fri|sat|sun)(?:[a-z]{3,6})?,?\x20+)?"
_DAY = r"(?P<day>\d{1,2})(?:st|nd|rd|th)?"
_YEAR = r"(?P<year>\d{4})"
_SHORT_YEAR = r"(?P<year>\d{4}|\d{2})"
_CLOCK = (
    r"(?P<hour>\d{1,2}):(?P<minute>\d{2})(?::(?P<second>\d{2})(?:[.,](?P<fraction>\d{1,9}))?)?"
    r"(?:\x20?(?P<half>[ap]m))?"
)
_ZONE = r"(?:\x20?(?P<zone>z|utc|gmt|(?:(?:utc|gmt)\x20?)?[+-]\d{2}(?::?\d{2})?)(?:\x20\((?:utc|gmt)\))?)?"
_TIME = rf"(?:(?:t|,?\x20+(?:at\x20)?){_CLOCK}{_ZONE})?"

_FORMS = [
    re.compile(form, re.IGNORECASE | re.ASCII)
    for form in (
        rf"{_YEAR}-(?P<month>\d{{1,2}})(?:-(?P<day>\d{{1,2}}){_TIME})?",
        rf"{_YEAR}/(?P<month>\d{{1,2}})(?:/(?P<day>\d{{1,2}}){_TIME})?",
        rf"{_YEAR}\.(?P<month>\d{{2}})\.(?P<day>\d{{2}}){_TIME}",
        rf"(?P<month>\d{{1,2}})/(?P<day>\d{{1,2}})/{_SHORT_YEAR}{_TIME}",
        rf"{_WEEKDAY}{_DAY}(?:\x20|-){_MONTH}(?:,?\x20|-){_SHORT_YEAR}{_TIME}",
        rf"{_WEEKDAY}{_MONTH}\x20{{1,2}}{_DAY},?\x20{_YEAR}{_TIME}",
        rf"{_YEAR}-{_MONTH}-(?P<day>\d{{1,2}}){_TIME}",
        # the C library's: Mon Oct 25 10:28:00 UTC 2010
        rf"{_WEEKDAY}{_MONTH}\x20{{1,2}}{_DAY}\x20{_CLOCK}{_ZONE}\x20{_YEAR}",
        r"(?P<year>\d{4})(?P<month>\d{2})(?P<day>\d{2})(?:T?(?P<hour>\d{2})(?P<minute>\d{2})(?P<second>\d{2})Z?)?",
        _YEAR,
    )
]
_DIGITS_TO_MICROS = {10: (1_000_000, 1), 13: (1000, 1), 16: (1, 1), 19: (1, 1000)}
_LONGEST = 64
"""No form is longer; what is longer is not worth the attempts."""


def parse_date(text: str, zone: tzinfo = UTC) -> EpochMillis | None:
    """Return the instant that a message field's text names, or None when it is not a date.

    `zone`: where a text without an offset is from.
    """
    micros = parse_micros(text, zone)
    return None if micros is None else in_range(micros // 1000)


def parse_micros(text: str, zone: tzinfo = UTC) -> int | None:
    """Return the microseconds since 1970 of the instant that a text names, or None when it is not a date."""
    if not text or len(text) > _LONGEST:
        return None
    if text.isascii() and text.isdigit() and len(text) in _DIGITS_TO_MICROS:
        factor, divisor = _DIGITS_TO_MICROS[len(text)]
        return int(text) * factor // divisor
    for form in _FORMS:
        if match := form.fullmatch(text):
            return _micros(match.groupdict(), zone)
    return None


def in_range(instant: EpochMillis) -> EpochMillis | None:
    """Return the instant when RFC 3339 can spell it."""
    return instant if FIRST <= instant <= LAST else None


def _micros(part: dict[str, str | None], zone: tzinfo) -> int | None:
    try:
        moment = datetime(
            _year(part["year"] or ""),
            _month(part),
            int(part.get("day") or 1),
            _hour(part),
            int(part.get("minute") or 0),
            int(part.get("second") or 0),
            int(((part.get("fraction") or "") + "000000")[:6]),
            tzinfo=_zone(part.get("zone"), zone),
        )
        return (moment - EPOCH) // _MICROSECOND
    except (ValueError, OverflowError):
        return None


def _year(text: str) -> int:
    year = int(text)
    if len(text) == 4:
        return year
    return year + (1900 if year >= 69 else 2000)


def _month(part: dict[str, str | None]) -> int:
    name = part.get("name")
    return int(part.get("month") or 1) if name is None else _MONTHS.index(name[:3].lower()) + 1


def _hour(part: dict[str, str | None]) -> int:
    hour, half = int(part.get("hour") or 0), part.get("half")
    if half is None:
        return hour
    if not 1 <= hour <= 12:
        raise ValueError("a twelve-hour clock goes from 1 to 12")
    return hour % 12 + (12 if half.lower() == "pm" else 0)


def _zone(text: str | None, otherwise: tzinfo) -> tzinfo:
    digits = re.sub(r"\D", "", text or "")
    if not digits:
        return UTC if text else otherwise
    minutes = int(digits[:2]) * 60 + int(digits[2:] or 0)
    if int(digits[2:] or 0) > 59:
        raise ValueError("an offset has less than 60 minutes")
    return timezone(timedelta(minutes=-minutes if "-" in (text or "") else minutes))


def rfc3339(instant: EpochMillis) -> str:
    """Return the instant with three fraction digits and Z, the one form of a date on the profile topic."""
    moment = EPOCH + timedelta(milliseconds=instant)
    return (
        f"{moment.year:04d}-{moment.month:02d}-{moment.day:02d}T"
        f"{moment.hour:02d}:{moment.minute:02d}:{moment.second:02d}.{instant % 1000:03d}Z"
    )


def hour_of_day(instant: EpochMillis) -> int:
    """Return the hour of the UTC day, 0 to 23."""
    return instant // HOUR_MS % 24


def hour_of_week(instant: EpochMillis) -> int:
    """Return the hour of the UTC week, 0 to 167; hour 0 is Sunday 00:00. (1970-01-01 was a Thursday.)"""
    return (instant // HOUR_MS + 4 * 24) % 168


_MONTH_OF_DAY: dict[int, str] = {}
_DAYS_REMEMBERED = 20_000


def year_and_month(instant: EpochMillis) -> str:
    """Return two digits of the year and two of the month in UTC: "0001" for January 2000."""
    day = instant // DAY_MS
    text = _MONTH_OF_DAY.get(day)
    if text is None:
        if len(_MONTH_OF_DAY) >= _DAYS_REMEMBERED:
            _MONTH_OF_DAY.clear()
        moment = EPOCH + timedelta(days=day)
        text = _MONTH_OF_DAY[day] = f"{moment.year % 100:02d}{moment.month:02d}"
    return text


_HOURS: dict[str, int] = {}
_HOURS_REMEMBERED = 50_000
_MINUTES = {f"{m:02d}:{s:02d}": (m * 60 + s) * 1000 for m in range(60) for s in range(60)}
_FRACTIONS = {"Z": 0} | {f".{ms:03d}Z": ms for ms in range(1000)}


def read_instant(text: str) -> EpochMillis | None:
    """Return the instant that an RFC 3339 text names, cut to milliseconds; without an offset it is read as UTC.

    None when the text is no date and time.
    """
    try:
        return _HOURS[text[:14]] + _MINUTES[text[14:19]] + _FRACTIONS[text[19:]]
    except KeyError:
        return _slowly(text)


def _slowly(text: str) -> EpochMillis | None:
    if not text.isascii() or len(text) < 16 or text[10] not in "Tt ":
        return None
    try:
        moment = datetime.fromisoformat(text.upper())
    except ValueError:
        return None
    moment = moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)
    ms = in_range((moment - EPOCH) // MILLISECOND)
    if ms is None:
        return None
    if len(_HOURS) >= _HOURS_REMEMBERED:
        _HOURS.clear()
    _HOURS[rfc3339(ms)[:14]] = ms - ms % 3_600_000
    return ms
