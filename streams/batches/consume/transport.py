"""Faust's aiokafka transport, with a consumer that yields one message for each fetched range of a batched topic.

Faust keeps the group membership, the rebalances and the delivery to streams. Taken away from it for batched topics are
the positions: acknowledging a message does nothing here, a range is settled by its partition_worker.py and only then
may be committed (offsets.py). Other topics of the app are handled by Faust alone.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Coroutine, Iterable, Iterator, Mapping
from typing import Any, Protocol, TypeVar

import aiokafka
import structlog
from aiokafka.errors import KafkaError
from aiokafka.structs import ConsumerRecord, OffsetAndMetadata
from aiokafka.structs import TopicPartition as KafkaTopicPartition
from faust.transport.consumer import ensure_TPset
from faust.transport.drivers.aiokafka import AIOKafkaConsumerThread, Consumer, Transport

from connectors.kafka.client_config import aiokafka_consumer_config
from streams.batches.consume.aiokafka_internals import (
    Fetched,
    drain,
    fetch_committed,
    is_closed,
    on_heartbeat_answered,
)
from streams.batches.consume.offsets import TopicPartition
from streams.batches.core import killpoints
from streams.batches.core.settings import BatchSettings

T = TypeVar("T")
log = structlog.get_logger(__name__)


class Runtime(Protocol):
    """What the transport needs of the application."""

    settings: BatchSettings
    batched: Mapping[str, object]

    def has_room(self, tp: tuple[str, int], taken_bytes: int) -> bool: ...
    def make_batch(self, tp: tuple[str, int], fetched: Fetched, generation: int) -> object | None: ...
    def metadata_of(self, topic: str) -> str: ...
    def offsets_to_commit(self) -> dict[TopicPartition, int]: ...
    def offsets_committed(self, offsets: Mapping[TopicPartition, int], generation: int) -> None: ...
    async def start_positions(self, generation: int) -> dict[TopicPartition, int]: ...
    async def quiesce(self) -> None: ...
    async def release(self, revoked: Iterable[tuple[str, int]]) -> None: ...
    def heartbeat_answered(self) -> None: ...
    async def fetch_failed(self, error: KafkaError) -> None: ...


class BatchConsumerThread(AIOKafkaConsumerThread):  # type: ignore[misc]  # faust is not typed
    """The thread in which aiokafka lives."""

    @property
    def _runtime(self) -> Runtime:
        runtime: Runtime = self.consumer.app.batch_runtime
        return runtime

    async def on_start(self) -> None:
        """Start aiokafka, and record each answered heartbeat."""
        self.room_made = asyncio.Event()
        await super().on_start()
        on_heartbeat_answered(self._consumer, self._runtime.heartbeat_answered)

    def _create_worker_consumer(self, transport: Any) -> aiokafka.AIOKafkaConsumer:
        """Read committed records only, always with Faust's co-partitioning assignor, never skip on its own."""
        conf, settings = self.app.conf, self._runtime.settings
        self._assignor = self.app.assignor
        arguments: dict[str, Any] = dict(
            group_id=conf.id,
            group_instance_id=settings.instance_id,
            partition_assignment_strategy=[self._assignor],
            enable_auto_commit=False,
            # "none": an offset out of range is an error, not a silent jump to the earliest record.
            auto_offset_reset="none",
            isolation_level="read_committed",
            max_poll_records=settings.max_batch_records,
            max_poll_interval_ms=int(conf.broker_max_poll_interval * 1000),
            max_partition_fetch_bytes=settings.fetch_max_bytes,
            fetch_max_bytes=max(settings.fetch_buffer_bytes, settings.fetch_max_bytes),
            fetch_max_wait_ms=settings.fetch_max_wait_milliseconds,
            request_timeout_ms=int(conf.broker_request_timeout * 1000),
            check_crcs=conf.broker_check_crcs,
            session_timeout_ms=int(settings.session_timeout_seconds * 1000),
            rebalance_timeout_ms=int(settings.rebalance_timeout_seconds * 1000),
            heartbeat_interval_ms=int(settings.heartbeat_interval_seconds * 1000),
            metadata_max_age_ms=conf.consumer_metadata_max_age_ms,
            connections_max_idle_ms=conf.consumer_connections_max_idle_ms,
            **aiokafka_consumer_config(settings.kafka, settings.app_id),
        )
        return aiokafka.AIOKafkaConsumer(**{**arguments, **settings.consumer_options})

    def run_here(self, coroutine: Coroutine[Any, Any, T]) -> asyncio.Future[T]:
        """Run in this thread's loop, await in the caller's. Faust's own queue has two workers, and one is fetching."""
        return asyncio.wrap_future(asyncio.run_coroutine_threadsafe(coroutine, self.thread_loop))

    def wake(self) -> None:
        """A partition has room again: end the wait of `drain`. From any thread."""
        self.thread_loop.call_soon_threadsafe(self.room_made.set)

    async def getmany(self, active_partitions: set[Any] | None, timeout: float) -> Any:  # noqa: ASYNC109 - Faust's signature
        """Ranges by partition."""
        return await self.run_here(self._drain(active_partitions or set(), timeout))

    async def _drain(self, active: set[Any], timeout_seconds: float) -> dict[Any, Fetched]:
        consumer, settings, runtime = self._ensure_consumer(), self._runtime.settings, self._runtime
        if is_closed(consumer):
            return {}
        bounds = (settings.max_batch_records, settings.max_batch_bytes)
        return await drain(
            consumer,
            wanted=lambda tp, taken: tp in active and (tp.topic not in runtime.batched or runtime.has_room(tp, taken)),
            limits=lambda tp: bounds if tp.topic in runtime.batched else (100, settings.max_batch_bytes),
            bare=lambda tp: tp.topic in runtime.batched,
            keep_going=lambda: bool(self.consumer.flow_active),
            wake=self.room_made,
            timeout_seconds=timeout_seconds,
        )

    async def _commit(self, offsets: Mapping[Any, int]) -> bool:
        """Commit; False after a failure, which is logged and retried at the next tick. Faust's ends the consumer."""
        consumer, assigned = self._ensure_consumer(), self.assignment()
        ours = {
            KafkaTopicPartition(*tp): OffsetAndMetadata(offset, self._runtime.metadata_of(tp[0]))
            for tp, offset in offsets.items()
            if tp in assigned
        }
        if len(ours) < len(offsets) or not ours:
            return False
        try:
            await asyncio.wait_for(consumer.commit(ours), self._runtime.settings.session_timeout_seconds)
        except Exception as error:
            log.warning("commit failed", error=repr(error), partitions=len(ours))
            return False
        now = time.monotonic()
        self.tp_last_committed_at.update(dict.fromkeys(offsets, now))
        return True

    async def committed(self, tps: Iterable[tuple[str, int]]) -> dict[TopicPartition, tuple[int, str] | None]:
        """Return the group's committed (offset, metadata), None where nothing was ever committed."""
        wanted = [KafkaTopicPartition(*tp) for tp in tps]
        found = await fetch_committed(self._ensure_consumer(), wanted)
        return {
            TopicPartition(*tp): (found[tp].offset, found[tp].metadata)
            if tp in found and found[tp].offset >= 0
            else None
            for tp in wanted
        }

    async def bounds(self, tps: Iterable[tuple[str, int]]) -> dict[TopicPartition, tuple[int, int]]:
        """Return (log start, last stable offset) of partitions."""
        wanted, consumer = [KafkaTopicPartition(*tp) for tp in tps], self._ensure_consumer()
        first, last = await consumer.beginning_offsets(wanted), await consumer.end_offsets(wanted)
        return {TopicPartition(*tp): (first[tp], last[tp]) for tp in wanted}

    async def seek_all(self, positions: Mapping[TopicPartition, int]) -> None:
        """Read from these offsets on; what was fetched before is dropped."""
        consumer = self._ensure_consumer()
        for tp, offset in positions.items():
            consumer.seek(KafkaTopicPartition(*tp), offset)

    def verify_event_path(self, now: float, tp: Any) -> None:
        """Do nothing: Faust's stall lines compare clocks that differ; watchdog.py does this job."""


