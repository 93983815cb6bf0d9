"""What happens to partitions between Faust's rebalances and the tables: taken over, worked on, given back."""

from __future__ import annotations

import asyncio
import random
import threading
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from typing import Any

import structlog
from aiokafka.errors import KafkaError, NoOffsetForPartitionError, OffsetOutOfRangeError

from . import killpoints
from .attempt import Agent, Attempts, backoff_seconds
from .batch import Batch, DeadLetter, Source
from .drain import Fetched
from .errors import ExitCode, FatalError, Revoked, WrongPosition
from .halt import halt
from .lanes import Lane, assert_owner
from .metrics import Metrics
from .offsets import OffsetLedger, TopicPartition
from .positions import topic_metadata
from .producer import Producer
from .settings import BatchSettings
from .takeover import Takeover

log = structlog.get_logger(__name__)

OwnerHook = Callable[[int, int], Awaitable[None]]
DeadLetters = Callable[[Sequence[DeadLetter]], Awaitable[None]]


class BatchRuntime:
    """The transport's and the tables' counterpart; one for each app."""

    def __init__(
        self,
        settings: BatchSettings,
        metrics: Metrics,
        producer: Producer,
        dead_letters: DeadLetters,
        misplaced: DeadLetters,
    ) -> None:
        self.settings = settings
        self.metrics = metrics
        self.producer = producer
        self.batched: dict[str, Agent] = {}
        self.takeover = Takeover(settings, metrics, self.batched)
        self.assigned_hooks: list[OwnerHook] = []
        self.revoked_hooks: list[OwnerHook] = []
        self.lanes: dict[int, Lane] = {}
        self.ledger = OffsetLedger()
        self.stuck: dict[int, str] = {}
        self.recovering_since: float | None = None
        self.consumer: Any = None  # BatchConsumer, once Faust made it
        self._dead_letters = dead_letters
        self._misplaced = misplaced
        self._starts: dict[TopicPartition, int] = {}
        self._stop_restore = threading.Event()
        self._restoring: asyncio.Future[int] | None = None
        self._last_heartbeat = time.monotonic()
        self._quiet = asyncio.Lock()

    # -- asked by the transport

    def has_room(self, tp: tuple[str, int], taken_bytes: int) -> bool:
        """May records of this partition be handed out, beside those just taken? Asked from the fetching thread."""
        lane = self.lanes.get(tp[1])
        room = self.ledger.unsettled_bytes() + taken_bytes < self.settings.unsettled_bytes
        return room and lane is not None and lane.has_room()

    def make_batch(self, tp: tuple[str, int], fetched: Fetched, generation: int) -> Batch | None:
        """Note a fetched range; None when there is nothing to deliver."""
        records = fetched.records
        first = records[0].offset if records else fetched.position
        if first < self.ledger.positions().get(TopicPartition(*tp), first + 1):
            return None  # fetched before a seek
        self.ledger.fetched(tp, first, fetched.position, fetched.size)
        if not records:
            return None
        source = Source(tp[0], self.takeover.facts[tp[0]].topic_id)
        return Batch(source, tp[1], records, generation=generation)

    def owned_sources(self) -> list[TopicPartition]:
        """Source partitions whose owners run; asked by the watchdog's thread."""
        lanes = set(self.lanes)
        return [tp for tp in list(self.ledger.positions()) if tp.partition in lanes]

    def dispatch(self, batch: Batch) -> None:
        """Hand a batch to its owner."""
        lane = self.lanes.get(batch.partition)
        if lane is not None:
            lane.put(batch)

    def metadata_of(self, topic: str) -> str:
        """Travels with committed offsets."""
        return topic_metadata(self.takeover.facts[topic].topic_id)

    def offsets_to_commit(self) -> dict[TopicPartition, int]:
        """See OffsetLedger."""
        return self.ledger.to_commit()

    def offsets_committed(self, offsets: Mapping[TopicPartition, int], generation: int) -> None:
        """See OffsetLedger."""
        self.ledger.committed(offsets, generation)
        self.metrics.count("batches_commits_total")

    def heartbeat_answered(self) -> None:
        """The group's coordinator knows us; said by the fetching thread."""
        self._last_heartbeat = time.monotonic()

    def lease_seconds(self) -> float:
        """What is left of the session that the coordinator last confirmed."""
        if not self.lanes:
            return 0.0
        age = time.monotonic() - self._last_heartbeat
        return self.settings.session_timeout_seconds - self.settings.heartbeat_interval_seconds - age

    async def fetch_failed(self, error: KafkaError) -> None:
        """A partition cannot be read."""
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
        thread = self.consumer._thread
        committed = await thread.run_here(thread.committed(assigned)) if assigned else {}
        bounds = await thread.run_here(thread.bounds(assigned)) if assigned else {}
        begins = self.takeover.begins(committed, bounds)
        if stop.is_set():
            raise Revoked("rebalance while taking over")
        restoring = asyncio.to_thread(self.takeover.restore, partitions, generation, stop)
        self._restoring = asyncio.ensure_future(restoring)
        await asyncio.shield(self._restoring)
        self._restoring = None
        if stop.is_set():
            raise Revoked("rebalance while taking over")
        self._starts = {tp: begin.offset for tp, begin in begins.items()}
        for tp, begin in begins.items():
            self.ledger.assign(tp, begin.offset, generation, committed=begin.committed)
        for partition in partitions:
            self.lanes[partition] = Lane(partition, generation, self._process, self.consumer.make_room_known)
        try:
            await asyncio.gather(*(hook(p, generation) for p in partitions for hook in self.assigned_hooks))
        except FatalError:
            raise
        except Exception as error:
            raise FatalError(f"an on_assigned hook failed: {error!r}") from error
        log.info("partitions taken over", partitions=partitions, generation=generation)

    async def start_positions(self, generation: int) -> dict[TopicPartition, int]:
        """Where the consumer must stand before the first batch."""
        return dict(self._starts)

    # -- work

    async def _process(self, lane: Lane, batch: Batch) -> None:
        partition, began = lane.partition, time.monotonic()

        def retried(error: BaseException, attempt: int) -> None:
            self.ledger.discount(partition)
            self.metrics.count("batches_retries_total", topic=batch.topic)
            log.warning("batch again", batch=repr(batch), attempt=attempt, error=repr(error))

        def stuck(why: str | None) -> None:
            if why is None:
                self.stuck.pop(partition, None)
            else:
                self.stuck[partition] = why

        attempts = Attempts(
            batch,
            self.batched[batch.topic],
            self.keep_dead_letters,
            self.settings,
            closing=lane.closing,
            retried=retried,
            stuck=stuck,
        )
        try:
            await attempts.run()
        except Revoked as gone:
            log.info("batch given up", batch=repr(batch), reason=str(gone))
            return
        except FatalError as error:
            lane.begin_closing()
            self._halt(error, batch=repr(batch))
            return
        self.ledger.settled((batch.topic, partition), batch.first, batch.generation)
        killpoints.reached("after-settle")
        self.metrics.count("batches_records_total", len(batch), topic=batch.topic)
        self.metrics.count("batches_batches_total", topic=batch.topic)
        self.metrics.count("batches_seconds_total", time.monotonic() - began, topic=batch.topic)

    async def keep_dead_letters(self, letters: Sequence[DeadLetter]) -> None:
        """Hand refused records to whoever keeps them."""
        await self._dead_letters(letters)
        for letter in letters:
            self.metrics.count("batches_dead_letters_total", topic=letter.topic, stage=letter.stage)

    async def keep_misplaced(self, letters: Sequence[DeadLetter]) -> None:
        """Hand records that lie in another key's partition to whoever keeps them."""
        await self._misplaced(letters)
        for letter in letters:
            self.metrics.count("batches_misplaced_total", topic=letter.topic)

    async def run_as_owner(self, partition: int, generation: int, job: Callable[[], Awaitable[Any]]) -> Any:
        """See BatchApp."""
        lane = self.lanes.get(partition)
        if lane is None or lane.generation != generation:
            raise Revoked(f"partition {partition} is not owned under generation {generation}")
        return await lane.run(job)

    def assert_owner(self, partition: int) -> None:
        """See lanes.py."""
        assert_owner(partition)

    # -- giving partitions back

    async def quiesce(self) -> None:
        """Finish what is in work within the grace, run the hooks, end the owners. Harmless to repeat."""
        async with self._quiet:
            self._stop_restore.set()
            lanes = list(self.lanes.values())
            for lane in lanes:
                lane.begin_closing()
            hooks = [hook(lane.partition, lane.generation) for lane in lanes for hook in self.revoked_hooks]
            waits = asyncio.gather(*hooks, *(lane.idle() for lane in lanes), return_exceptions=True)
            try:
                await asyncio.wait_for(waits, self.settings.revoke_grace_seconds)
            except TimeoutError:
                log.warning("grace is over", in_work=[repr(lane.in_work) for lane in lanes if lane.in_work])
                self.producer.drop_queued()
            for lane in lanes:
                await lane.end()
                self.lanes.pop(lane.partition, None)
                self.stuck.pop(lane.partition, None)

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
