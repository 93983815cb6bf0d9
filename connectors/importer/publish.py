"""A task partition that this process owns: each task is published in one transaction, and its runs are planned here."""

import asyncio
import time
import uuid
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from typing import Any

import structlog
from prometheus_client import Counter, Histogram
from pydantic import ValidationError

from connectors.control.jobs import home_partition
from connectors.importer.progress import ProgressView
from connectors.importer.tasks import plan
from connectors.importer.tasks.execute import TaskExecutor
from connectors.importer.tasks.page import TaskResult, progress_of
from connectors.kafka.records import ConsumedRecord, Position
from connectors.kafka.settings import KafkaSettings
from connectors.kafka.transaction import (
    BrokenPublisherError,
    FencedError,
    TransactionalPublisher,
    TransactionError,
    transactional_id,
)
from schemas.control import ImportJob
from schemas.import_task import Claim, ImportTask
from schemas.topics import TopicNames

log = structlog.get_logger(__name__)

RECORDS = Counter("import_records_total", "Records published, by topic.", ["topic"])
PAGES = Counter("import_pages_total", "Tasks done, by kind.", ["kind"])
PUBLISH = Histogram("import_publish_seconds", "Time of a page's transaction.")
RUNS = Counter("import_runs_total", "Runs that were begun.")

ATTEMPTS = 20
"""At a transaction that was aborted; with a second between them the brokers have restarted meanwhile."""

MAX_RECORDS = 2_000
"""From here on a transaction takes no further page: until it ends, its readers wait."""


