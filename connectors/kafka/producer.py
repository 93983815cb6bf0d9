"""Publishing from a coroutine: a record counts as published when the brokers have it, and not before.

The client's delivery reports are served by the event loop itself, on a timer while records are in flight. A polling
thread, the usual way, takes and gives back the interpreter's lock once for each report: with headers, or beside a busy
loop, that was a third to a half slower (140,000 against 240,000 records/s), and reports came late.
"""

import asyncio
import logging
import time
from collections.abc import Callable, Iterable
from types import TracebackType
from typing import Any, Self

import structlog
from confluent_kafka import KafkaError, KafkaException, Message, Producer

from connectors.kafka.records import Headers, OutgoingRecord, Position
from connectors.kafka.settings import KafkaSettings, producer_config

log = structlog.get_logger(__name__)

BUSY_POLL_SECONDS = 0.0005
"""Between two looks for delivery reports while records are in flight: half of it is what we add to the latency."""
IDLE_POLL_SECONDS = 1.0
"""At rest, for the client's log lines and errors, which would gather otherwise."""
RECORDS_AT_A_STRETCH = 2_000
"""Handed over before the event loop may do something else: some 4 ms. Smaller is slower, larger delays others."""


class PublishError(RuntimeError):
    """The brokers did not take a record; nothing may be settled that depends on it.

    `failed` records of a call were refused; the first reason is in the text and in `reason` (Kafka's error name).
    """

    def __init__(self, topic: str, reason: str, detail: str, failed: int = 1) -> None:
        super().__init__(f"{failed} record{'s' if failed > 1 else ''} for {topic} not published: {reason} ({detail})")
        self.topic = topic
        self.reason = reason
        self.failed = failed


class _Call:
    """One `publish` or `publish_many` on its way; `left` counts records in flight, and itself while handing over."""

    __slots__ = ("failed", "first_error", "first_topic", "future", "last", "left", "on_end")

    def __init__(self, on_end: Callable[[], None]) -> None:
        self.future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.on_end = on_end
        self.left = 1
        self.failed = 0
        self.first_error: KafkaError | None = None
        self.first_topic = ""
        self.last: Position | None = None

    def delivered(self, error: KafkaError | None, message: Message) -> None:
        """Take the report of one of many records. Called for each, so it does the least that it can."""
        if error is not None:
            self.refused(error, message.topic())
        self.left -= 1
        if not self.left:
            self._end()

    def delivered_one(self, error: KafkaError | None, message: Message) -> None:
        """Take the report of the only record, and keep where it stands."""
        if error is None:
            self.last = Position(message.topic(), message.partition(), message.offset())
        self.delivered(error, message)

    def refused(self, error: KafkaError, topic: str) -> None:
        """Remember that a record was not taken."""
        self.failed += 1
        if self.first_error is None:
            self.first_error, self.first_topic = error, topic

    def handed_over(self) -> None:
        """All records are with the client: from here on only reports are waited for."""
        self.left -= 1
        if not self.left:
            self._end()

    def _end(self) -> None:
        self.on_end()
        if self.future.done():  # nobody waits any more
            return
        if self.first_error is None:
            self.future.set_result(None)
        else:
            reason, detail = self.first_error.name(), self.first_error.str()
            self.future.set_exception(PublishError(self.first_topic, reason, detail, self.failed))


class AsyncProducer:
    """One idempotent producer, shared by all coroutines of a process; to be used from one event loop.

        async with AsyncProducer(settings, "receipts") as producer:
            position = await producer.publish("audience-delivery", key, value)

    `config` goes before the settings, for instance a shorter `message.timeout.ms`.
    """

    def __init__(self, settings: KafkaSettings, role: str, config: dict[str, Any] | None = None) -> None:
        merged = {**producer_config(settings, role), **(config or {})}
        self._producer = Producer({**merged, "logger": logging.getLogger("librdkafka")})
        self._calls = 0
        self._busy = False
        self._timer: asyncio.TimerHandle | None = None
        self._closed = False

    async def publish(
        self,
        topic: str,
        key: bytes | None,
        value: bytes | None,
        headers: Headers | None = None,
        partition: int | None = None,
    ) -> Position:
        """Publish one record and return where it stands once the brokers have it.

        Raises:
            PublishError: they did not take it within the delivery timeout, or never will.
        """
        call = self._begin()
        await self._hand_over(call, [OutgoingRecord(topic, key, value, headers, partition)], call.delivered_one)
        await call.future
        if call.last is None:
            raise RuntimeError("a delivery report without a position")
        return call.last

    async def publish_many(self, records: Iterable[OutgoingRecord]) -> int:
        """Publish records in order (each partition keeps it) and return their number once the brokers have all.

        Raises:
            PublishError: some were not taken. The others were, or may have been: publish all of them again.
        """
        call = self._begin()
        count = await self._hand_over(call, records, call.delivered)
        await call.future
        return count

    async def close(self, timeout_seconds: float = 10.0) -> None:
        """Wait for what is in flight, then end. What is still unsent after the timeout is given up and logged."""
        self._closed = True
        if self._timer:
            self._timer.cancel()
        deadline = time.monotonic() + timeout_seconds
        while len(self._producer) and time.monotonic() < deadline:
            self._producer.poll(0)
            await asyncio.sleep(BUSY_POLL_SECONDS)
        if left := len(self._producer):
            log.warning("records given up at close", records=left)
            self._producer.purge()
            self._producer.poll(0)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None:
        await self.close()

    async def _hand_over(
        self, call: _Call, records: Iterable[OutgoingRecord], delivered: Callable[[KafkaError | None, Message], None]
    ) -> int:
        """Give the records to the client; while its buffer is full, serve reports until there is room."""
        produce = self._producer.produce
        count = 0
        try:
            for topic, key, value, headers, partition in records:
                where = -1 if partition is None else partition
                call.left += 1
                while True:
                    try:
                        if headers:
                            produce(topic, value, key, where, delivered, headers=list(headers))
                        else:
                            produce(topic, value, key, where, delivered)
                    except BufferError:
                        self._producer.poll(0)
                        await asyncio.sleep(BUSY_POLL_SECONDS)
                        continue
                    except KafkaException as error:
                        call.left -= 1
                        call.refused(error.args[0], topic)
                    break
                count += 1
                if count % RECORDS_AT_A_STRETCH == 0:
                    await asyncio.sleep(0)
        finally:
            call.handed_over()
        return count

    def _begin(self) -> _Call:
        if self._closed:
            raise RuntimeError("this producer is closed")
        self._calls += 1
        if not self._busy:
            self._busy = True
            if self._timer:
                self._timer.cancel()
            self._timer = asyncio.get_running_loop().call_later(BUSY_POLL_SECONDS, self._tick)
        return _Call(self._ended)

    def _ended(self) -> None:
        self._calls -= 1

    def _tick(self) -> None:
        self._producer.poll(0)
        self._busy = self._calls > 0
        if not self._closed:
            pause = BUSY_POLL_SECONDS if self._busy else IDLE_POLL_SECONDS
            self._timer = asyncio.get_running_loop().call_later(pause, self._tick)
