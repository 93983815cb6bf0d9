"""Offsets of source partitions: where reading begins, and which offset may be committed. Pure.

The oldest fetched range that is not settled bounds the commit.

Replaces Faust's gap bookkeeping for batched topics, which commits over unfinished batches (a later batch acknowledged
before an earlier one, or a gap left over from before a rebalance).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from streams.batches.core.errors import WrongPosition


class TopicPartition(NamedTuple):
    """Equal to, and hashing as, aiokafka's and Faust's own."""

    topic: str
    partition: int


class RangeLedger:
    """Fetched and settled ranges of one partition under one assignment."""

    __slots__ = ("_open", "generation", "position", "unsettled_bytes")

    def __init__(self, position: int, generation: int) -> None:
        self.position = position
        """Next offset to be fetched; everything before it was fetched, or is not readable (transaction markers)."""
        self.generation = generation
        self.unsettled_bytes = 0
        """Keys and values of the open ranges' records."""
        self._open: dict[int, int] = {}  # first offsets of unsettled ranges, ascending -> bytes

    def fetched(self, first: int, position: int, size: int = 0) -> None:
        """Open a range: records from `first` on, `size` bytes of them; the consumer is at `position`.

        first == position: there were no records. ValueError for a range before the position.
        """
        if first < self.position or position < first:
            raise ValueError(f"range {first}..{position} does not follow position {self.position}")
        if position > first:
            self._open[first] = size
            self.unsettled_bytes += size
        self.position = position

    def settled(self, first: int) -> None:
        """Close the range that began at `first`; KeyError when it is not open."""
        self.unsettled_bytes -= self._open.pop(first)

    def discount(self) -> None:
        """Stop counting the bytes of the ranges that are open now."""
        self._open = dict.fromkeys(self._open, 0)
        self.unsettled_bytes = 0

    @property
    def committable(self) -> int:
        """First offset of the oldest range that is not settled, else the position."""
        return next(iter(self._open), self.position)

    @property
    def unsettled(self) -> int:
        """Number of open ranges."""
        return len(self._open)


class OffsetLedger:
    """The ledgers of all partitions that are assigned; calls for an older assignment are ignored."""

    def __init__(self) -> None:
        self._ledgers: dict[TopicPartition, RangeLedger] = {}
        self._committed: dict[TopicPartition, int] = {}

    def assign(self, tp: tuple[str, int], position: int, generation: int, committed: int | None = None) -> None:
        """Begin at `position` under `generation`, with nothing in work; also after a seek."""
        key = TopicPartition(*tp)
        self._ledgers[key] = RangeLedger(position, generation)
        if committed is None:
            self._committed.pop(key, None)
        else:
            self._committed[key] = committed

    def revoke(self, tps: Iterable[tuple[str, int]]) -> None:
        """Forget partitions as a whole; nothing of them can be committed any more."""
        for tp in tps:
            self._ledgers.pop(TopicPartition(*tp), None)
            self._committed.pop(TopicPartition(*tp), None)

    def fetched(self, tp: tuple[str, int], first: int, position: int, size: int = 0) -> bool:
        """See RangeLedger; False when the partition is not ours, so that the records must not be delivered."""
        ledger = self._ledgers.get(TopicPartition(*tp))
        if ledger is None:
            return False
        ledger.fetched(first, position, size)
        return True

    def settled(self, tp: tuple[str, int], first: int, generation: int) -> bool:
        """See RangeLedger; False, and nothing done, when the generation is not that of the assignment."""
        ledger = self._ledgers.get(TopicPartition(*tp))
        if ledger is None or ledger.generation != generation:
            return False
        ledger.settled(first)
        return True

    def discount(self, partition: int) -> None:
        """Stop counting the open ranges of this partition, which is blocked: others must not wait for their room."""
        for tp, ledger in self._ledgers.items():
            if tp.partition == partition:
                ledger.discount()

    def to_commit(self) -> dict[TopicPartition, int]:
        """Return the offsets that are not committed yet."""
        return {
            tp: ledger.committable
            for tp, ledger in self._ledgers.items()
            if ledger.committable != self._committed.get(tp)
        }

    def committed(self, offsets: Mapping[TopicPartition, int], generation: int) -> None:
        """Record a successful commit. A failed one is not recorded, so it is retried at the next tick."""
        for tp, offset in offsets.items():
            ledger = self._ledgers.get(TopicPartition(*tp))
            if ledger is not None and ledger.generation == generation:
                self._committed[TopicPartition(*tp)] = offset

    def positions(self) -> dict[TopicPartition, int]:
        """Return the next offset to be fetched, by partition."""
        return {tp: ledger.position for tp, ledger in self._ledgers.items()}

    def known_to_broker(self) -> dict[TopicPartition, int]:
        """Return the offsets that the broker confirmed, or had at assignment."""
        return dict(self._committed)

    def unsettled(self) -> int:
        """Return the number of ranges in work, all partitions together."""
        return sum(ledger.unsettled for ledger in self._ledgers.values())

    def unsettled_bytes(self) -> int:
        """Return the bytes of all open ranges. From any thread."""
        return sum(ledger.unsettled_bytes for ledger in list(self._ledgers.values()))


class StartPosition(NamedTuple):
    """The first offset to fetch, and how many records before it were removed unread."""

    offset: int
    lost: int = 0


def topic_metadata(topic_id: int) -> str:
    """Return the metadata that is committed with offsets: offsets of an earlier topic of the same name differ in it."""
    return f"topic:{topic_id:08x}"


def start_position(
    topic: str, partition: int, committed: tuple[int, str] | None, first: int, end: int, topic_id: int
) -> StartPosition:
    """Return where to begin: the committed offset, unless it cannot be trusted.

    `committed` is (offset, metadata) or None; `first`..`end` are the log start and the last stable offset.
    WrongPosition when the offset belongs to an earlier topic of this name, or lies behind the end: to continue would
    skip records silently.
    """
    where = f"{topic}[{partition}]"
    if committed is None:
        return StartPosition(first)
    offset, metadata = committed
    metadata = metadata.rstrip("\0")  # confluent-kafka commits its C string's end with it
    if metadata.startswith("topic:") and metadata != topic_metadata(topic_id):
        raise WrongPosition(
            f"{where} was deleted and created again since offset {offset} was committed (it now holds {first}..{end}); "
            f"reset the group's offsets of this topic to begin with its first record"
        )
    if offset > end:
        raise WrongPosition(
            f"{where}: offset {offset} was committed, but the topic ends at {end}: it was truncated or created again; "
            f"reset the group's offsets of this topic"
        )
    if offset < first:
        return StartPosition(first, lost=first - offset)
    return StartPosition(offset)
