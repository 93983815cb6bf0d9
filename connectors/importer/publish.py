"""A task partition that this process owns: what its chains read is published together, its runs are planned here."""

import asyncio
import time
import uuid
from collections import Counter as Counts
from collections.abc import Awaitable, Callable, Iterable, Sequence
from datetime import UTC, datetime
from typing import Any

import structlog
from pydantic import ValidationError

from connectors.control.jobs import chain_partition, home_partition
from connectors.importer.chains import RunningChains
from connectors.importer.group import CommitGroup
from connectors.importer.metrics import PUBLISH, RECORDS, RUNS, TO_TOPIC
from connectors.importer.progress import ProgressView
from connectors.importer.tasks import gaps, plan
from connectors.importer.tasks.execute import TaskExecutor
from connectors.importer.tasks.page import TaskResult
from connectors.kafka.publishing import PublishError
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
from schemas.import_task import ChainProgress, Claim, ImportTask, RunProgress
from schemas.topics import TopicNames

log = structlog.get_logger(__name__)


ATTEMPTS = 20
"""At a transaction that was aborted; with a second between them the brokers have restarted meanwhile."""

COMMIT_SECONDS = 0.15
"""Between two transactions. Sooner: each costs the brokers the same for one row as for thousands; later: more is read
again after a crash, and readers wait."""

MAX_RECORDS = 20_000
"""Unpublished rows at which chains wait: 10 MB or so."""


SetAttention = Callable[[str, str | None], Awaitable[object]]
"""(job id, what a person has to do or None). Raises LookupError, PublishError, TimeoutError."""


