"""Refused records are published to the dead-letter topic of their input, in a form that its producer and broker accept.

Awaited before the batch settles, so that a record is done with only when it is either used or kept. A dead letter that
is not accepted would stop its partition for ever: a worker that ends on it reads it again. So each is bounded in bytes
(see `schemas.dead_letter.letter`), and they are published a few at a time.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime
from typing import Any

import structlog
from confluent_kafka import KafkaException
from confluent_kafka.admin import ConfigResource, ResourceType

from schemas.dead_letter import MIN_BYTES, SUFFIX, Origin, stage_of, wire_bytes
from schemas.dead_letter import letter as bounded_letter
from streams.batches.core.batch import DeadLetter, Output
from streams.batches.core.errors import NotDelivered

log = structlog.get_logger(__name__)

DEFAULT_TOPIC_BYTES = 1_048_588
"""Kafka's default of `max.message.bytes`: while a topic does not exist, or its settings may not be read."""
REQUEST_SECONDS = 15.0


class DeadLetterTopics:
    """Publishes refused records to `<input>.dlq`."""

    def __init__(
        self,
        publish_all: Callable[[Sequence[Output]], Awaitable[Any]],
        admin: Callable[[], Any],
        producer_bytes: int,
        *,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        """`publish_all` returns when the broker has all of its outputs; `producer_bytes` is the largest record that it
        takes. `admin` returns an admin client."""
        self._publish_all = publish_all
        self._admin = admin
        self._producer_bytes = producer_bytes
        self._clock = clock
        self._limits: dict[str, int] = {}

    async def publish(self, letters: Sequence[DeadLetter]) -> None:
        """Return when all are acknowledged. Raises what `publish_all` raises: then nothing of the batch may settle."""
        if not letters:
            return
        at = self._clock().isoformat(timespec="milliseconds").replace("+00:00", "Z")
        limits = {topic: await self._limit_of(topic) for topic in {letter.topic + SUFFIX for letter in letters}}
        run: list[Output] = []
        run_bytes = 0
        for letter in letters:
            topic = letter.topic + SUFFIX
            limit = limits[topic]
            output = output_of(letter, topic, at, limit)
            size = wire_bytes(output.key, output.value, output.headers)
            if run and (run[0].topic != topic or run_bytes + size > limit):
                await self._publish_run(run)
                run, run_bytes = [], 0
            run.append(output)
            run_bytes += size
        await self._publish_run(run)
        first = letters[0]
        # One line a batch, without the reason: it may quote a person's data.
        log.warning(
            "dead letters", topic=first.topic, partition=first.partition, offset=first.record.offset, count=len(letters)
        )

    async def _publish_run(self, run: Sequence[Output]) -> None:
        """Publish letters that fit into one request together: the client sends what it has as one, and the broker
        refuses a request that is larger than the topic takes as it does a record."""
        try:
            await self._publish_all(run)
        except NotDelivered:
            self._limits.pop(run[0].topic, None)  # it may have been lowered; read it again at the next attempt
            raise

    async def _limit_of(self, topic: str) -> int:
        limit = self._limits.get(topic)
        if limit is None:
            found = await asyncio.to_thread(self._topic_bytes, topic)
            limit = max(MIN_BYTES, min(self._producer_bytes, found or DEFAULT_TOPIC_BYTES))
            if found is not None:
                self._limits[topic] = limit
        return limit

    def _topic_bytes(self, topic: str) -> int | None:
        """Return what the topic takes as one batch of records; None when the broker does not answer that."""
        resource = ConfigResource(ResourceType.TOPIC, topic)
        try:
            (future,) = self._admin().describe_configs([resource], request_timeout=REQUEST_SECONDS).values()
            return int(future.result()["max.message.bytes"].value)
        except (KafkaException, KeyError, ValueError):
            return None


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
