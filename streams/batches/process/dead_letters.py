"""Refused records are published to the dead-letter topic of their input, in a form that its producer and broker accept.

Awaited before the batch settles, so that a record is done with only when it is either used or kept. A dead letter that
is not accepted would stop its partition for ever: a worker that ends on it reads it again. So each is bounded in bytes
(see `schemas.dead_letter.letter`), and they are published a few at a time.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime

import structlog

from schemas.dead_letter import SUFFIX, Origin, stage_of
from schemas.dead_letter import letter as bounded_letter
from streams.batches.core.batch import DeadLetter, Output
from streams.batches.process.topic_limits import TopicLimits

log = structlog.get_logger(__name__)


class DeadLetterTopics:
    """Publishes refused records to `<input>.dlq`."""

    def __init__(
        self,
        limits: TopicLimits,
        *,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._limits = limits
        self._clock = clock

    async def publish(self, letters: Sequence[DeadLetter]) -> None:
        """Return when all are acknowledged. Raises what publishing raises: then nothing of the batch may settle."""
        if not letters:
            return
        at = self._clock().isoformat(timespec="milliseconds").replace("+00:00", "Z")
        limits = {topic: await self._limits.of(topic) for topic in {letter.topic + SUFFIX for letter in letters}}
        topics = [letter.topic + SUFFIX for letter in letters]
        await self._limits.publish_within(
            limits, [output_of(letter, topic, at, limits[topic]) for letter, topic in zip(letters, topics, strict=True)]
        )
        first = letters[0]
        # One line a batch, without the reason: it may quote a person's data.
        log.warning(
            "dead letters", topic=first.topic, partition=first.partition, offset=first.record.offset, count=len(letters)
        )


def output_of(letter: DeadLetter, topic: str, at: str, max_bytes: int) -> Output:
    """Return the record that keeps a refused one, in at most `max_bytes` (pure)."""
    record = letter.record
    origin = Origin(letter.topic, letter.partition, record.offset)
    key, value, headers = bounded_letter(
        record.key,
        record.value,
        record.headers or (),
        reason=letter.reason,
        stage=stage_of(letter.stage),
        origin=origin,
        at=at,
        max_bytes=max_bytes,
    )
    return Output(topic, key, value, headers)
