"""One task for each partition: batches of all its topics and jobs of others, strictly one after another.

Where both wait they take turns: jobs come from deliveries by the thousand, and events would otherwise wait for the last
of them.
"""

from __future__ import annotations

import asyncio
import contextvars
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Any

from streams.batches.core.batch import Batch
from streams.batches.core.errors import Revoked

_owner: contextvars.ContextVar[tuple[int, int] | None] = contextvars.ContextVar("owner", default=None)

QUEUED_BATCHES = 1
"""Fetched and waiting while another one is in work: enough to continue without a pause, and it bounds the memory."""


class PartitionWorker:
    """The task that owns one partition under one assignment."""

    def __init__(
        self,
        partition: int,
        generation: int,
        process: Callable[[PartitionWorker, Batch], Awaitable[None]],
        room_made: Callable[[], None],
    ) -> None:
        self.partition = partition
        self.generation = generation
        self._process = process
        self._room_made = room_made
        self._batches: deque[Batch] = deque()
        self._jobs: deque[tuple[Callable[[], Awaitable[Any]], asyncio.Future[Any]]] = deque()
        self._wake = asyncio.Event()
        self.closing = asyncio.Event()
        """Set when the partition is being revoked: waits between two attempts end at once."""
        self.in_work: Batch | None = None
        self._closed = False
        self._idle = asyncio.Event()
        self._task = asyncio.get_running_loop().create_task(self._run(), name=f"worker-{partition}")

    def has_room(self) -> bool:
        """Whether another batch may be queued. From any thread."""
        return len(self._batches) < QUEUED_BATCHES and not self.closing.is_set()

    def put(self, batch: Batch) -> None:
        """Queue a batch; dropped when the partition is being revoked (it is not settled, so it is delivered again)."""
        if not self.closing.is_set() and batch.generation == self.generation:
            self._batches.append(batch)
            self._idle.clear()
            self._wake.set()

    async def run(self, job: Callable[[], Awaitable[Any]]) -> Any:
        """Run a job between batches and return its result, or raise its error.

        Revoked when the worker ends before the job did. RuntimeError when called from the worker's own task.
        """
        if _owner.get() == (self.partition, self.generation) and asyncio.current_task() is self._task:
            raise RuntimeError("called from inside of the owner's task, which would wait for itself")
        if self._closed:
            raise Revoked(f"partition {self.partition} is not owned under generation {self.generation}")
        future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._jobs.append((job, future))
        self._idle.clear()
        self._wake.set()
        return await future

    def begin_closing(self) -> None:
        """Accept no more batches; the one in work may end, jobs still run."""
        self.closing.set()
        self._batches.clear()
        self._wake.set()

    async def idle(self) -> None:
        """Wait until nothing is in work."""
        await self._idle.wait()

    async def end(self) -> None:
        """Cancel what is still in work and wait until it has ended."""
        self._closed = True
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)
        while self._jobs:
            _, future = self._jobs.popleft()
            if not future.done():
                future.set_exception(Revoked(f"partition {self.partition} was revoked"))

    async def _run(self) -> None:
        _owner.set((self.partition, self.generation))
        jobs_turn = True
        while True:
            if self._jobs and (jobs_turn or not self._batches):
                jobs_turn = False
                await self._run_job(*self._jobs.popleft())
            elif self._batches:
                jobs_turn = True
                self.in_work = self._batches.popleft()
                self._room_made()
                try:
                    await self._process(self, self.in_work)
                finally:
                    self.in_work = None
                self._room_made()
            else:
                self._wake.clear()
                self._idle.set()
                await self._wake.wait()

    async def _run_job(self, job: Callable[[], Awaitable[Any]], future: asyncio.Future[Any]) -> None:
        if future.cancelled():
            return
        try:
            result = await job()
        except asyncio.CancelledError:
            if not future.done():
                future.set_exception(Revoked(f"partition {self.partition} was revoked"))
            raise
        except Exception as error:
            if not future.done():
                future.set_exception(error)
        else:
            if not future.done():
                future.set_result(result)


def assert_owner(partition: int) -> None:
    """RuntimeError unless called from the partition's owner task: two writers of one row overwrite each other."""
    owner = _owner.get()
    if owner is None or owner[0] != partition:
        raise RuntimeError(f"rows of partition {partition} are read and written by its owner only; use run_as_owner")
