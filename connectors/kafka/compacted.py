"""A compacted topic held in memory: read to its end, then followed.

For small tables that every process needs as a whole (authorizations, jobs, progress), not for rows by the million.
"""

import asyncio
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from types import TracebackType
from typing import Self, TypeVar

import structlog
from confluent_kafka import Consumer

from connectors.kafka.consumer import consumed
from connectors.kafka.read_to_end import UNKNOWN_SECONDS, EndReader, ReadError, reader_config
from connectors.kafka.records import ConsumedRecord, Position
from connectors.kafka.settings import KafkaSettings

log = structlog.get_logger(__name__)

T = TypeVar("T")

READ_SECONDS = 30.0
"""For reading to the end. A hundred thousand small records take about a second."""
POLL_SECONDS = 0.2
RECORDS_PER_POLL = 2_000

OnChange = Callable[[ConsumedRecord], None]
"""Called on the loop for each record in order, tombstones included, also while reading to the end."""


class CompactedTopic(Mapping[bytes, ConsumedRecord]):
    """The newest record of each key that was not deleted, as committed; a mapping from key to record.

    async with CompactedTopic(settings, "cm_jobs", on_change=changed) as jobs:
        record = jobs.get(b"job-1")
    """

    def __init__(self, settings: KafkaSettings, topic: str, on_change: OnChange | None = None) -> None:
        self.topic = topic
        self._config = {**reader_config(settings, "compacted"), "fetch.wait.max.ms": 100}
        self._on_change = on_change
        self._records: dict[bytes, ConsumedRecord] = {}
        self._next: dict[int, int] = {}
        self._moved = asyncio.Condition()
        self._consumer: Consumer | None = None
        self._reader: EndReader | None = None
        self._thread: ThreadPoolExecutor | None = None
        self._following: asyncio.Task[None] | None = None

    async def start(self, *, timeout_seconds: float = READ_SECONDS) -> None:
        """Return when everything that was in the topic is held, and go on following it.

        Raises:
            MissingTopicError: there is no such topic.
            ReadError: its end was not reached in time.
        """
        self._thread = ThreadPoolExecutor(1, thread_name_prefix=f"compacted-{self.topic}")
        self._consumer = Consumer(self._config)
        reader = self._reader = EndReader(
            self._consumer, silence_seconds=timeout_seconds, deadline_seconds=timeout_seconds
        )
        try:
            await self._in_thread(lambda reader: self._assign(reader, timeout_seconds))
            while reader.open:
                await self._step()
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

    async def catch_up(self, *, timeout_seconds: float = READ_SECONDS) -> None:
        """Return when everything is held that was in the topic at the call. Raises TimeoutError, KafkaException."""
        consumer = self._consumer
        if consumer is None:
            raise RuntimeError(f"the view of {self.topic} was not started, or is closed")

        def ends(_reader: EndReader) -> list[Position]:
            found = [
                (part, consumer.get_watermark_offsets(part, timeout=READ_SECONDS)) for part in consumer.assignment()
            ]
            return [Position(part.topic, part.partition, end - 1) for part, (_start, end) in found]

        async with asyncio.timeout(timeout_seconds):
            for position in await self._in_thread(ends):
                await self.wait_for(position, timeout_seconds=timeout_seconds)

    async def close(self) -> None:
        """Stop following; what is held stays as it is."""
        if self._following:
            self._following.cancel()
            await asyncio.gather(self._following, return_exceptions=True)
            self._following = None
        if self._consumer and self._thread:
            consumer = self._consumer
            await self._in_thread(lambda _reader: consumer.close())
            self._thread.shutdown(wait=False)
            self._consumer = self._reader = None

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

    def _assign(self, reader: EndReader, timeout_seconds: float) -> None:
        reader.assign(reader.partitions(self.topic, min(UNKNOWN_SECONDS, timeout_seconds)))

    async def _follow(self) -> None:
        while True:
            try:
                await self._step()
            except ReadError as error:
                # Not a reason to forget what is held: the client connects again by itself.
                log.warning("compacted topic", topic=self.topic, detail=str(error))
                await asyncio.sleep(POLL_SECONDS)

    async def _step(self) -> None:
        """Apply what has come."""
        found = await self._in_thread(lambda reader: reader.poll(RECORDS_PER_POLL, POLL_SECONDS))
        for messages in found.values():
            for message in messages:
                self._apply(consumed(message))
        if self._reader is not None:  # behind the last record there may be markers of transactions
            self._next.update({part.partition: offset for part, offset in self._reader.next_offsets.items()})
        async with self._moved:
            self._moved.notify_all()

    def _apply(self, record: ConsumedRecord) -> None:
        if record.key is None:
            return
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

    def _in_thread(self, work: Callable[[EndReader], T]) -> "asyncio.Future[T]":
        if self._reader is None or self._thread is None:
            raise RuntimeError(f"the view of {self.topic} was not started, or is closed")
        reader = self._reader
        return asyncio.get_running_loop().run_in_executor(self._thread, lambda: work(reader))
