"""A task partition that this process owns: its steps, one transaction each, and the runs that have their home here."""

import asyncio
import time
import uuid
import zlib
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from typing import Any

import structlog
from pydantic import ValidationError

from connectors.importer import metrics, plan
from connectors.importer.execute import Executor
from connectors.importer.outcome import Outcome, progress_of
from connectors.importer.progress import ProgressView
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

ATTEMPTS = 20
"""At a transaction that was aborted; with a second between them the brokers have restarted meanwhile."""

MOST_RECORDS = 2_000
"""From here on a transaction takes no further page: until it ends, its readers wait."""


def home_of(job_id: str, partitions: int) -> int:
    """Return the task partition whose owner starts and ends the job's runs."""
    return zlib.crc32(job_id.encode()) % partitions


class Partition:
    """Steps of one partition. Everything it publishes goes through one fenced publisher."""

    def __init__(
        self,
        number: int,
        partitions: int,
        kafka: KafkaSettings,
        group: str,
        executor: Executor,
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
        """Begin to take the partition over; steps wait until that is done."""
        self._opening = asyncio.create_task(self._open(), name=f"open-{self.number}")

    async def ready(self) -> None:
        """Return when the partition is ours alone and all that its last owner did is known here."""
        if self._opening is not None:
            await asyncio.shield(self._opening)

    async def close(self) -> None:
        """Let go of it. An open transaction is aborted by the next owner."""
        if self._opening is not None and not self._opening.done():
            self._opening.cancel()
            await asyncio.gather(self._opening, return_exceptions=True)
        await self._publisher.close()

    async def handle(self, record: ConsumedRecord) -> None:
        """Do one step: ask first, then publish everything it leads to, and the step's own end, at once.

        Steps that follow in its chain go with it when their pages have come meanwhile: a transaction costs the
        brokers the same for one page as for several.
        """
        await self.ready()
        try:
            task = ImportTask.from_bytes(record.value or b"")
        except ValidationError:
            # Nobody but us writes here; a task of a later release has to wait for it, which would block the others.
            log.error("task not understood", partition=record.partition, offset=record.offset)
            await self._publish(Outcome(), None, [record.position])
            return
        outcome = await self._executor.execute(task)
        metrics.PAGES.labels(task.kind).inc()
        while len(outcome.records) < MOST_RECORDS and (following := self._executor.goes_on(outcome, task)):
            outcome.then(await self._executor.execute(following), task.chain)
            metrics.PAGES.labels(following.kind).inc()
        await self._publish(outcome, task, [record.position])

    async def tick(self) -> None:
        """Start, sweep, end and resume runs that have their home here."""
        if self._opening is None or not self._opening.done() or self._ticking.locked():
            return
        self._opening.result()  # a partition that could not be taken over is a failure, also when no step waits for it
        async with self._ticking:
            jobs = {job.id: job for job in self._jobs() if self._is_home(job.id)}
            ids = [*jobs, *(job_id for job_id in self._view.table.runs if job_id not in jobs and self._is_home(job_id))]
            outcome = Outcome()
            for job_id in ids:
                self._plan(job_id, jobs.get(job_id), outcome)
            if outcome.progress or outcome.tasks or outcome.forgotten:
                await self._claim(outcome)

    def _plan(self, job_id: str, job: ImportJob | None, outcome: Outcome) -> None:
        table, now = self._view.table, datetime.now(UTC)
        run = table.runs.get(job_id)
        chains = table.chains(job_id).values()
        match plan.next_action(job, run, table.waiting(job_id), chains, now):
            case plan.Start(started, task) | plan.Sweep(started, task):
                metrics.RUNS.inc()
                log.info("import begins", job=job_id, run=started.run, sweep=task.sweep, full=task.full)
                outcome.progress.append(started)
                outcome.begin(task)
            case plan.Finish(ended):
                log.info("import ends", job=job_id, run=ended.run, rows=ended.rows, problems=ended.problems)
                outcome.progress.append(ended)
            case plan.Replan(planned):
                outcome.progress.append(planned)
            case plan.Resume(parked):
                for chain in parked:
                    if chain.task is not None:
                        outcome.tasks.append(chain.task)
                        change = {"full": chain.full, "problem": chain.problem, "updated_at": now}
                        outcome.progress.append(progress_of(chain.task, change))
            case plan.Forget():
                outcome.forgotten += table.keys(job_id)
            case None:
                pass

    def _is_home(self, job_id: str) -> bool:
        return home_of(job_id, self._partitions) == self.number

    async def _open(self) -> None:
        await self._publisher.open()
        await self._claim(Outcome())

    async def _claim(self, outcome: Outcome) -> None:
        """Publish, and wait until it is seen: then all that was written before is seen too, by whomever."""
        self._claims += 1
        owner = f"{self._owner}-{self._claims}"
        outcome.progress.append(Claim(partition=self.number, owner=owner, at=datetime.now(UTC)))
        await self._publish(outcome, None, [])
        await self._view.until(lambda table: self.number in table.claims and table.claims[self.number].owner == owner)

    async def _member(self, *, anew: bool) -> Any:
        """Return the proof of membership. It takes some 50 ms to get, so one is kept until it is refused."""
        if self._membership is None or anew:
            self._membership = await asyncio.to_thread(self._group_metadata)
        return self._membership

    async def _publish(self, outcome: Outcome, task: ImportTask | None, consumed: list[Position]) -> None:
        """Publish an outcome and the end of the step. Repeats what was aborted; raises when it is not ours any more."""
        records = outcome.outgoing(self._names, task.chain if task else None, self.number)
        began = time.perf_counter()
        fenced_before = False
        for attempt in range(1, ATTEMPTS + 1):
            try:
                group = await self._member(anew=fenced_before) if consumed else None
                await self._publisher.publish(records, consumed=consumed, group=group)
                break
            except BrokenPublisherError:
                raise
            except FencedError:
                # The group may only have a new generation. With its proof of now the brokers know who is meant.
                if fenced_before or not consumed:
                    raise
                fenced_before = True
            except TransactionError:
                if attempt == ATTEMPTS:
                    raise
                await asyncio.sleep(1.0)
        metrics.PUBLISH.observe(time.perf_counter() - began)
        for record in outcome.records[:1]:
            metrics.RECORDS.labels(record.topic).inc(len(outcome.records))
