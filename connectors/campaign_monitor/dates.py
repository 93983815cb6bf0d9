"""Campaign Monitor's dates: local text without an offset, in the zone of the client.

Two hours a year need a rule. The hour that comes twice in autumn is read as its first pass, unless the order of rows
shows that it is the second (`repeated`); the hour that is left out in spring as if the clock had not been moved. The
raw text is kept beside the UTC value, because no rule can be right for all.
"""

import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import NamedTuple
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from connectors.campaign_monitor.repeated_hours import Stretch, overlaps, stretch_at
from connectors.campaign_monitor.zones import ZONES

# Two and a half years of hours; more would be memory for nothing, as reports are mostly read in order.
_MAX_HOURS = 20_000
# Eleven years of days, 2 KB each: a page of a listing holds people of many days.
_MAX_DAYS = 4_000
# Event dates have whole minutes, so a page of a report repeats them: two weeks of minutes take about 4 MB.
_MAX_TEXTS = 20_000


_TIME = re.compile(r"[ T](?:[01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9]")


class UnknownZone(ValueError):  # noqa: N818 - named after what happened
    """A time-zone label that this release does not know. Every date would be wrong, so nothing is guessed."""

    def __init__(self, label: str) -> None:
        super().__init__(
            f"unknown Campaign Monitor time zone {label!r}: set CM_ZONE_OVERRIDES to "
            f'{{"{label}": "Area/City"}} with the IANA zone that it means, and please report it'
        )
        self.label = label


def zone_of(label: str, overrides: Mapping[str, str] | None = None) -> ZoneInfo:
    """Return the zone of a display label such as `(GMT+10:00) Canberra, Melbourne, Sydney`.

    Only the text after the bracket counts, without regard to case and spacing: the printed offset may be out of date.
    `overrides` (label with or without bracket -> IANA zone) come first. Raises UnknownZone, and ValueError for an
    override that is no IANA zone.
    """
    wanted = _plain(label)
    for override, zone in (overrides or {}).items():
        if _plain(override) == wanted:
            try:
                return ZoneInfo(zone)
            except (ZoneInfoNotFoundError, ValueError) as reason:
                raise ValueError(f"CM_ZONE_OVERRIDES: {zone!r} is no IANA zone") from reason
    zone_name = _by_plain_label().get(wanted)
    if zone_name is None:
        raise UnknownZone(label)
    return ZoneInfo(zone_name)


def _plain(label: str) -> str:
    text = label.strip()
    if text.startswith("("):
        text = text.partition(")")[2]
    text = text.partition("(RTZ")[0]  # Russia's zones were numbered in some years' labels
    return " ".join(text.split()).casefold()


@lru_cache(maxsize=1)
def _by_plain_label() -> dict[str, str]:
    return {_plain(label): zone for label, zone in ZONES.items()}


class RepeatedHour(NamedTuple):
    """What clocks show twice when they go back: local minutes (`YYYY-MM-DD HH:MM`) from `begin` to before `end`.

    Mostly an hour; elsewhere half of one or two.
    """

    begin: str
    end: str
    length: timedelta
    """From a minute's first pass to its second."""


