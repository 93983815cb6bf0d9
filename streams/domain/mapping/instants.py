"""The time of a message: RFC 3339 text to UTC milliseconds, several million a second.

A stream of events names few hours, so the text is cut in three and each part looked up: `2024-12-31T23:`, `30:00`,
`.123Z`. Whatever is not found there is read with the standard library, by the same rule as the contracts in schemas/.
"""

from datetime import UTC, datetime

from streams.domain.mapping.dates import EPOCH, MILLISECOND, Millis, in_range, rfc3339

_HOURS: dict[str, int] = {}
_HOURS_REMEMBERED = 50_000
_MINUTES = {f"{m:02d}:{s:02d}": (m * 60 + s) * 1000 for m in range(60) for s in range(60)}
_FRACTIONS = {"Z": 0} | {f".{ms:03d}Z": ms for ms in range(1000)}


def read_instant(text: str) -> Millis | None:
    """Return the instant that an RFC 3339 text names, cut to milliseconds; without an offset it is read as UTC.

    None when the text is no date and time.
    """
    try:
        return _HOURS[text[:14]] + _MINUTES[text[14:19]] + _FRACTIONS[text[19:]]
    except KeyError:
        return _slowly(text)


def _slowly(text: str) -> Millis | None:
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
