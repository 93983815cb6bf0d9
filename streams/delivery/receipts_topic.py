"""Topics read by partition and offset, without a group: receipts at a takeover, refused records for dead letters."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError

from streams.batches import Record, TransientError
from streams.delivery.takeover import Told

# Further apart than this, seeking is cheaper than reading what lies between.
NEAR = 1_000


class PartitionReader:
    """Reads ranges of one topic. Raises TransientError while the brokers do not answer."""

    def __init__(self, config: Mapping[str, Any], topic: str, *, deadline_seconds: float = 30.0) -> None:
        self._config = {
            **config,
            "enable_auto_commit": False,
            "group_id": None,
            "auto_offset_reset": "earliest",
            "isolation_level": "read_committed",
        }
        self._topic = topic
        self._deadline_seconds = deadline_seconds
        self._asking: AIOKafkaConsumer | None = None
        self._lock = asyncio.Lock()

    async def end(self, partition: int) -> int:
        """Return the offset after the last record."""
        tp = TopicPartition(self._topic, partition)

        async def ask() -> int:
            async with self._lock:
                if self._asking is None:
                    consumer = AIOKafkaConsumer(**self._config)
                    await consumer.start()
                    self._asking = consumer
                ends: dict[TopicPartition, int] = await self._asking.end_offsets([tp])
                return ends[tp]

        end: int = await self._patiently(ask)
        return end

    async def range(self, partition: int, start: int, end: int) -> list[Any]:
        """Return the records of [start, end) that retention has left."""
        return [] if start >= end else await self._patiently(lambda: self._ranges(partition, [(start, end)]))

    async def fetch(self, partition: int, offsets: Sequence[int]) -> list[Record]:
        """Return those of these records, offsets ascending, that retention has left."""
        ranges: list[tuple[int, int]] = []
        for offset in offsets:
            if ranges and offset - ranges[-1][1] < NEAR:
                ranges[-1] = (ranges[-1][0], offset + 1)
            else:
                ranges.append((offset, offset + 1))
        wanted = frozenset(offsets)
        found = await self._patiently(lambda: self._ranges(partition, ranges)) if ranges else []
        return [record for record in found if record.offset in wanted]

    async def close(self) -> None:
        """Close the connection."""
        if self._asking is not None:
            await self._asking.stop()
            self._asking = None

    async def _ranges(self, partition: int, ranges: Sequence[tuple[int, int]]) -> list[Any]:
        tp = TopicPartition(self._topic, partition)
        found: list[Any] = []
        async with self._assigned(tp) as consumer:
            beginning = (await consumer.beginning_offsets([tp]))[tp]
            for start, end in ranges:
                if end <= beginning:
                    continue
                consumer.seek(tp, max(start, beginning))
                while await consumer.position(tp) < end:
                    for records in (await consumer.getmany(timeout_ms=500)).values():
                        found += [it for it in records if start <= it.offset < end]
        return found

    @asynccontextmanager
    async def _assigned(self, tp: TopicPartition) -> AsyncIterator[AIOKafkaConsumer]:
        consumer = AIOKafkaConsumer(**self._config)
        await consumer.start()
        try:
            consumer.assign([tp])
            yield consumer
        finally:
            await consumer.stop()

    async def _patiently(self, read: Callable[[], Awaitable[Any]]) -> Any:
        try:
            async with asyncio.timeout(self._deadline_seconds):
                return await read()
        except (KafkaError, OSError) as error:  # TimeoutError is an OSError
            raise TransientError(f"topic {self._topic} cannot be read: {error!r}") from error


class ReceiptsReader(PartitionReader):
    """Reads the receipts that came after a checkpoint."""

    async def read(self, partition: int, start: int, end: int) -> list[Told]:
        """Return the receipts of [start, end) that retention has left."""
        records = await self.range(partition, start, end)
        return [Told(it.offset, it.key or b"", it.value or b"{}", tuple(it.headers)) for it in records]