class BatchConsumer(Consumer):  # type: ignore[misc]  # faust is not typed
    """Yields batches; their positions are kept by the runtime."""

    _thread: BatchConsumerThread

    @property
    def _runtime(self) -> Runtime:
        runtime: Runtime = self.app.batch_runtime
        return runtime

    def _new_consumer_thread(self) -> BatchConsumerThread:
        return BatchConsumerThread(self, loop=self.loop, beacon=self.beacon)

    async def getmany(self, timeout: float) -> AsyncIterator[tuple[Any, Any]]:  # noqa: ASYNC109 - Faust's signature
        """One message for each fetched range of batched topics, one for each record of others."""
        try:
            ranges, _ = await self._wait_next_records(timeout)
        except KafkaError as error:
            await self._runtime.fetch_failed(error)
            return
        generation = self.app.consumer_generation_id
        if not ranges or self.should_stop:
            return
        for tp, fetched in ranges.items():
            if not self.flow_active or generation != self.app.consumer_generation_id:
                return  # dropped; positions are set again before the flow resumes
            if tp.topic not in self._runtime.batched:
                for record in fetched.records:
                    yield tp, self._to_message(tp, record)
                continue
            batch = self._runtime.make_batch(tp, fetched, generation)
            if batch is not None:
                message = self._to_message(tp, _last_of(tp, fetched.records[-1]))
                message.value = batch
                self._read_offset[tp] = None  # Faust drops what is below it without a word
                yield tp, message

    def _filter_tps_with_pending_acks(self, topics: Any = None) -> Iterator[Any]:
        """Batched topics are declared with acks=False, so there are none of them; should Faust record one all the same
        it must not commit it. Overriding `ack` would not help: the compiled stream iterator inlines it."""
        pending = super()._filter_tps_with_pending_acks(topics)
        return (tp for tp in pending if tp.topic not in self._runtime.batched)

    async def force_commit(self, topics: Any = None, start_new_transaction: bool = True) -> bool:
        """Commit what is settled, then Faust's own topics."""
        done = await self.commit_settled()
        return bool(await super().force_commit(topics, start_new_transaction)) or done

    async def commit_settled(self) -> bool:
        """Commit what is settled. False when there was nothing to commit, or the broker did not accept it."""
        offsets = self._runtime.offsets_to_commit()
        if not offsets:
            return False
        generation = self.app.consumer_generation_id
        if not await self._thread.run_here(self._thread._commit(offsets)):
            return False
        self._runtime.offsets_committed(offsets, generation)
        killpoints.reached("after-commit")
        return True

    async def committed(self, tps: Iterable[tuple[str, int]]) -> dict[TopicPartition, tuple[int, str] | None]:
        """See BatchConsumerThread."""
        return await self._thread.run_here(self._thread.committed(tps))

    async def bounds(self, tps: Iterable[tuple[str, int]]) -> dict[TopicPartition, tuple[int, int]]:
        """See BatchConsumerThread."""
        return await self._thread.run_here(self._thread.bounds(tps))

    async def perform_seek(self) -> None:
        """Read from the runtime's positions on: before the first batch of an assignment."""
        positions = await self._runtime.start_positions(self.app.consumer_generation_id)
        await self._thread.run_here(self._thread.seek_all(positions))
        self._read_offset.update(dict.fromkeys(positions))

    async def wait_empty(self) -> None:
        """Finish what is in work, or abandon it when its time is over; then commit."""
        await self._runtime.quiesce()
        await self.commit()
        await self.commit()  # the first may have joined a commit that began before the last batch settled

    async def on_partitions_revoked(self, revoked: set[Any]) -> None:
        """Quiesce and commit (in Faust's callback), then close the stores and forget the positions."""
        await super().on_partitions_revoked(revoked)
        await self._runtime.release(ensure_TPset(revoked))

    def room_made(self) -> None:
        """A partition's worker has room for another batch. From any thread."""
        self._thread.wake()

    def verify_event_path(self, now: float, tp: Any) -> None:
        """See BatchConsumerThread."""


def _last_of(tp: Any, last: Any) -> ConsumerRecord[None, None]:
    """Return what Faust has to know of a batch's last record."""
    when = last.timestamp, last.timestamp_type
    return ConsumerRecord(tp.topic, tp.partition, last.offset, *when, None, None, last.checksum, -1, -1, ())


class BatchTransport(Transport):  # type: ignore[misc]  # faust is not typed
    """Faust's transport with our consumer."""

    Consumer = BatchConsumer
