"""The chains of a task partition, read ahead in memory: one coroutine each, none waits for a transaction."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from prometheus_client import Counter

from connectors.importer.tasks.execute import TaskExecutor
from connectors.importer.tasks.page import TaskResult
from schemas.control import ImportJob
from schemas.import_task import ChainProgress, ImportTask

PAGES = Counter("cm_streams_import_tasks_total", "Steps of chains that were done, by kind; most are pages.", ["kind"])

EPOCH = datetime.fromtimestamp(0, UTC)

ChainKey = tuple[str, str]
"""(job id, chain)."""


def beginning(task: ImportTask | ChainProgress) -> tuple[int, int]:
    """Return which read of a chain it is: its run, and when it began in milliseconds."""
    return task.run, (task.started_at - EPOCH) // timedelta(milliseconds=1)


@dataclass(slots=True)
class _Chain:
    beginning: tuple[int, int]
    reading: "asyncio.Task[None]"
    last: tuple[str, int] | None = None
    """State and step that it published last."""


class RunningChains:
    """Chains that are read here. `publish` takes what a step led to; `room` waits while too much is unpublished.

    A chain stays here after its end until the end is seen on the progress topic: before, the topic shows it as open,
    and it would be begun a second time.
    """

    def __init__(
        self,
        executor: TaskExecutor,
        publish: Callable[[TaskResult], None],
        room: Callable[[], Awaitable[None]],
        is_ours: Callable[[str, str], bool],
    ) -> None:
        self._executor = executor
        self._publish = publish
        self._room = room
        self._is_ours = is_ours
        self._chains: dict[ChainKey, _Chain] = {}

    def merge(self, chain: ChainProgress, now: datetime) -> None:
        """Apply a chain's progress as the topic shows it: begin to read it, or forget it once its end is seen."""
        key = chain.job_id, chain.chain
        known, job = self._chains.get(key), self._executor.job(chain.job_id)
        if known is not None and known.beginning >= beginning(chain):
            # Not by any end that is seen: one that went on after it was parked may be done before that is shown.
            seen = known.beginning == beginning(chain) and known.last in (None, (chain.state, chain.step))
            if seen and known.reading.done():
                del self._chains[key]
        elif chain.task is not None and job is not None and self._is_due(chain, job, now):
            self.start(chain.task)

    def _is_due(self, chain: ChainProgress, job: ImportJob, now: datetime) -> bool:
        """Return whether a chain goes on now; one that waits does so when its authorization was changed, too."""
        if chain.state != "parked":
            return chain.state == "open"
        changed_at = self._executor.authorized_at(job.authorization_id)
        changed = changed_at is not None and changed_at > chain.updated_at
        return job.state == "running" and (chain.retry_at is None or chain.retry_at <= now or changed)

    def is_reading(self, job_id: str, chain: str) -> bool:
        """Return whether a chain is read here, also while the topic shows it as parked."""
        known = self._chains.get((job_id, chain))
        return known is not None and not known.reading.done()

    def start(self, task: ImportTask) -> None:
        """Read a chain from here on. Another read of it ends: whoever asked for this one wants it instead."""
        key = task.job_id, task.chain
        known = self._chains.get(key)
        if known is not None:
            known.reading.cancel()
        reading = asyncio.create_task(self._read(task), name=f"chain-{task.chain}")
        self._chains[key] = _Chain(beginning(task), reading)

    def end_removed(self) -> None:
        """End all chains of jobs that were removed, also when nothing of them is on the progress topic any more."""
        removed = {job_id for job_id in {key[0] for key in self._chains} if self._executor.job(job_id) is None}
        for key in [key for key in self._chains if key[0] in removed]:
            self._chains.pop(key).reading.cancel()

    def failure(self) -> BaseException | None:
        """Return what ended a chain unexpectedly, None when nothing did."""
        for chain in self._chains.values():
            if chain.reading.done() and not chain.reading.cancelled() and chain.reading.exception() is not None:
                return chain.reading.exception()
        return None

    async def close(self) -> None:
        """Stop reading. What was not published is read again by whoever goes on."""
        reading = [chain.reading for chain in self._chains.values()]
        for task in reading:
            task.cancel()
        await asyncio.gather(*reading, return_exceptions=True)
        self._chains.clear()

    async def _read(self, task: ImportTask) -> None:
        pages = self._executor.pages()
        following: ImportTask | None = task
        try:
            while following is not None:
                step = following
                result = await self._executor.execute(step, pages)
                PAGES.labels(step.kind).inc()
                self._publish(result)
                self._note(step, result)
                for begun in result.tasks:
                    # Its beginning is in the same transaction or an earlier one, so it need not be seen first.
                    if begun.chain != step.chain and self._is_ours(begun.job_id, begun.chain):
                        self.start(begun)
                following = result.next_task(step.chain)
                if following is not None:
                    await self._room()
        finally:
            pages.discard()

    def _note(self, step: ImportTask, result: TaskResult) -> None:
        known = self._chains.get((step.job_id, step.chain))
        if known is None or known.beginning != beginning(step):
            return
        for record in result.progress:
            if isinstance(record, ChainProgress) and record.chain == step.chain:
                known.last = record.state, record.step
