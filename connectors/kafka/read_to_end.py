"""Reading topics from somewhere to the end that they had at the start: the one way to do it.

The end of a partition is its last stable offset, so what an open transaction holds back is not waited for. A partition
is at its end when the last offset before it was read, or the client reports it: the last offsets may be markers of
transactions, aborted or compacted away, which are never delivered. An empty partition is at its end at once.
"""

import logging
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import structlog
from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition

from connectors.kafka.access import KafkaAccess
from connectors.kafka.client_config import consumer_config, reader_group
from connectors.kafka.consumer import by_partition, consumed, drained
from connectors.kafka.records import ConsumedRecord
from connectors.kafka.refusals import passes

log = structlog.get_logger(__name__)

REQUEST_SECONDS = 30.0
"""For one answer of the brokers."""
UNKNOWN_SECONDS = 3.0
"""How long a topic may be unknown: a broker learns of a new one a moment after the controller has created it."""
SILENCE_SECONDS = 30.0
"""Nothing may come for so long before a reading is ended: longer than a broker takes to restart."""
POLL_SECONDS = 0.2
RECORDS_PER_PAGE = 5_000


class ReadError(RuntimeError):
    """A topic cannot be read to its end; the text names the topic and the cause."""


class MissingTopicError(ReadError):
    """There is no such topic."""


class TopicAndPartition(NamedTuple):
    """Names one partition."""

    topic: str
    partition: int


class EndReader:
    """Reads partitions to their ends, and on from there if asked. Every method blocks.

    Args:
        consumer: made with `reader_config`; it stays the caller's to close.
        silence_seconds: the longest time without a record before `poll` ends with ReadError, while ends are open.
        deadline_seconds: for all of it, when a reading must be short; none without it.
    """

    def __init__(
        self, consumer: Consumer, *, silence_seconds: float = SILENCE_SECONDS, deadline_seconds: float | None = None
    ) -> None:
        self._consumer = consumer
        self._silence_seconds = silence_seconds
        self._deadline_seconds = deadline_seconds
        self._fault = ""
        self._began, self._silent = time.monotonic(), 0.0
        self._ends: dict[TopicAndPartition, int] = {}
        self.open: set[TopicAndPartition] = set()
        """Partitions whose end was not reached yet."""
        self.next_offsets: dict[TopicAndPartition, int] = {}
        """Where each partition goes on: behind what was delivered, at its end also behind markers."""

    def partitions(self, topic: str, unknown_seconds: float = UNKNOWN_SECONDS) -> list[TopicAndPartition]:
        """Return a topic's partitions. Raises MissingTopicError, ReadError."""
        until = time.monotonic() + unknown_seconds
        while True:
            try:
                known = self._consumer.list_topics(topic, timeout=REQUEST_SECONDS).topics[topic]
            except KafkaException as failure:
                raise ReadError(f"Topic {topic} cannot be read: {failure.args[0].str()}") from None
            if known.error is None:
                return [TopicAndPartition(topic, number) for number in sorted(known.partitions)]
            if time.monotonic() > until:
                raise MissingTopicError(
                    f"Topic {topic} cannot be read: {known.error.str()}; create the topics with "
                    "`cm-streams check-topics --create`"
                )
            time.sleep(POLL_SECONDS)

    def bounds(self, part: TopicAndPartition) -> tuple[int, int]:
        """Return the first offset of a partition and the one behind its last committed record. Raises ReadError."""
        first, end = _answered(
            lambda: self._consumer.get_watermark_offsets(TopicPartition(*part), REQUEST_SECONDS),
            f"Topic {part.topic} cannot be read",
        )
        return first, end

    def committed(self, parts: Sequence[TopicAndPartition]) -> dict[TopicAndPartition, int]:
        """Return the offsets that the consumer's group has committed, where it has. Raises ReadError."""
        asked = [TopicPartition(*part) for part in parts]
        found = _answered(
            lambda: self._consumer.committed(asked, REQUEST_SECONDS), "The group's offsets cannot be read"
        )
        return {TopicAndPartition(part.topic, part.partition): part.offset for part in found if part.offset >= 0}

    def assign(
        self,
        parts: Collection[TopicAndPartition],
        starts: Mapping[TopicAndPartition, int] | None = None,
        ends: Mapping[TopicAndPartition, int] | None = None,
    ) -> None:
        """Begin with these partitions at `starts`, else at their first records; `ends` where the caller has them.

        Raises:
            ReadError: the brokers do not answer.
        """
        assigned = []
        self._ends, self.next_offsets, self.open = {}, {}, set()
        for part in parts:
            if ends is not None and starts is not None:
                first, end = starts[part], ends[part]
            else:
                first, end = self.bounds(part)
            start = max(first, (starts or {}).get(part, first))
            self._ends[part], self.next_offsets[part] = end, start
            if start < end:
                self.open.add(part)
            assigned.append(TopicPartition(*part, start))
        self._consumer.assign(assigned)
        self._began, self._silent = time.monotonic(), 0.0

    def poll(
        self, max_records: int = RECORDS_PER_PAGE, seconds: float = POLL_SECONDS
    ) -> dict[TopicAndPartition, list[Message]]:
        """Return what has come, by partition, in order; nothing after `seconds` without any.

        Records behind the end are returned as well, see `before_end`.

        Raises:
            ReadError: a fault that does not pass by itself; or ends are open and nothing came for too long.
        """
        begun = time.monotonic()
        try:
            messages = drained(self._consumer, max_records, seconds)
        except KafkaException as failure:
            raise ReadError(f"Topics cannot be read: {failure.args[0].str()}") from None
        return self.note_all(*by_partition(messages), time.monotonic() - begun)

    def note_all(
        self, grouped: Mapping[tuple[str, int], Any], errors: Iterable[Message], waited_seconds: float
    ) -> dict[TopicAndPartition, Any]:
        """Keep in mind what has come, and return what is of partitions that are read. Raises ReadError."""
        # Others are of an earlier assignment.
        found = {TopicAndPartition(*part): some for part, some in grouped.items() if part in self._ends}
        for message in errors:
            part = TopicAndPartition(message.topic(), message.partition())
            if part in self._ends:
                self._note(part, message)
        for part, some in found.items():
            self.next_offsets[part] = max(self.next_offsets.get(part, 0), some[-1].offset() + 1)
            if part in self.open and self.next_offsets[part] >= self._ends[part]:
                self.open.discard(part)
        # Only what was waited here counts: the caller may take its time with a page.
        self._silent = 0.0 if found else self._silent + waited_seconds
        if self.open:
            self._check_time(time.monotonic())
        return found

    def _note(self, part: TopicAndPartition, message: Message) -> None:
        """A message that is an error: the end of a partition, a fault that passes, or ReadError."""
        error = message.error()
        if error.code() == KafkaError._PARTITION_EOF:
            self.next_offsets[part] = max(self.next_offsets.get(part, 0), message.offset())
            self.open.discard(part)
        elif passes(error):
            self._fault = error.str()
        else:
            raise ReadError(f"Topic {part.topic} cannot be read: {error.str()}")

    def before_end(self, part: TopicAndPartition, messages: list[Message]) -> list[Message]:
        """Return those that were there at the start; what came meanwhile is left for another time."""
        end = self._ends[part]
        if messages[-1].offset() < end:
            return messages
        return [message for message in messages if message.offset() < end]

    def _check_time(self, now: float) -> None:
        if self._silent > self._silence_seconds:
            why = f"nothing came for {self._silence_seconds:g} s"
        elif self._deadline_seconds is not None and now - self._began > self._deadline_seconds:
            why = f"it took longer than {self._deadline_seconds:g} s"
        else:
            return
        parts = ", ".join(
            f"{part.topic}[{part.partition}] at {self.next_offsets[part]} of {self._ends[part]}"
            for part in sorted(self.open)
        )
        fault = f" ({self._fault})" if self._fault else ""
        raise ReadError(f"{why}, and not read to the end is {parts}{fault}")


