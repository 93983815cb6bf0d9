"""The records of a batch as events by person. Pure, but for what the batch keeps.

Most records of a backlog are of one shape and the only one of their person. Those stay bytes until somebody asks for
the event: whoever needs a plain import and has no row yet needs no event at all.
"""

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, NamedTuple

from schemas.envelope import EpochMillis
from streams.batches import Batch, Record
from streams.export.intake.decode import FUTURE_TOLERANCE_MS, UnreadableEvent, decode
from streams.export.rules.jobs import AudienceNames
from streams.export.rules.membership import MembershipEvent

try:
    from streams.export.rules import native_flat
except ImportError:  # there was no C compiler
    native_flat = None  # type: ignore[assignment]
if TYPE_CHECKING:
    from streams.export.rules.native_flat import PlainRecord


class ReadEvent(NamedTuple):
    """A record that can be used."""

    record: Record
    event: MembershipEvent
    size: int


class ReadPeople:
    """What a batch's records say, by person's key."""

    def __init__(self, plain: "dict[bytes, PlainRecord]") -> None:
        self.plain = plain
        """People with one record, of the common shape: their audience has the name that is known."""
        self._reads: dict[bytes, list[ReadEvent]] = {}
        self._unordered: list[list[ReadEvent]] = []

    def __iter__(self) -> Iterator[bytes]:
        """Yield everybody's key once. Events may be asked for meanwhile."""
        return iter([*self.plain, *(key for key in self._reads if key not in self.plain)])

    def reads(self, key: bytes) -> list[ReadEvent]:
        """Return somebody's events, by offset."""
        known = self._reads.get(key)
        if known is None:
            known = self._reads[key] = [_decoded(self.plain[key].record)]
        return known

    def events(self, key: bytes) -> list[MembershipEvent]:
        """Return the same without the records."""
        return [read.event for read in self.reads(key)]

    def names(self) -> Iterator[tuple[str, str, EpochMillis]]:
        """Yield (audience, name, event time) of all events that were decoded."""
        for reads in self._reads.values():
            for read in reads:
                yield from ((audience, name, read.event.at) for audience, name in read.event.names)

    def add(self, read: ReadEvent) -> None:
        """Add an event that was decoded; see `order`."""
        key = read.event.email.encode()
        reads = self._reads.setdefault(key, [])
        reads.append(read)
        if key in self.plain:
            reads.append(_decoded(self.plain.pop(key).record))
            self._unordered.append(reads)

    def order(self) -> None:
        """Put everybody's events in order, when all are added."""
        for reads in self._unordered:
            reads.sort(key=lambda read: read.record.offset)

    def decode_all(self) -> None:
        """Decode what is still bytes."""
        while self.plain:
            _, plain = self.plain.popitem()
            self.add(_decoded(plain.record))

    def remove(self, key: bytes) -> Iterable[Record]:
        """Remove somebody; returns the records."""
        plain, reads = self.plain.pop(key, None), self._reads.pop(key, ())
        return [plain.record] if plain is not None else [read.record for read in reads]


def read_people(batch: Batch, names: AudienceNames, at_least: int) -> ReadPeople:
    """Read a batch. What is in another person's partition is moved, what cannot be decoded is refused.

    `at_least`: of fewer records all are decoded.
    """
    records = batch.records
    people = ReadPeople({})
    if native_flat is not None and len(records) >= at_least:
        plain, records = native_flat.plain_records(records, names, FUTURE_TOLERANCE_MS)
        people = ReadPeople(plain)
    for record in records:
        event = _event_of(record)
        if isinstance(event, UnreadableEvent):
            batch.refuse(record, event.reason, stage=event.stage)
        else:
            people.add(ReadEvent(record, event, len(record.value or b"")))
    people.order()
    if people.plain and names.changes(people.names()):
        people.decode_all()  # the names that they were compared with are not those any more
    for key in [key for key in people if not batch.holds(key)]:
        for record in people.remove(key):
            batch.move(record, key)
    return people


def _event_of(record: Record) -> MembershipEvent | UnreadableEvent:
    return decode(record.value, record.headers, record.offset, record.timestamp, record.key)


def _decoded(record: Record) -> ReadEvent:
    event = _event_of(record)
    assert isinstance(event, MembershipEvent)  # noqa: S101 - it was of the common shape
    return ReadEvent(record, event, len(record.value or b""))