class TaskPartition:
    """Tasks of one partition, and the runs whose home it is. One fenced publisher publishes all of it."""

    def __init__(
        self,
        number: int,
        partitions: int,
        kafka: KafkaSettings,
        group: str,
        executor: TaskExecutor,
        view: ProgressView,
        jobs: Callable[[], Iterable[ImportJob]],
        group_metadata: Callable[[], Any],
    ) -> None:
        self.number = number
        self._partitions = partitions
        self._names: TopicNames = kafka.names()
        self._executor = executor
        self._view = view
        self._jobs = jobs
        self._group_metadata = group_metadata
        fence = transactional_id(self._names.prefix + group, "cm_import_tasks", number)
        self._publisher = TransactionalPublisher(kafka, fence)
        self._owner = uuid.uuid4().hex[:12]
        self._claims = 0
        self._opening: asyncio.Task[None] | None = None
        self._ticking = asyncio.Lock()
        self._membership: Any = None

    def start(self) -> None:
        """Begin to take the partition over; tasks wait until that is done."""
        self._opening = asyncio.create_task(self._open(), name=f"open-{self.number}")

    async def ready(self) -> None:
        """Return when the partition is ours alone and all that its last owner did is known here."""
        if self._opening is not None:
            await asyncio.shield(self._opening)

    async def close(self) -> None:
        """Give it back. An open transaction is aborted by the next owner."""
        if self._opening is not None and not self._opening.done():
            self._opening.cancel()
            await asyncio.gather(self._opening, return_exceptions=True)
        await self._publisher.close()

    async def handle(self, record: ConsumedRecord) -> None:
        """Execute one task, then publish everything it leads to, and its own end, in one transaction.

        The next tasks of its chain are included when their pages were prefetched: a transaction costs the brokers the
        same for one page as for several.
        """
        await self.ready()
        try:
            task = ImportTask.from_bytes(record.value or b"")
        except ValidationError:
            # Nobody but us writes here; a task of a later release has to wait for it, which would block the others.
            log.error("import task unreadable", partition=record.partition, offset=record.offset)
            await self._publish(TaskResult(), None, [record.position])
            return
        result = await self._executor.execute(task)
        PAGES.labels(task.kind).inc()
        while len(result.records) < MAX_RECORDS and (following := self._executor.prefetched_next(result, task)):
            result.replace_next(await self._executor.execute(following), task.chain)
            PAGES.labels(following.kind).inc()
        await self._publish(result, task, [record.position])

    async def tick(self) -> None:
        """Start, catch up, end and resume the runs whose home this partition is."""
        if self._opening is None or not self._opening.done() or self._ticking.locked():
            return
        self._opening.result()  # a partition that could not be taken over is a failure, also when no task waits for it
        async with self._ticking:
            jobs = {job.id: job for job in self._jobs() if self._is_home(job.id)}
            ids = [*jobs, *(job_id for job_id in self._view.table.runs if job_id not in jobs and self._is_home(job_id))]
            result = TaskResult()
            for job_id in ids:
                self._plan(job_id, jobs.get(job_id), result)
            if result.progress or result.tasks or result.deleted:
                await self._claim(result)

    def _plan(self, job_id: str, job: ImportJob | None, result: TaskResult) -> None:
        table, now = self._view.table, datetime.now(UTC)
        run = table.runs.get(job_id)
        chains = table.chains(job_id).values()
        match plan.next_action(job, run, table.waiting(job_id), chains, now):
            case plan.StartRun(started, task) | plan.StartCatchUp(started, task):
                RUNS.inc()
                log.info("import begins", job=job_id, run=started.run, catch_up=task.sweep, full=task.full)
                result.progress.append(started)
                result.begin(task)
            case plan.FinishRun(ended):
                log.info("import ends", job=job_id, run=ended.run, rows=ended.rows, problems=ended.problems)
                result.progress.append(ended)
            case plan.RescheduleRun(planned):
                result.progress.append(planned)
            case plan.ResumeChains(parked):
                for chain in parked:
                    if chain.task is not None:
                        result.tasks.append(chain.task)
                        change = {"full": chain.full, "problem": chain.problem, "updated_at": now}
                        result.progress.append(progress_of(chain.task, change))
            case plan.ForgetJob():
                result.deleted += table.keys(job_id)
            case None:
                pass

    def _is_home(self, job_id: str) -> bool:
        return home_partition(job_id, self._partitions) == self.number

    async def _open(self) -> None:
        await self._publisher.open()
        await self._claim(TaskResult())

    async def _claim(self, result: TaskResult) -> None:
        """Publish, and wait until it is seen here: then all that any earlier owner wrote is seen too."""
        self._claims += 1
        owner = f"{self._owner}-{self._claims}"
        result.progress.append(Claim(partition=self.number, owner=owner, at=datetime.now(UTC)))
        await self._publish(result, None, [])
        await self._view.until(lambda table: self.number in table.claims and table.claims[self.number].owner == owner)

    async def _group_member(self, *, renew: bool) -> Any:
        """Return the group metadata of this member. It takes some 50 ms to get, so it is cached until it is refused."""
        if self._membership is None or renew:
            self._membership = await asyncio.to_thread(self._group_metadata)
        return self._membership

    async def _publish(self, result: TaskResult, task: ImportTask | None, consumed: list[Position]) -> None:
        """Publish a result and the end of the task in one transaction; an aborted one is repeated.

        Raises FencedError or BrokenPublisherError when the partition is not ours any more, TransactionError when the
        last attempt was aborted.
        """
        records = result.outgoing(self._names, task.chain if task else None, self.number)
        began = time.perf_counter()
        fenced_before = False
        for attempt in range(1, ATTEMPTS + 1):
            try:
                group = await self._group_member(renew=fenced_before) if consumed else None
                await self._publisher.publish(records, consumed=consumed, group=group)
                break
            except BrokenPublisherError:
                raise
            except FencedError:
                # The group may only have a new generation. With its current metadata the brokers recognise us.
                if fenced_before or not consumed:
                    raise
                fenced_before = True
            except TransactionError:
                if attempt == ATTEMPTS:
                    raise
                await asyncio.sleep(1.0)
        PUBLISH.observe(time.perf_counter() - began)
        for record in result.records[:1]:
            RECORDS.labels(record.topic).inc(len(result.records))
