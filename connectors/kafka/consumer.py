"""A member of a consumer group that works on one record per partition at a time, on several partitions at once.

For work whose records are rare and whose handling is long: a task is a page of an import, not an event. While one is in
work polling goes on, so the group never takes a long page for a dead member. Offsets are
moved by whoever handles the record: inside its transaction (`group_metadata`), or by `commit`.
"""

import asyncio
import contextlib
import logging
from collections import deque
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import structlog
from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition

from connectors.kafka.client_config import consumer_config
from connectors.kafka.records import ConsumedRecord, Position

if TYPE_CHECKING:
    from connectors.kafka.settings import KafkaSettings

log = structlog.get_logger(__name__)

POLL_SECONDS = 0.2
"""How long one poll may take: also how late a stop or a resumed partition is noticed at the latest."""
RECORDS_PER_POLL = 100
MAX_WAITING = 200
"""Records of a partition that are held; with more its fetching is paused. Not at each record: to pause and to resume
blocks the caller for some 50 ms each while another thread polls."""

PartitionCallback = Callable[[frozenset[int]], Awaitable[None]]
Handler = Callable[[ConsumedRecord], Awaitable[None]]


async def _nothing(_partitions: frozenset[int]) -> None:
    """Do nothing when partitions are assigned or revoked."""


class GroupConsumer:
    """Reads a topic's committed records as a member of a group.

    Args:
        settings: how to reach the brokers.
        group: the consumer group.
        topic: what to read.
        on_assigned: awaited before the first record of new partitions.
        on_revoked: awaited when partitions are revoked, after their handlers were cancelled and have ended; until it
            returns nobody else gets them (unless the session ends first). Also when they were lost already.
        revoke_seconds: the longest time that a revoked partition's handler and `on_revoked` may take together. Below
            the session timeout, or the group throws the whole member out.
    """

    def __init__(
        self,
        settings: "KafkaSettings",
        group: str,
        topic: str,
        *,
        on_assigned: PartitionCallback = _nothing,
        on_revoked: PartitionCallback = _nothing,
        revoke_seconds: float = 15.0,
        config: dict[str, Any] | None = None,
    ) -> None:
        merged = {**consumer_config(settings, "group", group), **(config or {})}
        self._consumer = Consumer({**merged, "logger": logging.getLogger("librdkafka")})
        self._topic = topic
        self._on_assigned = on_assigned
        self._on_revoked = on_revoked
        self._revoke_seconds = revoke_seconds
        self._thread = ThreadPoolExecutor(1, thread_name_prefix=f"consumer-{group}")
        self._loop: asyncio.AbstractEventLoop | None = None
        self._waiting: dict[int, deque[ConsumedRecord]] = {}
        self._workers: dict[int, asyncio.Task[None]] = {}
        self._paused: set[int] = set()
        self._failure: asyncio.Future[None] | None = None

    @property
    def partitions(self) -> frozenset[int]:
        """The partitions that are ours now."""
        return frozenset(self._waiting)

    def group_metadata(self) -> Any:
        """Return what proves our membership to a transaction; ask for it before each."""
        return self._consumer.consumer_group_metadata()

    async def commit(self, done: Position) -> None:
        """Mark a record, and all before it, as done, outside of any transaction.

        Raises:
            KafkaException: not committed, for instance because the partition went to another member.
        """
        offsets = [TopicPartition(done.topic, done.partition, done.offset + 1)]
        loop = asyncio.get_running_loop()
        results = await loop.run_in_executor(None, lambda: self._consumer.commit(offsets=offsets, asynchronous=False))
        for result in results or ():
            if result.error:
                raise KafkaException(result.error)

    async def run(self, handle: Handler) -> None:
        """Handle records until cancelled: of one partition one after another, of several at the same time.

        An exception of `handle` or of a callback ends this call with it; the record is not marked as done then. When
        this call ends the member leaves the group.
        """
        self._loop = asyncio.get_running_loop()
        self._failure = self._loop.create_future()
        self._consumer.subscribe(
            [self._topic], on_assign=self._assigned, on_revoke=self._revoked, on_lost=self._revoked
        )
        try:
            while True:
                polled = self._in_thread(lambda: drained(self._consumer, RECORDS_PER_POLL, POLL_SECONDS))
                await asyncio.wait({polled, self._failure}, return_when=asyncio.FIRST_COMPLETED)
                if self._failure.done():
                    await asyncio.wait({polled})
                    self._failure.result()
                self._take(polled.result(), handle)
        finally:
            await self._end_workers(frozenset(self._workers))
            # Leaving takes a network round trip, and calls `_revoked`, which needs this loop.
            await asyncio.shield(self._in_thread(self._consumer.close))
            self._thread.shutdown(wait=False)
            if not self._failure.done():
                self._failure.cancel()

    def _in_thread(self, work: Callable[[], Any]) -> asyncio.Future[Any]:
        return asyncio.get_running_loop().run_in_executor(self._thread, work)

    def _take(self, messages: list[Message], handle: Handler) -> None:
        for message in messages:
            error = message.error()
            if error is not None:
                if error.fatal() or error.code() == KafkaError.TOPIC_AUTHORIZATION_FAILED:
                    raise KafkaException(error)
                log.warning("consumer error", topic=self._topic, code=error.name(), detail=error.str())
                continue
            record = consumed(message)
            if record.partition not in self._waiting:
                continue  # fetched before the partition was revoked; its next owner reads it
            waiting = self._waiting[record.partition]
            waiting.append(record)
            if len(waiting) >= MAX_WAITING and record.partition not in self._paused:
                self._paused.add(record.partition)
                self._consumer.pause([TopicPartition(self._topic, record.partition)])
            if record.partition not in self._workers:
                worker = asyncio.create_task(
                    self._work(record.partition, handle), name=f"{self._topic}-{record.partition}"
                )
                self._workers[record.partition] = worker

    async def _work(self, partition: int, handle: Handler) -> None:
        """Handle what waits of one partition; let it be fetched again when little is left."""
        waiting = self._waiting[partition]
        try:
            while waiting:
                await handle(waiting[0])
                waiting.popleft()
                if len(waiting) < MAX_WAITING // 2 and partition in self._paused:
                    self._paused.discard(partition)
                    self._consumer.resume([TopicPartition(self._topic, partition)])
        except Exception as error:
            self._fail(error)
        finally:
            self._workers.pop(partition, None)

    def _fail(self, error: BaseException) -> None:
        if self._failure is not None and not self._failure.done():
            self._failure.set_exception(error)

    def _assigned(self, _consumer: Consumer, parts: list[TopicPartition]) -> None:
        self._on_loop(self._add_partitions(frozenset(part.partition for part in parts)))

    def _revoked(self, _consumer: Consumer, parts: list[TopicPartition]) -> None:
        self._on_loop(self._remove_partitions(frozenset(part.partition for part in parts)))

    def _on_loop(self, work: Any) -> None:
        """Run a coroutine on the loop while the polling thread, which is inside a rebalance, waits for it."""
        if self._loop is None:
            raise RuntimeError("a rebalance without a loop")
        try:
            asyncio.run_coroutine_threadsafe(work, self._loop).result(self._revoke_seconds)
        except TimeoutError:
            log.warning("rebalance callback took too long", topic=self._topic, seconds=self._revoke_seconds)
        except Exception as error:
            self._loop.call_soon_threadsafe(self._fail, error)

    async def _add_partitions(self, partitions: frozenset[int]) -> None:
        log.info("partitions assigned", topic=self._topic, partitions=sorted(partitions))
        await self._on_assigned(partitions)
        for partition in partitions:
            self._waiting[partition] = deque()

    async def _remove_partitions(self, partitions: frozenset[int]) -> None:
        log.info("partitions revoked", topic=self._topic, partitions=sorted(partitions))
        for partition in partitions:
            self._waiting.pop(partition, None)
            self._paused.discard(partition)
        await self._end_workers(partitions)
        await self._on_revoked(partitions)

    async def _end_workers(self, partitions: frozenset[int]) -> None:
        workers = [self._workers[partition] for partition in partitions if partition in self._workers]
        for worker in workers:
            worker.cancel()
        await asyncio.gather(*workers, return_exceptions=True)


