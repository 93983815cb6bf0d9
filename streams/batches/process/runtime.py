"""What happens to partitions between Faust's rebalances and the tables: taken over, processed, released."""

from __future__ import annotations

import asyncio
import random
import threading
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from typing import Any

import structlog
from aiokafka.errors import KafkaError, NoOffsetForPartitionError, OffsetOutOfRangeError

from streams.batches.consume.aiokafka_internals import Fetched
from streams.batches.consume.attempt import Agent, Attempts, backoff_seconds
from streams.batches.consume.offsets import OffsetLedger, TopicPartition, topic_metadata
from streams.batches.consume.partition_worker import PartitionWorker, assert_owner
from streams.batches.core import killpoints
from streams.batches.core.batch import Batch, DeadLetter, Output, PublishDeadLetters, PublishMoved, TopicIncarnation
from streams.batches.core.errors import ExitCode, FatalError, Revoked, WrongPosition
from streams.batches.core.halt import halt
from streams.batches.core.metrics import Metrics
from streams.batches.core.producer import Producer
from streams.batches.core.settings import BatchSettings
from streams.batches.process.measure import measure_batch
from streams.batches.process.takeover import Takeover

log = structlog.get_logger(__name__)

OwnerHook = Callable[[int, int], Awaitable[None]]


