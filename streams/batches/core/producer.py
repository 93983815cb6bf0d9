"""One idempotent producer for everything that this process writes; every record is acknowledged or raises."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import confluent_kafka
import structlog

from streams.batches.core import killpoints
from streams.batches.core.batch import Output
from streams.batches.core.errors import ExitCode, FatalError, NotDelivered
from streams.batches.core.halt import halt
from streams.batches.core.settings import BatchSettings
from streams.batches.security import librdkafka_security

log = structlog.get_logger(__name__)

CHUNK = 2000
"""Records handed over between two turns of the event loop, about 3 ms."""

Headers = Sequence[tuple[str, bytes]]

_TOO_LATE = (confluent_kafka.KafkaError.INVALID_TIMESTAMP, confluent_kafka.KafkaError.INVALID_RECORD)
"""What a row older than `oldest_write_seconds` gets; the second for those in one batch with it."""


class Delivery:
    """Counts the broker's answers to a run of records; one of these is the callback of all of them.

    `last_offset` is the offset of the record that was answered last: with one partition that is the highest.
    """

    __slots__ = ("_future", "_left", "_loop", "error", "last_offset", "partition")

    def __init__(self, expected: int) -> None:
        self._loop = asyncio.get_running_loop()
        self._future: asyncio.Future[None] = self._loop.create_future()
        self._left = expected
        self.error: Any = None
        self.last_offset = -1
        self.partition = -1

    def __call__(self, error: Any, message: Any) -> None:  # in the polling thread
        if error is not None and self.error is None:
            self.error = error
        self._left -= 1
        if self._left == 0:
            self.last_offset = message.offset() or 0
            self.partition = message.partition()
            self._loop.call_soon_threadsafe(self._done)

    def _done(self) -> None:
        if not self._future.done():
            self._future.set_result(None)

    async def acknowledged(self) -> int:
        """The last record's offset, when all are on the broker. Raises NotDelivered, or FatalError."""
        await self._future
        if self.error is None:
            return self.last_offset
        if self.error.fatal():
            raise FatalError(f"the producer cannot go on: {self.error.str()}")
        if self.error.code() in _TOO_LATE:
            raise NotDelivered(f"the broker refused: {self.error.str()} (rows waited too long, or its clock is ahead)")
        raise NotDelivered(f"the broker did not acknowledge: {self.error.str()}")


