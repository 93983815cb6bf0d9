"""The topic of receipts, as a takeover reads it: by partition and offset, without a group."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from aiokafka import AIOKafkaConsumer, TopicPartition

from streams.delivery.takeover import Told


class ReceiptsReader:
    """Reads the receipts that came after a checkpoint."""

    def __init__(self, config: Mapping[str, Any], topic: str, *, deadline_seconds: float = 30.0) -> None:
        self._config = dict(config)
        self._topic = topic
        self._deadline_seconds = deadline_seconds
        self._consumer: AIOKafkaConsumer | None = None
        self._lock = asyncio.Lock()

    async def end(self, partition: int) -> int:
        """Return the offset after the last record."""
        tp = TopicPartition(self._topic, partition)
        return await self._asked(lambda consumer: _end(consumer, tp))

    async def read(self, partition: int, start: int, end: int) -> list[Told]:
        """Return the records of [start, end) that retention has left."""
        if start >= end:
            return []
        tp = TopicPartition(self._topic, partition)
        found: list[Told] = []
        async with _consumer(self._config) as consumer:
            consumer.assign([tp])
            beginning = (await consumer.beginning_offsets([tp]))[tp]
            consumer.seek(tp, max(start, beginning))
            async with asyncio.timeout(self._deadline_seconds):
                while await consumer.position(tp) < end:
                    for records in (await consumer.getmany(timeout_ms=500)).values():
                        found += [
                            Told(it.offset, it.key or b"", it.value or b"{}", tuple(it.headers))
                            for it in records
                            if it.offset < end
                        ]
        return found

    async def close(self) -> None:
        """Close the connection."""
        if self._consumer is not None:
            await self._consumer.stop()
            self._consumer = None

    async def _asked(self, ask: Callable[[AIOKafkaConsumer], Awaitable[int]]) -> int:
        async with self._lock:
            if self._consumer is None:
                consumer = AIOKafkaConsumer(**self._config, enable_auto_commit=False, group_id=None)
                await consumer.start()
                self._consumer = consumer
            return await ask(self._consumer)


async def _end(consumer: AIOKafkaConsumer, tp: TopicPartition) -> int:
    ends: dict[TopicPartition, int] = await consumer.end_offsets([tp])
    return ends[tp]


class _consumer:  # noqa: N801 - used as a function
    def __init__(self, config: Mapping[str, Any]) -> None:
        self._consumer = AIOKafkaConsumer(
            **config,
            enable_auto_commit=False,
            group_id=None,
            auto_offset_reset="earliest",
            isolation_level="read_committed",
        )

    async def __aenter__(self) -> AIOKafkaConsumer:
        await self._consumer.start()
        return self._consumer

    async def __aexit__(self, *_error: object) -> None:
        await self._consumer.stop()
