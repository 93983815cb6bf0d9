"""Campaign Monitor's local dates to UTC text, remembered: a page's rows share few minutes."""

from collections.abc import Callable
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

from schemas.envelope import rfc3339

MAX_CACHED = 100_000
"""A million subscribers may have as many dates; 100,000 texts are about 15 MB."""


class LocalDates:
    """Converts texts of one client's zone. `unreadable` stands in for what is no date."""

    def __init__(self, zone: ZoneInfo, unreadable: datetime, convert: Callable[[str, ZoneInfo], datetime]) -> None:
        self._zone = zone
        self._convert = convert
        self._unreadable = rfc3339(unreadable.astimezone(UTC))
        self._cache: dict[str, str] = {}
        self.odd = 0
        """Dates that could not be read."""

    def utc(self, text: str) -> str:
        """Return the instant as RFC 3339 in UTC with milliseconds."""
        known = self._cache.get(text)
        if known is not None:
            return known
        try:
            instant = rfc3339(self._convert(text, self._zone))
        except ValueError:
            self.odd += 1
            return self._unreadable
        if len(self._cache) >= MAX_CACHED:
            self._cache.clear()
        self._cache[text] = instant
        return instant
