"""Which offset may be committed: the oldest fetched range that is not settled bounds it. Pure bookkeeping.

Replaces Faust's gap bookkeeping for batched topics, which commits over unfinished batches (a later batch acknowledged
before an earlier one, or a gap left over from before a rebalance).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple


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
        """Of the open ranges' records, as far as they were said."""
        self._open: dict[int, int] = {}  # first offsets of unsettled ranges, ascending -> bytes

    def fetched(self, first: int, position: int, size: int = 0) -> None:
        """Records from `first` on were handed out, `size` bytes of them, the consumer stands at `position`;
        first == position: no records."""
        if first < self.position or position < first:
            raise ValueError(f"range {first}..{position} does not follow position {self.position}")
        if position > first:
            self._open[first] = size
            self.unsettled_bytes += size
        self.position = position

    def settled(self, first: int) -> None:
        """The range that began at `first` is done; KeyError when it is not open."""
        self.unsettled_bytes -= self._open.pop(first)

    def discount(self) -> None:
        """Count the bytes of what is open no more."""
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
    """The ledgers of all partitions that are assigned; what is said of an older assignment is ignored."""

    def __init__(self) -> None:
        self._ledgers: dict[TopicPartition, RangeLedger] = {}
        self._committed: dict[TopicPartition, int] = {}

    def assign(self, tp: tuple[str, int], position: int, generation: int, committed: int | None = None) -> None:
        """Begin at `position` under `generation`, with nothing in work. Also what a seek does."""
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
        """See RangeLedger; False when it was said of an older assignment."""
        ledger = self._ledgers.get(TopicPartition(*tp))
        if ledger is None or ledger.generation != generation:
            return False
        ledger.settled(first)
        return True

    def discount(self, partition: int) -> None:
        """What is open in this partition, in any topic, is held up: others must not wait for the room that it takes."""
        for tp, ledger in self._ledgers.items():
            if tp.partition == partition:
                ledger.discount()

    def to_commit(self) -> dict[TopicPartition, int]:
        """Offsets that the broker does not know yet."""
        return {
            tp: ledger.committable
            for tp, ledger in self._ledgers.items()
            if ledger.committable != self._committed.get(tp)
        }

    def committed(self, offsets: Mapping[TopicPartition, int], generation: int) -> None:
        """The broker took these offsets. Said only on success: a failed commit is tried again at the next tick."""
        for tp, offset in offsets.items():
            ledger = self._ledgers.get(TopicPartition(*tp))
            if ledger is not None and ledger.generation == generation:
                self._committed[TopicPartition(*tp)] = offset

    def positions(self) -> dict[TopicPartition, int]:
        """Next offset to be fetched, by partition."""
        return {tp: ledger.position for tp, ledger in self._ledgers.items()}

    def known_to_broker(self) -> dict[TopicPartition, int]:
        """Offsets that the broker confirmed, or had at assignment."""
        return dict(self._committed)

    def unsettled(self) -> int:
        """Ranges in work, all partitions together."""
        return sum(ledger.unsettled for ledger in self._ledgers.values())

    def unsettled_bytes(self) -> int:
        """Their records' bytes. May be asked from another thread."""
        return sum(ledger.unsettled_bytes for ledger in list(self._ledgers.values()))