def reader_config(settings: KafkaAccess, role: str, group: str | None = None) -> dict[str, Any]:
    """Return the configuration of a consumer for an EndReader.

    Partitions are assigned by hand: without a `group` whose offsets are asked for, it leaves no trace at the brokers. A
    request that waits for records at an end delays what is asked next, so it waits for 10 ms only. It reads from
    leaders, whatever the rack: other replicas' ends may lie before the one that is known.
    """
    config = consumer_config(settings, role, group or reader_group(settings, role))
    own = {"client.rack": "", "enable.partition.eof": True, "fetch.wait.max.ms": 10}
    return config | own | {"logger": logging.getLogger("librdkafka")}


def read_to_end(
    settings: KafkaAccess,
    role: str,
    topics: str | Sequence[str],
    *,
    partitions: Collection[int] | None = None,
    silence_seconds: float = SILENCE_SECONDS,
    deadline_seconds: float | None = None,
    progress: Callable[[int], None] = lambda _records: None,
) -> Iterator[list[ConsumedRecord]]:
    """Yield the committed records that topics hold now, in pages; each partition's in order, partitions mixed. Blocks.

    `partitions`: only these. `progress` is called with the number of records after each page.

    Raises:
        MissingTopicError: there is no such topic.
        ReadError: the end was not reached; see EndReader.
    """
    consumer = Consumer(reader_config(settings, role))
    try:
        reader = EndReader(consumer, silence_seconds=silence_seconds, deadline_seconds=deadline_seconds)
        parts = [
            part
            for topic in ([topics] if isinstance(topics, str) else topics)
            for part in reader.partitions(topic)
            if partitions is None or part.partition in partitions
        ]
        reader.assign(parts)
        count = 0
        for page in pages(reader):
            count += len(page)
            yield page
            progress(count)
    finally:
        consumer.close()


def pages(reader: EndReader, max_records: int = RECORDS_PER_PAGE) -> Iterator[list[ConsumedRecord]]:
    """Yield what a reader's partitions held when they were assigned. Raises ReadError."""
    while reader.open:
        page = [
            consumed(message)
            for part, messages in reader.poll(max_records).items()
            for message in reader.before_end(part, messages)
        ]
        if page:
            yield page


def newest_by_partition(
    settings: KafkaAccess, role: str, topic: str, *, silence_seconds: float = SILENCE_SECONDS
) -> Iterator[dict[bytes, ConsumedRecord]]:
    """Yield the newest record of each key, tombstones included, a partition at a time: memory holds one. Blocks.

    Raises:
        MissingTopicError: there is no such topic.
        ReadError: the end was not reached; see EndReader.
    """
    consumer = Consumer(reader_config(settings, role))
    try:
        reader = EndReader(consumer, silence_seconds=silence_seconds)
        for part in reader.partitions(topic):
            reader.assign([part])
            yield {record.key: record for page in pages(reader) for record in page if record.key is not None}
    finally:
        consumer.close()


def _answered(ask: Callable[[], Any], sentence: str) -> Any:
    """Return the brokers' answer; what passes by itself is asked again. Raises ReadError."""
    until = time.monotonic() + REQUEST_SECONDS
    while True:
        try:
            return ask()
        except KafkaException as failure:
            error = failure.args[0]
            if not passes(error) or time.monotonic() > until:
                raise ReadError(f"{sentence}: {error.str()}") from None
        time.sleep(POLL_SECONDS / 4)