class Producer:
    """confluent-kafka's producer behind awaitables: acks=all, murmur2, bounded delivery time."""

    def __init__(self, settings: BatchSettings, *, before_send: Callable[[], None] = lambda: None) -> None:
        """`before_send` is called before records are handed over; it may end the process (pause.py)."""
        self._before_send = before_send
        self._producer = confluent_kafka.Producer(
            {
                "bootstrap.servers": settings.bootstrap_servers,
                "client.id": settings.app_id,
                "enable.idempotence": True,
                "acks": "all",
                "partitioner": "murmur2_random",
                "compression.type": settings.compression,
                "linger.ms": settings.linger_milliseconds,
                "message.timeout.ms": int(settings.message_timeout_seconds * 1000),
                "queue.buffering.max.messages": 1_000_000,
                "queue.buffering.max.kbytes": settings.producer_buffer_bytes // 1024,
                "message.max.bytes": max(1_000_000, settings.max_record_bytes + 50_000),
                "batch.num.messages": 10_000,
                "error_cb": _on_error,
                "logger": logging.getLogger("librdkafka"),
                **librdkafka_security(settings.security),
                **settings.producer_options,
            }
        )
        self._stopping = threading.Event()
        self._poller = threading.Thread(target=self._poll, name="producer-poll", daemon=True)
        self._poller.start()

    async def publish(
        self,
        topic: str,
        key: bytes | None,
        value: bytes | None,
        *,
        headers: Sequence[tuple[str, bytes]] = (),
        partition: int | None = None,
    ) -> tuple[int, int]:
        """Write one record; (partition, offset) once the broker has it. Raises NotDelivered, or FatalError."""
        delivery = Delivery(1)
        await self._hand_over([(topic, key, value, headers, partition)], delivery)
        offset = await delivery.acknowledged()
        return delivery.partition, offset

    async def publish_all(self, outputs: Sequence[Output]) -> None:
        """Write many, wait for all. Raises NotDelivered when any of them is not acknowledged."""
        if outputs:
            delivery = Delivery(len(outputs))
            await self._hand_over(outputs, delivery)
            await delivery.acknowledged()

    async def publish_rows(
        self,
        topic: str,
        partition: int,
        rows: Sequence[tuple[bytes, bytes | None, Headers | None]],
        *,
        next_offset: int | None = None,
    ) -> int:
        """Write (key, value, headers) to one partition, in order; the last one's offset, once the broker has them all.

        `next_offset`: where the first of them must come to stand, when that is known. Then only the last one's answer
        is asked for, and its offset tells whether all of them are there: an answer for each takes the interpreter's
        lock and a microsecond each. NotDelivered when they do not stand there, be it that one was refused or that
        somebody else wrote; write again, with `next_offset` None.
        """
        delivery = Delivery(len(rows) if next_offset is None else 1)
        each = delivery if next_offset is None else None
        produce = self._producer.produce
        at, end = 0, len(rows) - 1
        while at < len(rows):
            self._before_send()
            stop = min(at + CHUNK, len(rows))
            try:
                while at < stop:
                    key, value, headers = rows[at]
                    produce(topic, value, key, partition, each if at < end else delivery, headers=headers)
                    at += 1
            except BufferError:
                await asyncio.sleep(0.002)
                continue
            except confluent_kafka.KafkaException as error:
                raise _refused(topic, error) from error
            if at < len(rows):
                await asyncio.sleep(0)
        killpoints.reached("inside-changelog")
        last = await delivery.acknowledged()
        if next_offset is not None and last != next_offset + end:
            raise NotDelivered(
                f"{topic}[{partition}]: the last of {len(rows)} rows is at {last}, not {next_offset + end}"
            )
        return last

    async def _hand_over(self, outputs: Iterable[Output | tuple[Any, ...]], delivery: Delivery) -> None:
        self._before_send()
        for topic, key, value, headers, partition in outputs:
            while True:
                try:
                    self._producer.produce(
                        topic,
                        value,
                        key,
                        -1 if partition is None else partition,
                        delivery,
                        headers=list(headers) if headers else None,
                    )
                    break
                except BufferError:
                    await asyncio.sleep(0.002)
                    self._before_send()
                except confluent_kafka.KafkaException as error:
                    raise _refused(topic, error) from error

    def pending(self) -> int:
        """Records that the broker has not answered yet."""
        return len(self._producer)

    def drop_queued(self) -> None:
        """Give up what was not sent yet: its partitions go to somebody else. Whoever waits for it gets NotDelivered."""
        self._producer.purge(in_queue=True, in_flight=False)

    async def close(self, timeout_seconds: float) -> int:
        """Wait for what is under way; the number of records that were not acknowledged in time."""
        left = await asyncio.to_thread(self._producer.flush, timeout_seconds)
        self._stopping.set()
        await asyncio.to_thread(self._poller.join, 2.0)
        del self._producer  # librdkafka's threads end with it
        return int(left)

    def _poll(self) -> None:
        while not self._stopping.is_set():
            self._producer.poll(0.2)


def _on_error(error: Any) -> None:
    if error.fatal():
        halt(ExitCode.FATAL, f"the producer cannot go on: {error.str()}")
    else:
        log.warning("producer", error=error.str())


def _refused(topic: str, error: confluent_kafka.KafkaException) -> Exception:
    inner = error.args[0]
    if inner.code() == confluent_kafka.KafkaError.MSG_SIZE_TOO_LARGE:
        return FatalError(f"a record for {topic} exceeds max_record_bytes: {inner.str()}")
    return NotDelivered(f"{topic}: {inner.str()}")