MessagesByPartition = dict[tuple[str, int], list[Message]]


def grouped_in_python(messages: list[Message]) -> tuple[MessagesByPartition, list[Message]]:
    """Return (messages by topic and partition, in order; those that report an error)."""
    found: MessagesByPartition = {}
    errors: list[Message] = []
    for message in messages:
        if message.error() is not None:
            errors.append(message)
        else:
            found.setdefault((message.topic(), message.partition()), []).append(message)
    return found, errors


by_partition = grouped_in_python
with contextlib.suppress(ImportError):  # there was no C compiler
    from connectors.kafka.native_pages import by_partition as compiled

    by_partition = compiled


def drained(consumer: Consumer, max_messages: int, seconds: float) -> list[Message]:
    """Wait for a first message, then take what else is there already.

    The client's own `consume` waits its whole time for the last of `max_messages`, which would be its latency.
    """
    first = consumer.poll(seconds)
    return [] if first is None else [first, *consumer.consume(max_messages - 1, 0)]


def consumed(message: Message) -> ConsumedRecord:
    """Return a message of confluent-kafka as a record of ours."""
    return ConsumedRecord(
        message.topic(),
        message.partition(),
        message.offset(),
        message.key(),
        message.value(),
        message.headers() or (),
        message.timestamp()[1],
    )
