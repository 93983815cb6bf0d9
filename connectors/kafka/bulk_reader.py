"""Reading partitions to their ends in bulk: as EndReader does, many records at a time without an object for each."""

import time
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from confluent_kafka import Consumer, KafkaException

from connectors.kafka.consumer import by_partition
from connectors.kafka.read_to_end import EndReader, ReadError, TopicAndPartition

try:
    from connectors.kafka.native_runs import PartitionQueue
except ImportError:  # there was no C compiler, or it is a release of confluent-kafka that is not known
    PartitionQueue = None  # type: ignore[assignment,misc]


class BulkReader(EndReader):
    """Partitions are assigned once; close the reader before its consumer.

    Args:
        max_records: the most that `poll_bulk` returns.
    """

    def __init__(
        self, consumer: Consumer, max_records: int, *, silence_seconds: float, deadline_seconds: float | None = None
    ) -> None:
        super().__init__(consumer, silence_seconds=silence_seconds, deadline_seconds=deadline_seconds)
        self._max_records = max_records
        self._queue: PartitionQueue | None = None

    def assign(
        self,
        parts: Collection[TopicAndPartition],
        starts: Mapping[TopicAndPartition, int] | None = None,
        ends: Mapping[TopicAndPartition, int] | None = None,
    ) -> None:
        """The same as EndReader's."""
        if self._queue is not None:
            # librdkafka ends the forwarding of a partition when it ends an assignment, some time later.
            raise RuntimeError("a reader in bulk is assigned partitions once")
        if PartitionQueue is not None:
            self._queue = PartitionQueue(self._consumer, parts, self._max_records)
        super().assign(parts, starts, ends)

    def close(self) -> None:
        """Give back what `poll_bulk` returned: librdkafka's own memory, which the consumer's `close` waits for."""
        if self._queue is not None:
            self._queue.close()
            self._queue = None

    def poll_bulk(self, seconds: float) -> dict[TopicAndPartition, Sequence[Any]]:
        """As `poll`, waiting the whole time for `max_records`: fewer and fuller pages, where latency does not matter.

        A page may be librdkafka's own memory: it is empty after the next call. Raises ReadError.
        """
        begun = time.monotonic()
        records: dict[tuple[str, int], Any]
        try:
            if self._queue is None:
                records, errors = by_partition(self._consumer.consume(self._max_records, seconds))
            else:
                records, failures = self._queue.poll(self._max_records, seconds)
                # The client's callbacks, and what it says about topics; records come the other way only.
                others, errors = by_partition(self._consumer.consume(100, 0))
                errors += failures
                if others:
                    raise ReadError(f"records of {', '.join(f'{t}[{p}]' for t, p in others)} came out of turn")
        except KafkaException as failure:
            raise ReadError(f"Topics cannot be read: {failure.args[0].str()}") from None
        return self.note_all(records, errors, time.monotonic() - begun)
