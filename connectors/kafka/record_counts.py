"""How many records lie between two offsets, which only reading shows: markers of transactions take offsets, too.

All partitions are read at once, and what was counted between the same offsets is known.
"""

from collections.abc import Collection, Iterable, Mapping

from confluent_kafka import Consumer

from connectors.kafka.read_to_end import EndReader, ReadError, TopicAndPartition

Range = tuple[TopicAndPartition, int, int]
"""Partition, first offset to count, first offset behind."""
PAGE = 1_000


class RecordCounts:
    """Counts with a consumer that is the caller's. Every call blocks."""

    def __init__(self, seconds: float) -> None:
        """`seconds`: for all of one call."""
        self._seconds = seconds
        self._known: dict[Range, int] = {}

    def of(self, consumer: Consumer, ranges: Collection[Range]) -> Mapping[Range, int]:
        """Return how many records can be read in each range; those that do not come in time are left out."""
        self._known = {place: count for place, count in self._known.items() if place in ranges}
        if unknown := [place for place in ranges if place not in self._known]:
            self._known |= self._read(consumer, unknown)
        return self._known

    def _read(self, consumer: Consumer, ranges: Iterable[Range]) -> dict[Range, int]:
        starts, ends = span(ranges)
        offsets: dict[TopicAndPartition, list[int]] = {part: [] for part in starts}
        reader = EndReader(consumer, deadline_seconds=self._seconds)
        try:
            reader.assign(starts, starts, ends)
            while reader.open:
                for part, messages in reader.poll(PAGE).items():
                    offsets[part] += [message.offset() for message in messages]
        except ReadError:
            pass  # those whose ends were reached are counted
        finally:
            consumer.unassign()
        return {
            (part, start, end): sum(start <= offset < end for offset in offsets[part])
            for part, start, end in ranges
            if part not in reader.open
        }


def span(ranges: Iterable[Range]) -> tuple[dict[TopicAndPartition, int], dict[TopicAndPartition, int]]:
    """Return the first start and the last end of each partition (pure): one reading serves all groups."""
    starts: dict[TopicAndPartition, int] = {}
    ends: dict[TopicAndPartition, int] = {}
    for part, start, end in ranges:
        starts[part] = min(start, starts.get(part, start))
        ends[part] = max(end, ends.get(part, end))
    return starts, ends
