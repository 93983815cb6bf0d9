"""Campaign Monitor's date texts: local to a zone, without an offset."""

from datetime import datetime
from zoneinfo import ZoneInfo

_FORMATS = ("%Y-%m-%d", "%Y-%m-%d %H:%M:%S", "%Y-%m-%d %H:%M", "%Y/%m/%d")


def local_text(at: int, zone: ZoneInfo) -> str:
    """Return `YYYY-MM-DD HH:MM:SS` of an instant (seconds since 1970) in the zone."""
    return datetime.fromtimestamp(at, zone).isoformat(" ")[:19]


def instant(text: str, zone: ZoneInfo) -> int:
    """Return the instant that a local text names; of the repeated autumn hour the first one.

    Raises ValueError for a text in none of the accepted forms.
    """
    for form in _FORMATS:
        try:
            return int(datetime.strptime(text.strip(), form).replace(tzinfo=zone).timestamp())
        except ValueError:
            continue
    raise ValueError(f"{text!r} is no date")


def day_start(at: int, zone: ZoneInfo) -> datetime:
    """Return the local midnight before an instant."""
    return datetime.fromtimestamp(at, zone).replace(hour=0, minute=0, second=0, microsecond=0, fold=0)