class ClientDates:
    """Converts one client's dates. Keep one per client: it remembers the offset of each hour, which makes it fast."""

    def __init__(self, zone: ZoneInfo) -> None:
        self.zone = zone
        self._offsets: dict[str, timedelta | None] = {}
        self._texts: dict[str, str] = {}
        self.days: dict[str, tuple[str, ...]] = {}
        """`YYYY-MM-DD` -> its 24 hours in UTC (`YYYY-MM-DDTHH`); none of a day that is read hour by hour."""
        self.plain_days: dict[str, tuple[str, ...]] = {}
        """The same; none of a day either on which clocks of any zone went back, so that ids need more than the date."""
        self._repeated: dict[str, RepeatedHour | None] = {}
        self._in_stretch: dict[str, bool] = {}

    @classmethod
    def of(cls, label: str, overrides: Mapping[str, str] | None = None) -> "ClientDates":
        """Return the dates of a client with this time-zone label; raises UnknownZone."""
        return cls(zone_of(label, overrides))

    def utc(self, text: str) -> datetime:
        """Return the instant of `YYYY-MM-DD HH:MM:SS` (seconds, or the whole time, may be missing; `T` will do).

        A text with an offset of its own keeps it. Raises ValueError for anything else: `""`, and dates that have no
        instant in UTC (at the calendar's edges).
        """
        try:
            return self._utc(text)
        except OverflowError as error:
            raise ValueError(f"{text} is outside of the calendar") from error

    def _utc(self, text: str) -> datetime:
        hour = text[:13]
        try:
            offset = self._offsets[hour]
        except KeyError:
            offset = self._remember(hour)
        local = datetime.fromisoformat(text)
        if offset is None or local.tzinfo is not None:
            return self._slowly(local)
        return (local - offset).replace(tzinfo=UTC)

    def utc_text(self, text: str) -> str:
        """Return the same as RFC 3339 in UTC with milliseconds, as all topics carry it: `2026-02-03T04:05:00.000Z`."""
        known = self._texts.get(text)
        if known is None:
            if len(self._texts) >= _MAX_TEXTS:
                self._texts.clear()
            self._texts[text] = known = self._within_day(text) or _rfc3339(self.utc(text))
        return known

    def utc_text_or_none(self, text: object) -> str | None:
        """Return the same for a row's value that may be absent, empty or no date."""
        if not isinstance(text, str) or not text:
            return None
        try:
            return self.utc_text(text)
        except ValueError:
            return None

    def local(self, instant: datetime) -> datetime:
        """Return the client's wall clock at an instant, without offset: what date filters are made of."""
        return instant.astimezone(self.zone).replace(tzinfo=None)

    def minute_filter(self, instant: datetime) -> str:
        """Return `YYYY-MM-DD HH:MM` for filters that ask for what came since; in the repeated hour its beginning."""
        minute = f"{self.local(instant):%Y-%m-%d %H:%M}"
        hour = self.repeated(minute)
        return minute if hour is None else hour.begin

    def date_from(self, instant: datetime) -> str:
        """Return the earliest minute in UTC (`YYYY-MM-DDTHH:MM`) as which a date of anything since may be read."""
        return self.utc_text(self.minute_filter(instant))[: len("2026-10-25T02:30")]

    def repeated(self, text: str) -> RepeatedHour | None:
        """Return the repeated hour that a local date is in; None for any other, and for what is no such date."""
        hour = text[:13]
        if self._offsets.get(hour) is not None or len(text) > len("2026-10-25 02:30:00"):
            return None  # the usual case, or a date with an offset of its own
        if hour not in self._repeated:
            self._repeated[hour] = self._find_repeated(hour) if self._remember(hour) is None else None
        found = self._repeated[hour]
        return found if found is not None and found.begin <= text[:16] < found.end else None

    def second_pass(self, text: str, hour: RepeatedHour) -> str:
        """Return `utc_text` of a date in the second pass of its repeated hour."""
        return _rfc3339(self.utc(text) + hour.length)

    def stretch(self, at: str) -> Stretch | None:
        """Return the stretch of repeated hours, of any zone, that an instant (`utc_text`) is in."""
        hour = at[:13]
        known = self._in_stretch.get(hour)
        if known is None:
            if len(self._in_stretch) >= _MAX_HOURS:
                self._in_stretch.clear()
            begin = datetime.fromisoformat(f"{hour}:00:00+00:00")
            known = self._in_stretch[hour] = overlaps(begin, begin + timedelta(hours=1), self.zone.key)
        return stretch_at(datetime.fromisoformat(at), self.zone.key) if known else None

    def id_instant(self, at: str) -> str:
        """Return the instant that ids hold for one: the same for both meanings of a date that any zone repeats."""
        found = self.stretch(at)
        return at if found is None else _rfc3339(found.earliest(datetime.fromisoformat(at)))

    def _within_day(self, text: str) -> str | None:
        """Return the same for `YYYY-MM-DD HH:MM:SS` of a day whose hours begin with hours in UTC; None for others."""
        if not _TIME.fullmatch(text, 10):
            return None
        day = text[:10]
        hours = self.days.get(day)
        if hours is None:
            if len(self.days) >= _MAX_DAYS:
                self.days.clear()
                self.plain_days.clear()
            self.days[day] = hours = self._hours_in_utc(day)
            self.plain_days[day] = () if hours and self._is_in_stretch(hours) else hours
        return f"{hours[int(text[11:13])]}{text[13:]}.000Z" if hours else None

    def _hours_in_utc(self, day: str) -> tuple[str, ...]:
        """Return the hours of a day in UTC; none where minutes differ, or clocks were changed.

        No zone has changed its clocks twice in a day and had the same offset before and after.
        """
        try:
            begin = datetime.fromisoformat(day).replace(tzinfo=self.zone)
            ends = (begin, begin.replace(hour=23, minute=59, second=59))
            offsets = {end.replace(fold=fold).utcoffset() for end in ends for fold in (0, 1)}
            offset = offsets.pop()
            if offsets or offset is None or offset % timedelta(hours=1):
                return ()
            first = begin.replace(tzinfo=None) - offset
            return tuple((first + timedelta(hours=hour)).isoformat()[:13] for hour in range(24))
        except (ValueError, OverflowError):
            return ()

    def _is_in_stretch(self, hours: tuple[str, ...]) -> bool:
        first, last = (datetime.fromisoformat(f"{hour}:00:00+00:00") for hour in (hours[0], hours[-1]))
        return overlaps(first, last + timedelta(hours=1), self.zone.key)

    def _find_repeated(self, hour: str) -> RepeatedHour | None:
        try:
            start = datetime.fromisoformat(f"{hour}:00")
        except ValueError:
            return None
        minute = timedelta(minutes=1)
        begin = next((at for at in (start + number * minute for number in range(60)) if self._lost(at)), None)
        if begin is None:
            return None
        length, end = self._lost(begin), begin
        while self._lost(begin - minute):
            begin -= minute
        while self._lost(end):
            end += minute
        return RepeatedHour(f"{begin:%Y-%m-%d %H:%M}", f"{end:%Y-%m-%d %H:%M}", length)

    def _lost(self, local: datetime) -> timedelta:
        """Return by how much clocks had gone back when they showed a time again; 0 for one that they show once."""
        first, second = (local.replace(tzinfo=self.zone, fold=fold).utcoffset() for fold in (0, 1))
        return max(timedelta(0), (first or timedelta(0)) - (second or timedelta(0)))

    def _slowly(self, local: datetime) -> datetime:
        return (local if local.tzinfo else local.replace(tzinfo=self.zone)).astimezone(UTC)

    def _remember(self, hour: str) -> timedelta | None:
        if len(self._offsets) >= _MAX_HOURS:
            self._offsets.clear()
        try:
            begin = datetime.fromisoformat(f"{hour}:00:00" if len(hour) == 13 else hour).replace(tzinfo=self.zone)
        except ValueError:
            return None  # not remembered; `utc` refuses the text with a better sentence
        moments = (begin, begin.replace(minute=59, second=59))
        offsets = {moment.replace(fold=fold).utcoffset() for moment in moments for fold in (0, 1)}
        self._offsets[hour] = offset = offsets.pop() if len(offsets) == 1 else None
        return offset


def _rfc3339(instant: datetime) -> str:
    return f"{instant.isoformat()[:19]}.{instant.microsecond // 1000:03d}Z"