class TaskPartition:
    """Chains of one partition, and the runs whose home it is. One fenced publisher publishes all of it."""

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
        set_attention: SetAttention | None = None,
    ) -> None:
        self.number = number
        self._partitions = partitions
        self._names: TopicNames = kafka.names()
        self._view = view
        self._jobs = jobs
        self._group_metadata = group_metadata
        self._set_attention = set_attention
        fence = transactional_id(group, "cm_import_tasks", number)
        self._publisher = TransactionalPublisher(kafka, fence)
        self._owner = uuid.uuid4().hex[:12]
        self._claims = 0
        self._opening: asyncio.Task[None] | None = None
        self._committing: asyncio.Task[None] | None = None
        self._ticking = asyncio.Lock()
        self._membership: Any = None
        self._chains = RunningChains(executor, self._add, self._room, self._is_ours)
        self._group = CommitGroup()
        self._changed = asyncio.Event()
        self._taken = asyncio.Condition()
        self._shown: dict[str, tuple[int, str | None]] = {}
        """Job -> its run, and what kind of attention was shown in it last."""

    def start(self) -> None:
        """Begin to take the partition over; requests wait until that is done."""
        self._opening = asyncio.create_task(self._open(), name=f"open-{self.number}")

    async def ready(self) -> None:
        """Return when the partition is ours alone and all that its last owner did is known here."""
        if self._opening is not None:
            await asyncio.shield(self._opening)

    async def close(self) -> None:
        """Give it back. An open transaction is aborted by the next owner."""
        tasks = [task for task in (self._opening, self._committing) if task is not None and not task.done()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, self._chains.close(), return_exceptions=True)
        await self._publisher.close()

    def merge(self, chain: ChainProgress) -> None:
        """Apply the progress of a chain of this partition, as the topic shows it."""
        if self._committing is not None:
            self._chains.merge(chain, datetime.now(UTC))

    async def handle(self, record: ConsumedRecord) -> None:
        """Publish what a request leads to, with its offset."""
        await self.ready()
        try:
            task = ImportTask.from_bytes(record.value or b"")
        except ValidationError:
            # A task of a later release would have to wait for it, which would block the others.
            log.error("import task unreadable", partition=record.partition, offset=record.offset)
            await self._publish(CommitGroup(), [record.position])
            return
        async with self._ticking:
            await self._claim(plan.requested(task, self._view.table), [record.position])

    async def tick(self) -> None:
        """Start, catch up and end the runs whose home this partition is; go on with chains whose time has come."""
        if self._opening is None or not self._opening.done() or self._ticking.locked():
            return
        self._opening.result()  # a partition that could not be taken over is a failure, also when no task waits for it
        if self._committing is not None and self._committing.done():
            self._committing.result()
        if (failure := self._chains.failure()) is not None:
            raise failure
        self._resume()
        async with self._ticking:
            jobs = {job.id: job for job in self._jobs() if self._is_home(job.id)}
            kept = sorted(job_id for job_id in self._view.table.jobs() if job_id not in jobs and self._is_home(job_id))
            result = TaskResult()
            for job_id in [*jobs, *kept]:
                self._plan(job_id, jobs.get(job_id), result)
            self._hand_over(result)
            if result.progress or result.deleted:
                await self._claim(result)
            for job in jobs.values():
                await self._ask_for_attention(job, ended=_has_ended(result, job.id))

    async def _ask_for_attention(self, job: ImportJob, *, ended: bool) -> None:
        """Show what a run waits for or could not read: once as soon as there is something, and all of it at its end."""
        table = self._view.table
        run = table.runs.get(job.id)
        if run is None or self._set_attention is None or not (ended or run.state == "open"):
            return
        change = plan.attention_change(job, run, table.failed(job.id).values(), table.waiting(job.id).values())
        if change is None:
            return
        shown = (run.run, plan.attention_kind(change[0]))
        if not ended and self._shown.get(job.id) == shown:
            return
        self._shown[job.id] = shown
        try:
            await self._set_attention(job.id, *change)
        except (LookupError, PublishError, TimeoutError) as reason:
            log.warning("attention not recorded", job=job.id, reason=str(reason))

    def _resume(self) -> None:
        """Go on with what is open and not read, or parked until now; end what is read for a job that was removed."""
        table, now = self._view.table, datetime.now(UTC)
        self._chains.end_removed()
        for job_id in {job.id for job in self._jobs()} & table.jobs():
            for chain in list(table.waiting(job_id).values()):
                if self._is_ours(job_id, chain.chain):
                    self._chains.merge(chain, now)

    def _plan(self, job_id: str, job: ImportJob | None, result: TaskResult) -> None:
        table, now = self._view.table, datetime.now(UTC)
        run = table.runs.get(job_id)
        if job is None:
            deleted, kept = table.removal(job_id)
            result.deleted += deleted
            result.progress += kept
            return
        match plan.next_action(job, run, table.waiting(job_id), table.chains(job_id).values(), now):
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
            case None:
                pass

    def _hand_over(self, result: TaskResult) -> None:
        """Ask other jobs for the gaps of this partition that the job they were found for does not read.

        What waits here and holds up the next run is left to that one.
        """
        table, jobs = self._view.table, {job.id: job for job in self._jobs()}
        for job in jobs.values():
            left = plan.left_to_next_run(job, table.runs.get(job.id), table.waiting(job.id).values(), datetime.now(UTC))
            result.progress += [
                chain
                for chain in left
                if self._is_ours(job.id, chain.chain) and not self._chains.is_reading(job.id, chain.chain)
            ]
        for job_id in table.jobs_with_gaps():
            for chain in table.gaps(job_id).values():
                if self._is_ours(job_id, chain.chain):
                    gaps.take_over(chain, jobs, table, datetime.now(UTC), result)

    def _is_ours(self, job_id: str, chain: str) -> bool:
        return chain_partition(job_id, chain, self._partitions) == self.number

    def _is_home(self, job_id: str) -> bool:
        return home_partition(job_id, self._partitions) == self.number

    async def _open(self) -> None:
        await self._publisher.open()
        await self._claim(TaskResult())
        self._committing = asyncio.create_task(self._commit(), name=f"commit-{self.number}")
        self._resume()

    def _add(self, result: TaskResult) -> None:
        self._group.add(result)
        self._changed.set()

    async def _room(self) -> None:
        async with self._taken:
            await self._taken.wait_for(lambda: len(self._group.records) < MAX_RECORDS)

    async def _commit(self) -> None:
        """Publish what has come, again and again; chains read on meanwhile."""
        while True:
            await self._changed.wait()
            await asyncio.sleep(COMMIT_SECONDS)
            group, self._group = self._group, CommitGroup()
            self._changed.clear()
            async with self._taken:
                self._taken.notify_all()
            await self._publish(group, [])

    async def _claim(self, result: TaskResult, consumed: Sequence[Position] = ()) -> None:
        """Publish, and wait until it is seen here: then all that any earlier owner wrote is seen too."""
        self._claims += 1
        owner = f"{self._owner}-{self._claims}"
        result.progress.append(Claim(partition=self.number, owner=owner, at=datetime.now(UTC)))
        group = CommitGroup()
        group.add(result)
        await self._publish(group, consumed)
        await self._view.until(lambda table: self.number in table.claims and table.claims[self.number].owner == owner)

    async def _group_member(self, *, renew: bool) -> Any:
        """Return the group metadata of this member. It takes some 50 ms to get, so it is cached until it is refused."""
        if self._membership is None or renew:
            self._membership = await asyncio.to_thread(self._group_metadata)
        return self._membership

    async def _publish(self, group: CommitGroup, consumed: Sequence[Position]) -> None:
        """Publish a group and the offsets of requests in one transaction; an aborted one is repeated.

        Raises FencedError or BrokenPublisherError when the partition is not ours any more, TransactionError when the
        last attempt was aborted.
        """
        records = group.outgoing(self._names, self._partitions)
        began = time.perf_counter()
        fenced_before = False
        for attempt in range(1, ATTEMPTS + 1):
            try:
                member = await self._group_member(renew=fenced_before) if consumed else None
                await self._publisher.publish(records, consumed=consumed, group=member)
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
        if group.began is not None:
            TO_TOPIC.observe(time.monotonic() - group.began)
        for topic, count in Counts(record.topic for record in group.records).items():
            RECORDS.labels(topic).inc(count)


def _has_ended(result: TaskResult, job_id: str) -> bool:
    runs = (record for record in result.progress if isinstance(record, RunProgress) and record.job_id == job_id)
    return any(run.finished_at is not None for run in runs)