class BatchRuntime:
    """Connects the transport with the tables; one for each app."""

    def __init__(
        self,
        settings: BatchSettings,
        metrics: Metrics,
        producer: Producer,
        dead_letters: PublishDeadLetters,
        publish_moved: PublishMoved,
    ) -> None:
        self.settings = settings
        self.metrics = metrics
        self.producer = producer
        self.batched: dict[str, Agent] = {}
        self.takeover = Takeover(settings, metrics, self.batched)
        self.assigned_hooks: list[OwnerHook] = []
        self.revoked_hooks: list[OwnerHook] = []
        self.workers: dict[int, PartitionWorker] = {}
        self.ledger = OffsetLedger()
        self.stuck: dict[int, str] = {}
        self.recovering_since: float | None = None
        self.consumer: Any = None  # BatchConsumer, once Faust made it
        self._dead_letters = dead_letters
        self._publish_moved = publish_moved
        self._starts: dict[TopicPartition, int] = {}
        self._stop_restore = threading.Event()
        self._restoring: asyncio.Future[int] | None = None
        self._last_heartbeat = time.monotonic()
        self._quiet = asyncio.Lock()

    # -- called by the transport

    def has_room(self, tp: tuple[str, int], taken_bytes: int) -> bool:
        """Whether records of this partition may be handed out, beside those just taken. From any thread."""
        worker = self.workers.get(tp[1])
        room = self.ledger.unsettled_bytes() + taken_bytes < self.settings.unsettled_bytes
        return room and worker is not None and worker.has_room()

    def make_batch(self, tp: tuple[str, int], fetched: Fetched, generation: int) -> Batch | None:
        """Record a fetched range and return its batch; None when there is nothing to deliver."""
        records = fetched.records
        first = records[0].offset if records else fetched.position
        if first < self.ledger.positions().get(TopicPartition(*tp), first + 1):
            return None  # fetched before a seek
        self.ledger.fetched(tp, first, fetched.position, fetched.size)
        source, partitions = TopicIncarnation(tp[0], self.takeover.facts[tp[0]].topic_id), self.settings.partitions
        return Batch(source, tp[1], records, generation=generation, partitions=partitions) if records else None

    def owned_sources(self) -> list[TopicPartition]:
        """Return the source partitions whose workers run. From any thread."""
        workers = set(self.workers)
        return [tp for tp in list(self.ledger.positions()) if tp.partition in workers]

    def dispatch(self, batch: Batch) -> None:
        """Queue a batch for its partition's worker."""
        worker = self.workers.get(batch.partition)
        if worker is not None:
            worker.put(batch)

    def metadata_of(self, topic: str) -> str:
        """Return the metadata that is committed with offsets of this topic."""
        return topic_metadata(self.takeover.facts[topic].topic_id)

    def offsets_to_commit(self) -> dict[TopicPartition, int]:
        """See OffsetLedger."""
        return self.ledger.to_commit()

    def offsets_committed(self, offsets: Mapping[TopicPartition, int], generation: int) -> None:
        """See OffsetLedger."""
        self.ledger.committed(offsets, generation)
        self.metrics.count("cm_streams_batches_commits_total")

    def heartbeat_answered(self) -> None:
        """Record that the group's coordinator answered. From any thread."""
        self._last_heartbeat = time.monotonic()

    def lease_seconds(self) -> float:
        """Return what is left of the session that the coordinator last confirmed; 0 without partitions."""
        if not self.workers:
            return 0.0
        age = time.monotonic() - self._last_heartbeat
        return self.settings.session_timeout_seconds - self.settings.heartbeat_interval_seconds - age

    async def fetch_failed(self, error: KafkaError) -> None:
        """Handle an error of a fetch: wait when it can be retried, end the process otherwise."""
        if isinstance(error, NoOffsetForPartitionError):
            return  # aiokafka looked before the first seek
        if isinstance(error, OffsetOutOfRangeError):
            self._halt(WrongPosition(f"records were removed, or the topic was truncated, while it was read: {error}"))
        elif error.retriable:
            log.warning("fetch failed", error=repr(error))
            await asyncio.sleep(0.5)
        else:
            self._halt(FatalError(f"a partition cannot be read: {error!r}"))

    # -- taking partitions over

    async def take_over(self, tps: Iterable[tuple[str, int]], generation: int) -> None:
        """Restore tables, run hooks, start owners, or end the process. Revoked when the next rebalance begins."""
        assigned = [TopicPartition(*tp) for tp in tps if tp[0] in self.batched]
        self.recovering_since = time.monotonic()
        self._stop_restore = stop = threading.Event()
        attempt = 0
        while True:
            try:
                await self._take_over(assigned, generation, stop)
                break
            except Revoked:
                raise
            except FatalError as error:
                self._halt(error)
                raise Revoked(str(error)) from error
            except Exception as error:
                attempt += 1
                log.warning("taking over failed", error=repr(error), attempt=attempt)
                await asyncio.to_thread(self.takeover.close, {tp.partition for tp in assigned})
                if time.monotonic() - self.recovering_since > self.settings.recovery_stall_seconds:
                    self._halt(FatalError(f"partitions cannot be taken over: {error!r}"), code=ExitCode.RECOVERY)
                    raise Revoked(str(error)) from error
                await asyncio.sleep(backoff_seconds(attempt, 0.2, 5.0, random.random()))
                if stop.is_set():
                    raise Revoked("rebalance while taking over") from error
        self.recovering_since = None
        killpoints.reached("after-recovery")

    async def _take_over(self, assigned: Sequence[TopicPartition], generation: int, stop: threading.Event) -> None:
        partitions = self.takeover.whole_partitions(assigned)
        await self.takeover.check_topics()
        committed = await self.consumer.committed(assigned) if assigned else {}
        bounds = await self.consumer.bounds(assigned) if assigned else {}
        positions = self.takeover.assigned_positions(committed, bounds)
        if stop.is_set():
            raise Revoked("rebalance while taking over")
        restoring = asyncio.to_thread(self.takeover.restore, partitions, generation, stop)
        self._restoring = asyncio.ensure_future(restoring)
        await asyncio.shield(self._restoring)
        self._restoring = None
        if stop.is_set():
            raise Revoked("rebalance while taking over")
        self._starts = {tp: position.offset for tp, position in positions.items()}
        for tp, position in positions.items():
            self.ledger.assign(tp, position.offset, generation, committed=position.committed)
        for partition in partitions:
            self.workers[partition] = PartitionWorker(partition, generation, self._process, self.consumer.room_made)
        try:
            await asyncio.gather(*(hook(p, generation) for p in partitions for hook in self.assigned_hooks))
        except FatalError:
            raise
        except Exception as error:
            raise FatalError(f"an on_assigned hook failed: {error!r}") from error
        log.info("partitions taken over", partitions=partitions, generation=generation)

    async def start_positions(self, generation: int) -> dict[TopicPartition, int]:
        """Return the offsets at which the consumer must be before the first batch."""
        return dict(self._starts)

    # -- processing

    async def _process(self, worker: PartitionWorker, batch: Batch) -> None:
        partition, began = worker.partition, time.monotonic()

        def retried(error: BaseException, attempt: int) -> None:
            self.ledger.discount(partition)
            self.metrics.count("cm_streams_batches_retries_total", topic=batch.topic)
            log.warning("batch retried", batch=repr(batch), attempt=attempt, error=repr(error))

        def stuck(why: str | None) -> None:
            if why is None:
                self.stuck.pop(partition, None)
            else:
                self.stuck[partition] = why

        attempts = Attempts(
            batch,
            self.batched[batch.topic],
            self.publish_dead_letters,
            self.settings,
            publish_moved=self.publish_moved,
            closing=worker.closing,
            retried=retried,
            stuck=stuck,
        )
        try:
            await attempts.run()
        except Revoked as error:
            log.info("batch abandoned", batch=repr(batch), reason=str(error))
            return
        except FatalError as error:
            worker.begin_closing()
            self._halt(error, batch=repr(batch))
            return
        self.ledger.settled((batch.topic, partition), batch.first, batch.generation)
        killpoints.reached("after-settle")
        measure_batch(self.metrics, batch, time.monotonic() - began)

    async def publish_dead_letters(self, letters: Sequence[DeadLetter]) -> None:
        """Publish refused records."""
        await self._dead_letters(letters)

    async def publish_moved(self, records: Sequence[Output]) -> None:
        """Publish records again that were in another key's partition, and count them. Raises OutputTooLarge."""
        await self._publish_moved(records)
        self.metrics.count("cm_streams_batches_misplaced_total", len(records), topic=records[0].topic)
        log.warning("records moved to their key's partition", topic=records[0].topic, count=len(records))

    async def run_as_owner(self, partition: int, generation: int, job: Callable[[], Awaitable[Any]]) -> Any:
        """See BatchApp."""
        worker = self.workers.get(partition)
        if worker is None or worker.generation != generation:
            raise Revoked(f"partition {partition} is not owned under generation {generation}")
        return await worker.run(job)

    def assert_owner(self, partition: int) -> None:
        """See partition_worker.py."""
        assert_owner(partition)

    # -- releasing partitions

    async def quiesce(self) -> None:
        """Finish what is in work within the grace, run the hooks, end the owners. Harmless to repeat."""
        async with self._quiet:
            self._stop_restore.set()
            workers = list(self.workers.values())
            for worker in workers:
                worker.begin_closing()
            hooks = [hook(worker.partition, worker.generation) for worker in workers for hook in self.revoked_hooks]
            waits = asyncio.gather(*hooks, *(worker.idle() for worker in workers), return_exceptions=True)
            try:
                await asyncio.wait_for(waits, self.settings.revoke_grace_seconds)
            except TimeoutError:
                in_work = [repr(worker.in_work) for worker in workers if worker.in_work]
                log.warning("shutdown grace exceeded", in_work=in_work)
                self.producer.drop_queued()
            for worker in workers:
                await worker.end()
                self.workers.pop(worker.partition, None)
                self.stuck.pop(worker.partition, None)

    async def release(self, revoked: Iterable[tuple[str, int]]) -> None:
        """Close the stores and forget the positions of revoked partitions."""
        await self.quiesce()
        restoring = self._restoring
        if restoring is not None:
            await asyncio.gather(restoring, return_exceptions=True)
            self._restoring = None
        killpoints.reached("before-close")
        tps = [TopicPartition(*tp) for tp in revoked]
        self.ledger.revoke(tps)
        self._starts = {}
        await asyncio.to_thread(self.takeover.close, {tp.partition for tp in tps if tp.topic in self.batched})

    async def close(self) -> None:
        """At stop: everything that is still open."""
        await self.quiesce()
        if self._restoring is not None:
            await asyncio.gather(self._restoring, return_exceptions=True)
        await asyncio.to_thread(self.takeover.close)

    def _halt(self, error: FatalError, *, code: ExitCode | None = None, batch: str = "") -> None:
        halt(code or error.exit_code, f"{error} ({batch})" if batch else str(error))
