"""Publishing from a coroutine: a record counts as published when the brokers have it, and not before.

The client's delivery reports are served by the event loop itself, on a timer while records are in flight. A polling
thread, the usual way, takes and gives back the interpreter's lock once for each report, which costs most with headers
and beside a busy loop; the figures are in benchmarks/README.md. Errors: see `publishing.py`.
"""

import asyncio
import logging
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Self

import structlog
from confluent_kafka import KafkaError, KafkaException, Message, Producer

from connectors.kafka.blocks import BUSY_POLL_SECONDS, RECORDS_AT_A_STRETCH, Block
from connectors.kafka.client_config import producer_config
from connectors.kafka.publishing import PublishCall, PublishError
from connectors.kafka.records import Headers, Position, RecordFields
from connectors.kafka.settings import KafkaSettings

log = structlog.get_logger(__name__)

IDLE_POLL_SECONDS = 1.0
"""At rest, for the client's log lines and errors, which would gather otherwise."""
PURGE_SECONDS = 1.0
"""For the reports of records that were dropped at close: without them their callers would wait for ever."""


class AsyncProducer:
    """One idempotent producer, shared by all coroutines of a process; to be used from one event loop.

    Memory is bounded by the client's buffer (`queue.buffering.max.*`): while that is full, calls wait.

    Args:
        settings: how to reach the brokers.
        role: tells clients of one process apart in the brokers' logs.
        config: goes before the settings, for instance a shorter `message.timeout.ms`.
        before_send: called before records are handed to the client; it may end the process.
        rows_handed_over: called when all rows are with the client, before it waits for the brokers.
        on_fatal: called when the client reports that it cannot go on; all calls end with FatalProducerError then.
    """

    def __init__(
        self,
        settings: KafkaSettings,
        role: str,
        config: dict[str, Any] | None = None,
        *,
        before_send: Callable[[], None] = lambda: None,
        rows_handed_over: Callable[[], None] = lambda: None,
        on_fatal: Callable[[str], None] = lambda _reason: None,
    ) -> None:
        merged = {**producer_config(settings, role), **(config or {})}
        self._on_fatal = on_fatal
        self._producer = Producer(
            {**merged, "logger": logging.getLogger("librdkafka"), "error_cb": self._report_client_error}
        )
        self._before_send = before_send
        self._rows_handed_over = rows_handed_over
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
        """Publish one record and return its position once the brokers have it.

        Raises:
            PublishError: they did not take it within the delivery timeout, or never will.
        """
        call = self._begin()
        try:
            await self._hand_over(call, [(topic, key, value, headers, partition)], call.keep_position)
        finally:
            call.all_handed_over()
        return await call.last_position()

    async def publish_many(self, records: Iterable[RecordFields]) -> int:
        """Publish records in order (each partition keeps it) and return their number once the brokers have all.

        Raises:
            PublishError: some were not taken. The others were, or may have been: publish all of them again.
        """
        call = self._begin()
        try:
            count = await self._hand_over(call, records, call.count_report)
        finally:
            call.all_handed_over()
        await call.all_taken()
        return count

    async def publish_rows(
        self,
        topic: str,
        partition: int,
        rows: Sequence[tuple[bytes, bytes | None, Headers | None]],
        *,
        next_offset: int | None = None,
    ) -> int:
        """Publish (key, value, headers) to one partition, in order, and return the last one's offset.

        `next_offset`: the offset that the first of them must get, when that is known. Then only the last one's report
        is asked for, and its offset shows whether all of them are there: a report for each costs a microsecond.

        Raises:
            PublishError: not all were taken, or (reason `UNEXPECTED_OFFSET`) they are not where they should be: one
                was refused, or another producer wrote. Publish them again, with `next_offset` None.
        """
        call = self._begin()
        produce, at, end = self._producer.produce, 0, len(rows) - 1
        report = call.count_report if next_offset is None else None
        try:
            while at <= end:  # a loop of its own: `_hand_over` costs half a microsecond more for each row
                self._before_send()
                begun, stop = at, min(at + RECORDS_AT_A_STRETCH, end + 1)
                try:
                    while at < stop:
                        key, value, headers = rows[at]
                        produce(
                            topic, value, key, partition, report if at < end else call.keep_position, headers=headers
                        )
                        at += 1
                except BufferError:
                    self._producer.poll(0)
                finally:
                    call.unreported += at - begun if report else at > end
                await asyncio.sleep(0 if at == stop else BUSY_POLL_SECONDS)
        except KafkaException as error:
            call.record_failure(error.args[0], topic, by_client=True)
        finally:
            call.all_handed_over()
        self._rows_handed_over()
        last = (await call.last_position()).offset
        if next_offset is not None and last != next_offset + len(rows) - 1:
            detail = f"partition {partition}: the last row is at {last}, not {next_offset + len(rows) - 1}"
            raise PublishError(topic, "UNEXPECTED_OFFSET", detail, len(rows))
        return last

    async def publish_block(
        self,
        topic: str,
        partition: int,
        records: Sequence[tuple[bytes | None, bytes | None]],
        *,
        next_offset: int | None = None,
        are_rows: bool = False,
    ) -> int:
        """Publish (key, value) to one partition that nobody else writes to, in order; returns the last one's offset.

        Only the last one's report is asked for, and the first one's where `next_offset`, the offset that it must get,
        is not known: their offsets show whether all are there. They are handed to the client by the thousand, which
        costs a third. `are_rows`: `rows_handed_over` is called.

        Raises:
            PublishError: not all were taken, or (reason `UNEXPECTED_OFFSET`) they are not where they should be: one
                was refused, or another producer wrote. Publish them again, with `next_offset` None.
        """
        call = self._begin()
        try:
            block = Block(call, topic, partition, records, with_first=next_offset is None)
            await block.hand_over(self._producer, self._before_send)
        except KafkaException as error:
            call.record_failure(error.args[0], topic, by_client=True)
        finally:
            call.all_handed_over()
        if are_rows:
            self._rows_handed_over()
        last = (await call.last_position()).offset
        first = next_offset if call.first is None else call.first.offset
        if first is not None and last != first + len(records) - 1:
            detail = f"partition {partition}: {len(records)} records from {first} on, the last one at {last}"
            raise PublishError(topic, "UNEXPECTED_OFFSET", detail, len(records))
        return last

    def pending(self) -> int:
        """Return how many records the brokers have not answered yet."""
        return 0 if self._closed else len(self._producer)

    def drop_queued(self) -> None:
        """Drop what was not sent yet: its partitions go to another owner. Its callers get PublishError."""
        self._producer.purge(in_queue=True, in_flight=False)

    async def close(self, timeout_seconds: float = 10.0) -> int:
        """Wait for what is in flight, then end; return how many records were not acknowledged in time: their callers
        get PublishError."""
        if self._closed:
            return 0
        self._closed = True
        if self._timer:
            self._timer.cancel()
        deadline = time.monotonic() + timeout_seconds
        while len(self._producer) and time.monotonic() < deadline:
            self._producer.poll(0)
            await asyncio.sleep(BUSY_POLL_SECONDS)
        if left := len(self._producer):
            log.warning("records dropped at close", records=left)
            self._producer.purge()
            until = time.monotonic() + PURGE_SECONDS
            while self._calls and time.monotonic() < until:
                self._producer.poll(0)
                await asyncio.sleep(BUSY_POLL_SECONDS)
        return left

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def _hand_over(
        self,
        call: PublishCall,
        records: Iterable[RecordFields],
        report: Callable[[KafkaError | None, Message], None] | None,
    ) -> int:
        """Give the records to the client; while its buffer is full, serve reports until there is room."""
        produce = self._producer.produce
        count = 0
        self._before_send()
        for topic, key, value, headers, partition in records:
            where = -1 if partition is None else partition
            while True:
                try:
                    if headers:
                        produce(topic, value, key, where, report, headers=list(headers))
                    else:
                        produce(topic, value, key, where, report)
                except BufferError:
                    self._producer.poll(0)
                    await asyncio.sleep(BUSY_POLL_SECONDS)
                    self._before_send()
                    continue
                except KafkaException as error:
                    call.record_failure(error.args[0], topic, by_client=True)
                else:
                    # Afterwards: no report is served before the next await, and a caller may be cancelled above.
                    call.unreported += report is not None
                break
            count += 1
            if count % RECORDS_AT_A_STRETCH == 0:
                await asyncio.sleep(0)
                self._before_send()
        return count

    def _begin(self) -> PublishCall:
        if self._closed:
            raise RuntimeError("this producer is closed")
        call = PublishCall(self._ended)
        self._calls += 1
        if not self._busy:
            self._busy = True
            if self._timer:
                self._timer.cancel()
            self._timer = asyncio.get_running_loop().call_later(BUSY_POLL_SECONDS, self._tick)
        return call

    def _ended(self) -> None:
        self._calls -= 1

    def _tick(self) -> None:
        self._producer.poll(0)
        self._busy = self._calls > 0
        if not self._closed:
            pause = BUSY_POLL_SECONDS if self._busy else IDLE_POLL_SECONDS
            self._timer = asyncio.get_running_loop().call_later(pause, self._tick)

    def _report_client_error(self, error: KafkaError) -> None:
        if error.fatal():
            log.critical("producer cannot go on", error=error.name(), detail=error.str())
            self._on_fatal(error.str())
        else:
            log.warning("producer error", error=error.name(), detail=error.str())
