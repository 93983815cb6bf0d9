"""The import connector as a process: `cm-streams connector`."""

import asyncio
import contextlib
import gc
from collections.abc import Callable, Iterable
from datetime import datetime
from functools import partial

import structlog
from confluent_kafka import KafkaException

from connectors.campaign_monitor.credentials import CampaignMonitorSettings
from connectors.control.accounts import OpenApi, authorized_apis
from connectors.control.crypto import ControlSettings
from connectors.control.jobs import Jobs, chain_partition, partition_count, refused_access
from connectors.control.metrics import ControlMetrics
from connectors.importer.metrics import Freshness
from connectors.importer.progress import ProgressView
from connectors.importer.publish import SetAttention, TaskPartition
from connectors.importer.settings import ImporterSettings
from connectors.importer.tasks.execute import TaskExecutor
from connectors.importer.tasks.page import ProgressRecord
from connectors.kafka.admin import ensure_topics
from connectors.kafka.broker_watch import BrokerWatch
from connectors.kafka.consumer import GroupConsumer
from connectors.kafka.producer import AsyncProducer
from connectors.kafka.records import ConsumedRecord
from connectors.kafka.settings import KafkaSettings
from connectors.kafka.transaction import TransactionError
from connectors.process import HealthServer, stopped_by_signal
from schemas.control import ImportJob
from schemas.import_task import ChainProgress

log = structlog.get_logger(__name__)

AFTER_END_SECONDS = 0.1
"""Between a chain's end and the look at what is due: many end at the same time, and a look takes all of a job's."""

REJOIN_SECONDS = 1.0
"""Between leaving the group after a failure and joining it again."""


class ImportConnector:
    """Runs imports until cancelled. `jobs`: the import jobs that there are now; `open_api`: authorization id -> API."""

    def __init__(
        self,
        kafka: KafkaSettings,
        settings: ImporterSettings,
        *,
        jobs: Callable[[], Iterable[ImportJob]],
        open_api: OpenApi,
        zone_overrides: dict[str, str] | None = None,
        set_attention: SetAttention | None = None,
        on_progress: Callable[[ProgressRecord | None], None] | None = None,
        authorized_at: Callable[[str], datetime | None] = lambda _authorization: None,
    ) -> None:
        self._set_attention = set_attention
        self._authorized_at = authorized_at
        self._kafka = kafka
        self._settings = settings
        self._jobs = jobs
        self._open_api = open_api
        self._zone_overrides = zone_overrides or {}
        self._on_progress = on_progress
        self._topic = kafka.names()["cm_import_tasks"]
        self._group = settings.consumer_group(kafka.topic_prefix)
        self._partitions: dict[int, TaskPartition] = {}
        self._count = 0
        self._freshness = Freshness(jobs)
        self._chain_ended = asyncio.Event()
        self.problem: str | None = "it has not joined its group yet"
        """Why it cannot work now, in a sentence; None while it can."""

    @property
    def partitions(self) -> frozenset[int]:
        """The task partitions that this process owns."""
        return frozenset(self._partitions)

    async def run(self) -> None:
        """Work until cancelled. After a failure of the brokers, or when fenced, it joins the group again."""
        with self._freshness.shown():
            await self._run()

    async def _run(self) -> None:
        while True:
            try:
                async with ProgressView(self._kafka, self._merge) as view:
                    await self._member(view)
            except (TransactionError, KafkaException, TimeoutError) as failure:
                # Everything that was in work is dropped. What is committed decides where its next owner goes on.
                self.problem = f"it left its group: {failure}"
                log.warning("connector rejoins its group", reason=str(failure))
                await asyncio.sleep(REJOIN_SECONDS)

    async def _member(self, view: ProgressView) -> None:
        self._count = count = await asyncio.to_thread(partition_count, self._kafka, self._topic)
        executor = TaskExecutor(
            settings=self._settings,
            view=view,
            open_api=self._open_api,
            job=lambda job_id: next((job for job in self._jobs() if job.id == job_id), None),
            zone_overrides=self._zone_overrides,
            authorized_at=self._authorized_at,
        )
        consumer = GroupConsumer(
            self._kafka,
            self._group,
            self._topic,
            on_assigned=lambda numbers: self._assigned(numbers, count, executor, view, consumer),
            on_revoked=self._revoked,
        )
        schedule = asyncio.create_task(self._schedule(), name="import-schedule")
        working = asyncio.create_task(consumer.run(self._handle), name="import-tasks")
        try:
            done, _ = await asyncio.wait({schedule, working}, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        finally:
            schedule.cancel()
            working.cancel()
            await asyncio.gather(schedule, working, return_exceptions=True)
            await self._revoked(frozenset(self._partitions))

    def _merge(self, record: ProgressRecord | None) -> None:
        """Hand a chain's progress to the partition that reads it, then to whoever watches."""
        if isinstance(record, ChainProgress) and record.state in ("done", "failed"):
            self._chain_ended.set()
        if isinstance(record, ChainProgress) and self._count:
            partition = self._partitions.get(chain_partition(record.job_id, record.chain, self._count))
            if partition is not None:
                partition.merge(record)
        self._freshness.merge(record)
        if self._on_progress is not None:
            self._on_progress(record)

    async def _handle(self, record: ConsumedRecord) -> None:
        partition = self._partitions.get(record.partition)
        if partition is not None:
            await partition.handle(record)

    async def _schedule(self) -> None:
        """Look what is due, regularly and soon after a chain's end, which may be what a run waited for."""
        while True:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._chain_ended.wait(), self._settings.schedule_seconds)
                await asyncio.sleep(AFTER_END_SECONDS)
            self._chain_ended.clear()
            for partition in list(self._partitions.values()):
                await partition.tick()

    async def _assigned(
        self, numbers: frozenset[int], count: int, executor: TaskExecutor, view: ProgressView, consumer: GroupConsumer
    ) -> None:
        for number in numbers:
            partition = TaskPartition(
                number,
                count,
                self._kafka,
                self._group,
                executor,
                view,
                self._jobs,
                consumer.group_metadata,
                self._set_attention,
            )
            self._partitions[number] = partition
            partition.start()
        self.problem = None

    async def _revoked(self, numbers: frozenset[int]) -> None:
        revoked = [self._partitions.pop(number) for number in numbers if number in self._partitions]
        await asyncio.gather(*(partition.close() for partition in revoked))


