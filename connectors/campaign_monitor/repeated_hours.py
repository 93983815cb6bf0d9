"""When clocks go back anywhere: stretches of time in which dates of one zone or another have two meanings (pure).

A date that clocks show twice is an instant or another one, an hour later. In the zone that the client chooses next it
may be one only. An id must not depend on that, so all instants of a stretch count as one that are whole steps apart:
the two meanings of any date, in any zone that Campaign Monitor has, are among them.
"""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from math import gcd
from typing import NamedTuple
from zoneinfo import ZoneInfo

from connectors.campaign_monitor.zones import ZONES

_MINUTE = timedelta(minutes=1)
_BETWEEN_CHANGES = timedelta(days=14)
"""No zone changes its clocks twice within it; the shortest time between is a month."""
_YEARS = range(1971, 2201)
"""Of other years nothing is known about clocks, or nothing was sent."""


class Stretch(NamedTuple):
    """From `begin` to before `end`, some zone shows the same dates twice; `step` is from one meaning to the next."""

    begin: datetime
    end: datetime
    step: timedelta

    def earliest(self, instant: datetime) -> datetime:
        """Return the earliest instant of the stretch that counts as this one."""
        return self.begin + (instant - self.begin) % self.step


def stretch_at(instant: datetime, zone: str = "") -> Stretch | None:
    """Return the stretch that an instant is in. `zone`: one that may not be among those of Campaign Monitor."""
    other = "" if zone in _ALL else zone
    return next((found for found in _stretches(instant.year, other) if found.begin <= instant < found.end), None)


def overlaps(begin: datetime, end: datetime, zone: str = "") -> bool:
    """Return whether any stretch has an instant from `begin` to before `end`, which are a day apart at most."""
    other = "" if zone in _ALL else zone
    found = {*_stretches(begin.year, other), *_stretches(end.year, other)}
    return any(stretch.begin < end and stretch.end > begin for stretch in found)


@lru_cache(maxsize=256)
def _stretches(year: int, other: str) -> tuple[Stretch, ...]:
    if year not in _YEARS:
        return ()
    zones = _ALL | {other} - {""}
    merged: list[Stretch] = []
    for found in sorted(stretch for zone in zones for stretch in _of_zone(zone, year)):
        if merged and found.begin < merged[-1].end:
            before = merged.pop()
            step = _MINUTE * gcd(before.step // _MINUTE, found.step // _MINUTE)
            found = Stretch(before.begin, max(before.end, found.end), step)
        merged.append(found)
    return tuple(merged)


@lru_cache(maxsize=8_192)
def _of_zone(key: str, year: int) -> tuple[Stretch, ...]:
    return tuple(_clocks_back(ZoneInfo(key), year))


def _clocks_back(zone: ZoneInfo, year: int) -> Iterator[Stretch]:
    """Yield the stretch of each time in a year, or shortly before or after, when the zone's clocks go back."""
    at = datetime(year - 1, 12, 22, tzinfo=UTC)
    offset = _offset(zone, at)
    while at.year <= year:
        following = at + _BETWEEN_CHANGES
        later = _offset(zone, following)
        if (back := offset - later) >= _MINUTE:
            changed = _change(zone, at, following)
            yield Stretch(changed - back, changed + back, back)
        at, offset = following, later


def _change(zone: ZoneInfo, before: datetime, after: datetime) -> datetime:
    offset = _offset(zone, before)
    while after - before > _MINUTE:
        middle = before + (after - before) // _MINUTE // 2 * _MINUTE
        before, after = (middle, after) if _offset(zone, middle) == offset else (before, middle)
    return after


def _offset(zone: ZoneInfo, at: datetime) -> timedelta:
    return at.astimezone(zone).utcoffset() or timedelta(0)


_ALL = frozenset(ZONES.values())
