"""The application: a Faust app on our transport, its tables, its agents and their life."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any, NamedTuple, NoReturn, TypeVar

import structlog

from streams.batches.consume.attempt import Agent
from streams.batches.core.batch import DeadLetter, PublishDeadLetters, PublishMoved
from streams.batches.core.errors import ExitCode, FatalError, TransientError
from streams.batches.core.halt import PauseGuard, halt
from streams.batches.core.metrics import Metrics
from streams.batches.core.producer import Producer
from streams.batches.core.settings import BatchSettings
from streams.batches.process.dead_letters import DeadLetterTopics
from streams.batches.process.faust_app import make_faust_app
from streams.batches.process.measure import measure_state
from streams.batches.process.memory import use_one_heap
from streams.batches.process.run import run_process
from streams.batches.process.runtime import BatchRuntime, OwnerHook
from streams.batches.process.topic_limits import TopicLimits
from streams.batches.process.watchdog import Watchdog, group_reader
from streams.batches.table.rocksdb import DirectoryLock
from streams.batches.table.rows import Codec
from streams.batches.table.table import BatchTable, Index

T = TypeVar("T")
R = TypeVar("R")

log = structlog.get_logger(__name__)


class Health(NamedTuple):
    """The answers of /live and /ready."""

    live: bool
    ready: bool
    reasons: list[str]
    """Why it is not ready; empty when it is."""


class BatchApp:
    """One consumer group: sources with equal partition counts, tables, and one owner task for each partition.

    Build it anywhere; it connects when it is run.
    """

    def __init__(
        self,
        settings: BatchSettings,
        *,
        dead_letters: PublishDeadLetters | None = None,
        publish_moved: PublishMoved | None = None,
        metrics: Metrics | None = None,
    ) -> None:
        """`dead_letters` is awaited with refused records and must return only when they are kept; by default it is
        `publish_dead_letters`. `publish_moved` is awaited with records whose key belongs to another partition (an
        upstream with another partitioner), as they are to be published again; by default it publishes them."""
        self.settings = settings
        self.metrics = metrics or Metrics()
        use_one_heap()  # before the producer's threads start
        self._pause = PauseGuard(settings.allowed_pause_seconds)
        self.producer = Producer(settings, before_send=self._pause.check)
        publish = dead_letters or self.publish_dead_letters
        limits = TopicLimits(self.producer.publish_all, lambda: self.runtime.takeover.admin, settings.max_message_bytes)
        self.runtime = BatchRuntime(settings, self.metrics, self.producer, publish, publish_moved or limits.publish)
        self.runtime.takeover.keeps_dead_letters = dead_letters is None
        self._dead_letters = DeadLetterTopics(limits)
        self.faust = make_faust_app(settings, self.runtime)
        self._services: list[Callable[[], Awaitable[None]]] = []
        self._tasks: list[asyncio.Task[None]] = []
        self._started = self._stopped = False
        self.watchdog: Watchdog | None = None
        self._directory = DirectoryLock(settings.data_dir / settings.app_id)
        self.metrics.at_scrape(self._measure)

    def table(
        self,
        name: str,
        *,
        codec: Codec[T],
        sources: Sequence[str],
        changelog: str | None = None,
        public: bool = False,
        index: Index[T] | None = None,
        headers: Sequence[tuple[str, bytes]] = (),
    ) -> BatchTable[T]:
        """Declare a table, before start.

        `changelog` defaults to `<app_id>-<name>-changelog`. With `public` the changelog is a topic for others: the
        record's value is the public value, the hidden state travels in a header, beside the given `headers`. `sources`
        are the topics whose offsets its rows remember."""
        self._assert_not_started()
        table = BatchTable(
            self.runtime,
            name,
            codec=codec,
            sources=sources,
            changelog=changelog or f"{self.settings.app_id}-{name}-changelog",
            public=public,
            index=index,
            headers=headers,
        )
        self.runtime.takeover.tables.append(table)
        return table

    def agent(self, *topics: str) -> Callable[[Agent], Agent]:
        """Register `async def (batch)` for batched topics, before start. One agent for each topic."""

        def register(agent: Agent) -> Agent:
            self._assert_not_started()
            for topic in topics:
                if topic in self.runtime.batched:
                    raise ValueError(f"topic {topic} has an agent already")
                self.runtime.batched[topic] = agent
                self._subscribe(topic)
            return agent

        return register

    def _assert_not_started(self) -> None:
        if self._started:
            raise RuntimeError("declare agents and tables before start: Faust subscribes to later ones after 45 s")

    def _subscribe(self, topic: str) -> None:
        dispatch = self.runtime.dispatch

        async def hand_over(stream: Any) -> None:
            async for batch in stream:
                dispatch(batch)

        channel = self.faust.topic(
            topic,
            partitions=self.settings.partitions,
            key_serializer="raw",
            value_serializer="raw",
            internal=False,
            acks=False,  # Faust must not even record them: its compiled iterator does not call BatchConsumer.ack
        )
        self.faust.agent(channel, name=f"batches.{topic}", concurrency=1)(hand_over)

    def on_assigned(self, hook: OwnerHook) -> OwnerHook:
        """`async def (partition, generation)`, when the partition's tables are restored and before its first batch.

        Return soon: start a task there, and end it in `on_revoked`."""
        self.runtime.assigned_hooks.append(hook)
        return hook

    def on_revoked(self, hook: OwnerHook) -> OwnerHook:
        """`async def (partition, generation)`, when the partition is revoked or the process stops, before the stores
        close. Writes are still allowed inside the hook, within what is left of `revoke_grace_seconds`."""
        self.runtime.revoked_hooks.append(hook)
        return hook

    def service(self, fn: Callable[[], Awaitable[None]]) -> Callable[[], Awaitable[None]]:
        """Register a task that runs while the app does; started before the group is joined, cancelled at stop. When it
        raises the process ends: it must not run on without one of its parts."""
        self._services.append(fn)
        return fn

    async def run_as_owner(self, partition: int, generation: int, job: Callable[[], Awaitable[R]]) -> R:
        """Run `job` in the partition's owner task, between batches, and return its result. Raises Revoked."""
        result: R = await self.runtime.run_as_owner(partition, generation, job)
        return result

    async def publish_dead_letters(self, letters: Sequence[DeadLetter]) -> None:
        """Publish refused records to `<topic>.dlq`, shortened where need be; return when they are acknowledged.

        Raises NotDelivered: then nothing of their batch may settle.
        """
        await self._dead_letters.publish(letters)
        for letter in letters:
            self.metrics.count("cm_streams_batches_dead_letters_total", topic=letter.topic, reason=letter.stage)

    def lease_seconds(self) -> float:
        """Return how long this process is at least the owner of its partitions, by the group's last heartbeat answer.

        Check it just before an effect that Kafka cannot fence (an HTTP request): at 0 or less do not send."""
        self._pause.check()
        return self.runtime.lease_seconds()

    def health(self) -> Health:
        """Return the process's own view: partitions restored, nothing stuck, heartbeats answered."""
        reasons = [f"partition {p}: {why}" for p, why in sorted(self.runtime.stuck.items())]
        if self.runtime.recovering_since is not None:
            reasons.append("restoring tables")
        if self.watchdog is not None and self.watchdog.problem is not None:
            reasons.append(self.watchdog.problem)
        if not self.runtime.workers:
            reasons.append("no partitions")
        elif self.runtime.lease_seconds() <= 0:
            reasons.append("the group's coordinator does not answer heartbeats")
        return Health(live=not self._stopped, ready=not reasons, reasons=reasons)

    def run(
        self,
        *,
        start: Callable[[], Awaitable[None]] | None = None,
        stop: Callable[[], Awaitable[None]] | None = None,
    ) -> NoReturn:
        """Check topics, join the group, work until SIGTERM or SIGINT, stop cleanly. Ends the process.

        `start` and `stop` replace the app's own where there is more to start and stop around it.
        """
        run_process(self.settings, start or self.start, stop or self.stop)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[BatchApp]:
        """The same in a running event loop, without signal handlers: for tests and for processes with several apps."""
        await self.start()
        try:
            yield self
        finally:
            await self.stop()

    def _measure(self, metrics: Metrics) -> None:
        of, lag = self.runtime, None if self.watchdog is None else self.watchdog.lag
        measure_state(metrics, self.settings.app_id, of.takeover, of.batched, len(of.workers), of.recovering_since, lag)

    async def start(self) -> None:
        """Check the topics and join the group; partitions are assigned later. Raises WrongTopic, StoreLocked."""
        self._directory.acquire()
        self._started = True
        try:
            await self._check_topics()
        except BaseException:
            self._directory.release()
            raise
        self._pause.start()
        self.watchdog = Watchdog(
            group_reader(self.settings),
            self.runtime.owned_sources,
            self.settings.stall_seconds,
            self.settings.app_id,
        )
        self.watchdog.start()
        self._tasks.append(asyncio.create_task(self._watch(self.runtime.takeover.follow_topics), name="topics"))
        for service in self._services:
            self._tasks.append(asyncio.create_task(self._watch(service), name=f"service-{service.__name__}"))
        self.faust.finalize()
        await self.faust.start()

    async def stop(self) -> None:
        """Finish the batches in work, commit, leave the group, close the stores."""
        self._stopped = True
        if self.watchdog is not None:
            self.watchdog.stop()
        await self.faust.stop()
        await self.runtime.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self.producer.close(2.0)
        self._pause.stop()
        self._directory.release()

    async def settled(self, timeout_seconds: float = 30.0) -> None:
        """Wait until everything that is in the sources now is settled and committed: for tests."""
        deadline = asyncio.get_running_loop().time() + timeout_seconds
        ends: dict[Any, int] | None = None
        while True:
            if self.runtime.workers and ends is None:
                bounds = await self.runtime.consumer.bounds(self.runtime.ledger.positions())
                ends = {tp: end for tp, (_, end) in bounds.items()}
            if ends is not None and self.runtime.workers:
                done = self.runtime.ledger.known_to_broker()
                if all(done.get(tp, -1) >= end for tp, end in ends.items() if end > 0):
                    return
            if asyncio.get_running_loop().time() > deadline:
                raise TimeoutError(f"not settled: ends {ends}, committed {self.runtime.ledger.known_to_broker()}")
            await asyncio.sleep(0.02)

    async def _check_topics(self) -> None:
        for attempt in range(1, 100):
            try:
                return await self.runtime.takeover.check_topics()
            except TransientError as error:
                log.warning("broker does not answer yet", error=str(error), attempt=attempt)
                await asyncio.sleep(min(5.0, 0.2 * attempt))
        raise FatalError("the broker does not answer")

    async def _watch(self, service: Callable[[], Awaitable[None]]) -> None:
        try:
            await service()
        except asyncio.CancelledError:
            raise
        except FatalError as error:
            halt(error.exit_code, str(error))
        except Exception as error:
            log.exception("service died", service=service.__name__)
            halt(ExitCode.FATAL, f"service {service.__name__} died: {error!r}")