GC_THRESHOLDS = (50_000, 20, 50)
"""A page is thousands of dicts that live for a moment: at Python's default a fifth of the time went into looking for
cycles among them. Larger: cycles, of which there are few, would stay longer."""


async def run(
    kafka: KafkaSettings,
    campaign_monitor: CampaignMonitorSettings,
    control: ControlSettings,
    settings: ImporterSettings,
    *,
    health_host: str = "127.0.0.1",
    health_port: int = 0,
    stop: asyncio.Event | None = None,
    on_progress: Callable[[ProgressRecord | None], None] | None = None,
    on_health_port: Callable[[int], None] | None = None,
) -> None:
    """Import until `stop` is set; without one, until SIGTERM or SIGINT.

    Raises:
        TopicsRefusedError: a topic is missing or has the wrong shape.
        SealError: an encryption key is set, and is none.
        ReadError, BrokersUnreachableError: no broker answers.
    """
    ended = stop or stopped_by_signal()
    gc.set_threshold(*GC_THRESHOLDS)
    async with contextlib.AsyncExitStack() as stack:
        health = await stack.enter_async_context(HealthServer(host=health_host, port=health_port))
        await asyncio.to_thread(ensure_topics, kafka)
        producer = await stack.enter_async_context(AsyncProducer(kafka, "importer-control"))
        apis = await stack.enter_async_context(
            authorized_apis(kafka, producer, control, settings.client_settings(campaign_monitor))
        )
        jobs = await stack.enter_async_context(Jobs(kafka, producer))
        access = apis.authorizations
        stack.callback(ControlMetrics(jobs, access).end)
        connector = ImportConnector(
            kafka,
            settings,
            jobs=lambda: jobs.imports().values(),
            open_api=apis.api,
            authorized_at=apis.changed_at,
            set_attention=partial(jobs.set_attention, "import"),
            zone_overrides=dict(campaign_monitor.zone_overrides),
            on_progress=on_progress,
        )
        brokers = await stack.enter_async_context(BrokerWatch(kafka))
        health.ready = lambda: brokers.problem or connector.problem or refused_access(jobs.imports(), access.all())
        if on_health_port is not None:
            on_health_port(health.port)
        working = asyncio.create_task(connector.run(), name="connector")
        waiting = asyncio.create_task(ended.wait(), name="stop")
        try:
            await asyncio.wait({working, waiting}, return_when=asyncio.FIRST_COMPLETED)
            if working.done():
                working.result()
        finally:
            log.info("connector stops")
            for task in (working, waiting):
                task.cancel()
            await asyncio.gather(working, waiting, return_exceptions=True)
