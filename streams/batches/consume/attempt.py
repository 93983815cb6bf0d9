"""Running an agent on a batch until every record of it is either processed or kept as a dead letter."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Awaitable, Callable, Sequence

import structlog

from streams.batches.core.batch import Batch, DeadLetter, PublishDeadLetters, PublishMoved, Record
from streams.batches.core.errors import BatchError, FatalError, OutputTooLarge, PoisonRecord, Revoked, TransientError
from streams.batches.core.settings import BatchSettings

Agent = Callable[[Batch], Awaitable[None]]

log = structlog.get_logger(__name__)


def backoff_seconds(attempt: int, first: float, max_seconds: float, spread: float) -> float:
    """Return the wait before the next attempt: doubled each time, with jitter. `spread`: a random number of [0, 1)."""
    return min(max_seconds, first * 2.0 ** min(attempt - 1, 30)) * (0.5 + spread / 2)


def is_transient(error: BaseException) -> bool:
    """Whether something outside does not answer; any other error is about the records, or a defect of ours."""
    return isinstance(error, TransientError | TimeoutError | asyncio.TimeoutError | ConnectionError)


class Attempts:
    """Runs one batch: retries it, takes poison records out, halves it around defects."""

    def __init__(
        self,
        batch: Batch,
        agent: Agent,
        publish_dead_letters: PublishDeadLetters,
        settings: BatchSettings,
        *,
        publish_moved: PublishMoved,
        closing: asyncio.Event,
        retried: Callable[[BaseException, int], None] = lambda error, attempt: None,
        stuck: Callable[[str | None], None] = lambda why: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`closing` ends waits at revocation with Revoked. `retried` is called before each retry, `stuck` with the
        reason when retries take long, and with None at the end."""
        self._batch = batch
        self._agent = agent
        self._publish_dead_letters = publish_dead_letters
        self._publish_moved = publish_moved
        self._settings = settings
        self._closing = closing
        self._retried = retried
        self._stuck = stuck
        self._clock = clock
        self._began = clock()

    async def run(self) -> None:
        """Return when the range may settle. Raises Revoked or FatalError, nothing else."""
        # Depth first, left half first: rows advance in offset order.
        pending: list[Sequence[Record]] = [self._batch.records]
        while pending:
            records = pending.pop()
            try:
                await self._until_done(records)
            except PoisonRecord as poison:
                rest = await self._take_out(records, poison)
                if rest:
                    pending.append(rest)
            except Exception as error:
                if isinstance(error, BatchError):
                    raise
                if len(records) > 1:
                    if len(records) == len(self._batch.records):
                        log.exception("batch failed, its records are tried in parts", batch=repr(self._batch))
                    middle = len(records) // 2
                    pending += [records[middle:], records[:middle]]
                else:
                    reason = f"{type(error).__name__}: {error}"
                    log.warning("record refused", topic=self._batch.topic, offset=records[0].offset, reason=reason)
                    await self._refuse(
                        records[0], "output-size" if isinstance(error, OutputTooLarge) else "agent", reason
                    )
        self._stuck(None)

    async def _until_done(self, records: Sequence[Record]) -> None:
        whole, attempt = self._batch, 1
        while True:
            batch = Batch(
                whole.source,
                whole.partition,
                records,
                generation=whole.generation,
                attempt=attempt,
                partitions=whole.partitions,
            )
            try:
                await self._agent(batch)
                if batch.moved:
                    await self._publish_moved(batch.moved)
                if batch.refused:
                    await self._publish(batch.refused)
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
        """Dead-letter the record that the agent named, return the others. FatalError when it named none of them."""
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
        await self._refuse(named, poison.stage, poison.reason)
        return [record for record in records if record is not named]

    async def _refuse(self, record: Record, stage: str, reason: str) -> None:
        await self._publish([DeadLetter(self._batch.topic, self._batch.partition, record, stage, reason)])

    async def _publish(self, letters: Sequence[DeadLetter]) -> None:
        """Retry until the dead letters are acknowledged, however long that takes: nothing settles before."""
        attempt = 1
        while True:
            try:
                await self._publish_dead_letters(letters)
                return
            except Exception as error:
                if isinstance(error, FatalError | Revoked):
                    raise
                await self._pause(error, attempt)
                attempt += 1
