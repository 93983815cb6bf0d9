"""Since when the oldest change waits that export workers have read and not delivered, as they report it."""

from collections.abc import Mapping

from confluent_kafka import Consumer

from connectors.kafka.lag import Bounds
from connectors.kafka.read_to_end import EndReader, TopicAndPartition, pages, reader_config
from connectors.kafka.settings import KafkaSettings
from streams.export.rules.waiting import WAITING, Undelivered, WaitingReport, undelivered

READ_SECONDS = 5.0
"""For what is new in the topic; the first time for all of it."""


class UndeliveredReader:
    """Follows the reports of all workers. Keeps its connection; every call blocks."""

    def __init__(self, kafka: KafkaSettings) -> None:
        self.topic = kafka.names()["cm_export-state"]
        self._consumer = Consumer({**reader_config(kafka, "undelivered"), "log_level": 0})
        self._next: dict[TopicAndPartition, int] = {}
        self._reports: dict[bytes, WaitingReport] = {}

    def read(self, bounds: Bounds, now: float) -> Undelivered:
        """Return what waits. `bounds`: of the topic, where it is there. Raises ReadError."""
        own = {part: ends for part, ends in bounds.items() if part.topic == self.topic}
        self._follow(own)
        return undelivered(self._reports.values(), now)

    def close(self) -> None:
        """End the connection."""
        self._consumer.close()

    def _follow(self, bounds: Mapping[TopicAndPartition, tuple[int, int]]) -> None:
        starts = {part: max(start, self._next.get(part, 0)) for part, (start, end) in bounds.items()}
        for part, (start, end) in bounds.items():
            if starts[part] > end:  # the topic was created again
                starts[part] = start
                self._reports.clear()
        new = {part: end for part, (_start, end) in bounds.items() if starts[part] < end}
        if not new:
            return
        reader = EndReader(self._consumer, deadline_seconds=READ_SECONDS)
        try:
            reader.assign(new, starts, new)
            for page in pages(reader):
                for record in page:
                    self._merge(record.key or b"", record.value)
        finally:
            self._consumer.unassign()
            self._next |= {part: offset for part, offset in reader.next_offsets.items() if part not in reader.open}

    def _merge(self, key: bytes, value: bytes | None) -> None:
        if not key.startswith(WAITING):
            return
        report = WaitingReport.from_bytes(value) if value is not None else None
        if report is None:
            self._reports.pop(key, None)
        else:
            self._reports[key] = report
