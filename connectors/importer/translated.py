"""What a row becomes: an id, a date and a record; and what an earlier, narrower read had of it already (pure)."""

from collections.abc import Collection, Sequence
from collections.abc import Set as AbstractSet
from typing import Literal, NamedTuple, Protocol

from connectors.campaign_monitor import events
from connectors.campaign_monitor.client.entities import JsonObject
from schemas.import_task import Published, Source


class ImportedRecord(NamedTuple):
    """A record to publish."""

    topic: Literal["cm_user", "cm_activity"]
    key: bytes
    value: bytes


class TranslatedRow(NamedTuple):
    """A row: the 16 bytes of its event id, its date, and its record.

    The date is the instant (RFC 3339 in UTC), or the text of a date that cannot be read. In the hour that the client's
    clocks repeat in autumn, all dates of a report's rows are its beginning.
    """

    event_id: bytes
    date: str
    record: ImportedRecord | None
    """None: a listing's row that implies no activity, in the read of a gap."""
    in_scope: bool = True
    """False: the row belongs to a list that the job does not name, or is too old. It counts, but is not published."""
    was_read: bool = False
    """An earlier, narrower read has counted the row, by its date: one that came late is not among them."""
    was_published: bool = False
    """And has published it."""
    clock: str = ""
    """In a stretch of repeated hours the minute at which it begins; behind it, in one of the client's zone, what its
    clock showed: a row after this one that shows less is in the second pass. Else empty."""

    @property
    def widens(self) -> bool:
        """Whether it is published now, and only counted before."""
        return self.in_scope and self.was_read and not self.was_published

    @property
    def counted(self) -> str:
        """The minute from which equal rows are counted."""
        return (self.clock or self.date)[:16]


class Translate(Protocol):
    """`RowTranslator.translate`."""

    def __call__(
        self, rows: Sequence[JsonObject], minute: str | None, held: AbstractSet[bytes], clock: str = "", /
    ) -> list[TranslatedRow]:
        """Return the rows with their ids and records."""


class ReadsElsewhere:
    """Which rows other jobs have published, also those that were removed."""

    def __init__(self, source: Source) -> None:
        self._reads = [_EarlierRead(source, published) for published in source.elsewhere]

    def have(self, short: bytes, date: str, list_id: str | None = None) -> bool:
        """Return whether a row was published; a row of a listing has no list that matters."""
        return any(
            read.holds(short, date) and (read.dated(date) if list_id is None else read.wanted(date, (list_id,)))
            for read in self._reads
        )


class EarlierReads:
    """Which rows the latest, narrower read has counted, and which any earlier one has published."""

    def __init__(self, source: Source) -> None:
        self._reads = [_EarlierRead(source, published) for published in source.published]
        self._counts = source.read_counts

    def has(self, short: bytes, date: str, list_id: str) -> tuple[bool, bool]:
        """Return whether a row was counted, and whether it was published."""
        counted = self._counts and self._reads[0].holds(short, date)
        return counted, self.has_published(short, date, (list_id,))

    def has_published(self, short: bytes, date: str, list_ids: Collection[str]) -> bool:
        """Return whether a row of any of these lists was published."""
        return any(read.holds(short, date) and read.wanted(date, list_ids) for read in self._reads)


class _EarlierRead:
    def __init__(self, source: Source, published: Published) -> None:
        self._lists = frozenset(published.lists)
        self._since = published.since or ""
        self._before = published.before or ""
        self._known = events.unpack(published.known)
        self._lacks = events.unpack(published.lacks)
        # Recipients have no dates. Of too many none is remembered: then all that were in its scope were published.
        self._all = source.report == "recipients" and source.resource == "report" and not self._known

    def holds(self, short: bytes, date: str) -> bool:
        return short not in self._lacks and (self._all or date < self._before or short in self._known)

    def wanted(self, date: str, list_ids: Collection[str]) -> bool:
        return (not self._lists or not self._lists.isdisjoint(list_ids)) and self.dated(date)

    def dated(self, date: str) -> bool:
        return date >= self._since
