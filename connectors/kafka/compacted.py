"""A compacted topic held in memory: read to its end, then followed.

For small tables that every process needs as a whole (authorizations, jobs, progress), not for rows by the million.
"""

import asyncio
import logging
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from types import TracebackType
from typing import Self, TypeVar

import structlog
from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, KafkaException, Message, TopicPartition

from connectors.kafka.consumer import consumed, drained
from connectors.kafka.records import ConsumedRecord, Position
from connectors.kafka.settings import KafkaSettings, consumer_config

log = structlog.get_logger(__name__)

T = TypeVar("T")

READ_SECONDS = 30.0
"""For reading to the end. A hundred thousand small records take about a second."""
UNKNOWN_SECONDS = 3.0
"""How long a topic may be unknown: a broker hears of a new one a moment after the controller has made it."""
POLL_SECONDS = 0.2
RECORDS_PER_POLL = 2_000

OnChange = Callable[[ConsumedRecord], None]
"""Called on the loop for each record in order, tombstones included, also while reading to the end."""


class CompactedTopicError(RuntimeError):
    """The topic cannot be read to its end; says which topic and why."""


class CompactedTopic(Mapping[bytes, ConsumedRecord]):
    """The newest record of each key that was not deleted, as committed; a mapping from key to record.

    async with CompactedTopic(settings, "cm_jobs", on_change=changed) as jobs:
        record = jobs.get(b"job-1")
    """

    def __init__(self, settings: KafkaSettings, topic: str, on_change: OnChange | None = None) -> None:
        self.topic = topic
        config = consumer_config(settings, "compacted", f"{topic}-view-{uuid.uuid4().hex}")
        # Assigned by hand, so the group has no members and nothing is committed: no trace of it at the brokers.
        config["enable.partition.eof"] = True
        config["fetch.wait.max.ms"] = 100
        self._config = config
        self._on_change = on_change
        self._records: dict[bytes, ConsumedRecord] = {}
        self._next: dict[int, int] = {}
        self._fault = ""
        self._moved = asyncio.Condition()
        self._consumer: Consumer | None = None
        self._thread: ThreadPoolExecutor | None = None
        self._following: asyncio.Task[None] | None = None

    async def start(self, *, timeout_seconds: float = READ_SECONDS) -> None:
        """Return when everything that was in the topic is held, and go on following it.

        Raises:
            CompactedTopicError: there is no such topic, or its end was not reached in time.
        """
        self._thread = ThreadPoolExecutor(1, thread_name_prefix=f"compacted-{self.topic}")
        self._consumer = Consumer({**self._config, "logger": logging.getLogger("librdkafka")})
        deadline = time.monotonic() + timeout_seconds
        try:
            open_partitions = await self._in_thread(lambda consumer: self._assign(consumer, timeout_seconds))
            while open_partitions:
                if time.monotonic() > deadline:
                    raise CompactedTopicError(
                        f"Topic {self.topic} was not read to its end within {timeout_seconds:g} s "
                        f"({self._fault or 'the brokers gave nothing'})"
                    )
                open_partitions -= await self._step()
        except BaseException:
            await self.close()
            raise
        log.info("compacted topic read", topic=self.topic, keys=len(self._records))
        self._following = asyncio.create_task(self._follow(), name=f"follow-{self.topic}")

    async def wait_for(self, position: Position, *, timeout_seconds: float = READ_SECONDS) -> None:
        """Return when the record at this position was seen here. Raises TimeoutError.

        After publishing, it makes one's own write visible; what was seen is the order that everybody sees.
        """
        async with asyncio.timeout(timeout_seconds), self._moved:
            await self._moved.wait_for(lambda: self._next.get(position.partition, 0) > position.offset)

    async def close(self) -> None:
        """Stop following; what is held stays as it is."""
        if self._following:
            self._following.cancel()
            await asyncio.gather(self._following, return_exceptions=True)
            self._following = None
        if self._consumer and self._thread:
            await self._in_thread(lambda consumer: consumer.close())
            self._thread.shutdown(wait=False)
            self._consumer = None

    def __getitem__(self, key: bytes) -> ConsumedRecord:
        return self._records[key]

    def __iter__(self) -> Iterator[bytes]:
        return iter(list(self._records))

    def __len__(self) -> int:
        return len(self._records)

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None:
        await self.close()

    def _assign(self, consumer: Consumer, timeout_seconds: float) -> set[int]:
        until = time.monotonic() + min(UNKNOWN_SECONDS, timeout_seconds)
        while True:
            try:
                known = consumer.list_topics(self.topic, timeout=timeout_seconds).topics[self.topic]
            except KafkaException as failure:
                raise CompactedTopicError(f"Topic {self.topic} cannot be read: {failure.args[0].str()}") from None
            if known.error is None or time.monotonic() > until:
                break
            time.sleep(POLL_SECONDS)
        if known.error is not None:
            raise CompactedTopicError(
                f"Topic {self.topic} cannot be read: {known.error.str()}; create the topics with "
                "`cm-streams check-topics --create`"
            )
        consumer.assign([TopicPartition(self.topic, number, OFFSET_BEGINNING) for number in known.partitions])
        return set(known.partitions)

    async def _follow(self) -> None:
        while True:
            await self._step()

    async def _step(self) -> set[int]:
        """Take what has come, and return the partitions whose end was reached."""
        messages = await self._in_thread(lambda consumer: drained(consumer, RECORDS_PER_POLL, POLL_SECONDS))
        ended = {self._take(message) for message in messages}
        if messages:
            async with self._moved:
                self._moved.notify_all()
        return {partition for partition in ended if partition is not None}

    def _take(self, message: Message) -> int | None:
        error = message.error()
        if error is not None:
            if error.code() == KafkaError._PARTITION_EOF:
                partition: int = message.partition()
                # The end lies behind transaction markers, which are never delivered.
                self._next[partition] = max(self._next.get(partition, 0), message.offset())
                return partition
            # Not a reason to forget what is held: the client connects anew by itself.
            self._fault = error.str()
            log.warning("compacted topic", topic=self.topic, detail=self._fault)
            return None
        record = consumed(message)
        self._next[record.partition] = record.offset + 1
        if record.key is None:
            return None
        if record.value is None:
            self._records.pop(record.key, None)
        else:
            self._records[record.key] = record
        if self._on_change:
            try:
                self._on_change(record)
            except Exception:
                # One bad record must not end the view of all others for the rest of the process's life.
                log.exception("compacted topic callback failed", topic=self.topic, offset=record.offset)
        return None

    def _in_thread(self, work: Callable[[Consumer], T]) -> "asyncio.Future[T]":
        if self._consumer is None or self._thread is None:
            raise RuntimeError(f"the view of {self.topic} was not started, or is closed")
        consumer = self._consumer
        return asyncio.get_running_loop().run_in_executor(self._thread, lambda: work(consumer))
