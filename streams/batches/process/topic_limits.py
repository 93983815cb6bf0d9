"""What a topic takes as one batch of records, read from the broker, and publishing within it.

The client sends what it has for a partition as one batch, and the broker refuses a batch that is larger than its topic
takes as it does a record: sent again, it is refused again, for ever.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

from confluent_kafka import KafkaException
from confluent_kafka.admin import ConfigResource, ResourceType

from schemas.dead_letter import MIN_BYTES, wire_bytes
from streams.batches.core.batch import Output
from streams.batches.core.errors import NotDelivered, OutputTooLarge

DEFAULT_TOPIC_BYTES = 1_048_588
"""Kafka's default of `max.message.bytes`: while a topic does not exist, or its settings may not be read."""
REQUEST_SECONDS = 15.0


class TopicLimits:
    """Publishes records that are as large as what came in, a few at a time."""

    def __init__(
        self, publish_all: Callable[[Sequence[Output]], Awaitable[Any]], admin: Callable[[], Any], producer_bytes: int
    ) -> None:
        """`publish_all` returns when the broker has all of its outputs; `producer_bytes` is the largest record that it
        takes. `admin` returns an admin client."""
        self._publish_all = publish_all
        self._admin = admin
        self._producer_bytes = producer_bytes
        self._limits: dict[str, int] = {}

    async def of(self, topic: str) -> int:
        """Return the largest record, as `wire_bytes` counts it, that producer and topic take."""
        limit = self._limits.get(topic)
        if limit is None:
            found = await asyncio.to_thread(self._topic_bytes, topic)
            limit = max(MIN_BYTES, min(self._producer_bytes, found or DEFAULT_TOPIC_BYTES))
            if found is not None:
                self._limits[topic] = limit
        return limit

    async def publish(self, outputs: Sequence[Output]) -> None:
        """Publish records; return when all are acknowledged.

        Raises OutputTooLarge before anything is sent, and what `publish_all` raises.
        """
        limits = {topic: await self.of(topic) for topic in {output.topic for output in outputs}}
        for output in outputs:
            if (size := _size_of(output)) > limits[output.topic]:
                raise OutputTooLarge(output.topic, size, limits[output.topic])
        await self.publish_within(limits, outputs)

    async def publish_within(self, limits: Mapping[str, int], outputs: Sequence[Output]) -> None:
        """Publish records that fit, those of one topic that fit into a batch together. Raises what `publish_all` does.

        `limits`: what `of` returned, by topic."""
        run: list[Output] = []
        run_bytes = 0
        for output in outputs:
            size = _size_of(output)
            if run and (run[0].topic != output.topic or run_bytes + size > limits[output.topic]):
                await self._publish_run(run)
                run, run_bytes = [], 0
            run.append(output)
            run_bytes += size
        if run:
            await self._publish_run(run)

    async def _publish_run(self, run: Sequence[Output]) -> None:
        try:
            await self._publish_all(run)
        except NotDelivered:
            self._limits.pop(run[0].topic, None)  # it may have been lowered; read it again at the next attempt
            raise

    def _topic_bytes(self, topic: str) -> int | None:
        """Return what the topic takes; None when the broker does not answer that."""
        resource = ConfigResource(ResourceType.TOPIC, topic)
        try:
            (future,) = self._admin().describe_configs([resource], request_timeout=REQUEST_SECONDS).values()
            return int(future.result()["max.message.bytes"].value)
        except (KafkaException, KeyError, ValueError):
            return None


def _size_of(output: Output) -> int:
    return wire_bytes(output.key, output.value, output.headers)
