"""Running an agent on a batch until every record of it is either done or kept as a dead letter. Nothing escapes."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Awaitable, Callable, Sequence

import structlog

from .batch import Batch, DeadLetter, Record, Source
from .errors import BatchError, FatalError, PoisonRecord, Revoked, TransientError
from .settings import BatchSettings

Agent = Callable[[Batch], Awaitable[None]]
KeepDeadLetters = Callable[[Sequence[DeadLetter]], Awaitable[None]]

log = structlog.get_logger(__name__)


def backoff_seconds(attempt: int, first: float, longest: float, spread: float) -> float:
    """Doubling waits with jitter; `spread` is a random number of [0, 1)."""
    return min(longest, first * 2.0 ** min(attempt - 1, 30)) * (0.5 + spread / 2)


def is_transient(error: BaseException) -> bool:
    """Something outside does not answer; anything else that an agent raises is about the records, or about us."""
    return isinstance(error, TransientError | TimeoutError | asyncio.TimeoutError | ConnectionError)


class Attempts:
    """Works through one batch: retries, takes poison out, halves it around defects."""

    def __init__(
        self,
        batch: Batch,
        agent: Agent,
        keep_dead_letters: KeepDeadLetters,
        settings: BatchSettings,
        *,
        closing: asyncio.Event,
        retried: Callable[[BaseException, int], None] = lambda error, attempt: None,
        stuck: Callable[[str | None], None] = lambda why: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`closing` ends waits at revocation with Revoked; `retried` and `stuck` report, `stuck(None)` takes back."""
        self._batch = batch
        self._agent = agent
        self._keep = keep_dead_letters
        self._settings = settings
        self._closing = closing
        self._retried = retried
        self._stuck = stuck
        self._clock = clock
        self._began = clock()

    async def run(self) -> None:
        """Return when the range may settle. Raises Revoked or FatalError, nothing else."""
        # Depth first, left half first: rows advance in offset order.
        todo: list[Sequence[Record]] = [self._batch.records]
        while todo:
            records = todo.pop()
            try:
                await self._until_done(self._batch.source, records)
            except PoisonRecord as poison:
                rest = await self._take_out(records, poison)
                if rest:
                    todo.append(rest)
            except Exception as error:
                if isinstance(error, BatchError):
                    raise
                if len(records) > 1:
                    middle = len(records) // 2
                    todo += [records[middle:], records[:middle]]
                else:
                    reason = f"{type(error).__name__}: {error}"
                    log.warning("record refused", topic=self._batch.topic, offset=records[0].offset, reason=reason)
                    await self._keep_one(records[0], "agent", reason)
        self._stuck(None)

    async def _until_done(self, source: Source, records: Sequence[Record]) -> None:
        attempt = 1
        while True:
            batch = Batch(source, self._batch.partition, records, generation=self._batch.generation, attempt=attempt)
            try:
                await self._agent(batch)
                if batch.refused:
                    await self._kept(batch.refused)
                return
            except Exception as error:
                if not is_transient(error):
                    raise
                await self._pause(error, attempt)
                attempt += 1

    async def _pause(self, error: BaseException, attempt: int) -> None:
        self._retried(error, attempt)
        settings = self._settings
        if self._clock() - self._began > settings.batch_alarm_seconds:
            self._stuck(f"{self._batch!r}: {type(error).__name__}: {error}")
        seconds = backoff_seconds(
            attempt, settings.retry_first_seconds, settings.retry_longest_seconds, random.random()
        )
        seconds = max(seconds, getattr(error, "after_seconds", 0.0))
        try:
            await asyncio.wait_for(self._closing.wait(), seconds)
        except TimeoutError:
            return
        raise Revoked(f"partition {self._batch.partition} is being revoked") from error

    async def _take_out(self, records: Sequence[Record], poison: PoisonRecord) -> Sequence[Record]:
        """Dead-letter the record that the agent named, return the others."""
        if poison.offset is None and len(records) == 1:
            named = records[0]
        else:
            found = [record for record in records if record.offset == poison.offset]
            if not found:
                raise FatalError(
                    f"an agent on {self._batch.topic} raised {type(poison).__name__} without the offset of a record "
                    f"in its batch: {poison.reason}"
                ) from poison
            named = found[0]
        await self._keep_one(named, poison.stage, poison.reason)
        return [record for record in records if record is not named]

    async def _keep_one(self, record: Record, stage: str, reason: str) -> None:
        await self._kept([DeadLetter(self._batch.topic, self._batch.partition, record, stage, reason)])

    async def _kept(self, letters: Sequence[DeadLetter]) -> None:
        """Dead letters are kept before anything settles, however long that takes."""
        attempt = 1
        while True:
            try:
                await self._keep(letters)
                return
            except Exception as error:
                if isinstance(error, FatalError | Revoked):
                    raise
                await self._pause(error, attempt)
                attempt += 1
