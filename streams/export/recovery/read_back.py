"""Topics read by partition and offset, without a group: receipts at a takeover, refused records for dead letters."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any, Protocol

import structlog
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError

from schemas.dead_letter import Stage
from streams.batches import DeadLetter, Record, TransientError
from streams.export.sending.plan import FinalOutcome
from streams.export.table import StoredReceipt

log = structlog.get_logger(__name__)

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
        self._consumer: AIOKafkaConsumer | None = None
        self._lock = asyncio.Lock()

    async def end(self, partition: int) -> int:
        """Return the offset after the last record."""
        tp = TopicPartition(self._topic, partition)

        async def ask() -> int:
            async with self._lock:
                if self._consumer is None:
                    consumer = AIOKafkaConsumer(**self._config)
                    await consumer.start()
                    self._consumer = consumer
                ends: dict[TopicPartition, int] = await self._consumer.end_offsets([tp])
                return ends[tp]

        end: int = await self._within_deadline(ask)
        return end

    async def range(self, partition: int, start: int, end: int) -> list[Any]:
        """Return the records of [start, end) that retention has left."""
        return [] if start >= end else await self._within_deadline(lambda: self._ranges(partition, [(start, end)]))

    async def fetch(self, partition: int, offsets: Sequence[int]) -> list[Record]:
        """Return those of these records, offsets ascending, that retention has left."""
        ranges: list[tuple[int, int]] = []
        for offset in offsets:
            if ranges and offset - ranges[-1][1] < NEAR:
                ranges[-1] = (ranges[-1][0], offset + 1)
            else:
                ranges.append((offset, offset + 1))
        requested = frozenset(offsets)
        found = await self._within_deadline(lambda: self._ranges(partition, ranges)) if ranges else []
        return [record for record in found if record.offset in requested]

    async def close(self) -> None:
        """Close the connection."""
        if self._consumer is not None:
            await self._consumer.stop()
            self._consumer = None

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
                        found += [record for record in records if start <= record.offset < end]
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

    async def _within_deadline(self, read: Callable[[], Awaitable[Any]]) -> Any:
        try:
            async with asyncio.timeout(self._deadline_seconds):
                return await read()
        except (KafkaError, OSError) as error:  # TimeoutError is an OSError
            raise TransientError(f"topic {self._topic} cannot be read: {error!r}") from error


class ReceiptsReader(PartitionReader):
    """Reads the receipts that came after a checkpoint."""

    async def read(self, partition: int, start: int, end: int) -> list[StoredReceipt]:
        """Return the receipts of [start, end) that retention has left."""
        records = await self.range(partition, start, end)
        return [
            StoredReceipt(record.offset, record.key or b"", record.value or b"{}", tuple(record.headers))
            for record in records
        ]


class SourceTopic(Protocol):
    """Reads single records of `audience-membership`."""

    async def fetch(self, partition: int, offsets: Sequence[int]) -> Sequence[Record]:
        """Return those of the records that retention has left."""
        ...


class RefusedRecords:
    """Keeps, as dead letters, the records whose content Campaign Monitor can never accept; bytes untouched.

    Only what is invalid gets here. That somebody unsubscribed, bounced or is suppressed is no fault of a record: for
    them the receipt is the whole answer. The record is read back from its topic by the position in the receipt; one
    that retention has removed meanwhile is logged.
    """

    def __init__(
        self, topic: str, source: SourceTopic, keep: Callable[[Sequence[DeadLetter]], Awaitable[None]]
    ) -> None:
        """`keep` returns when the letters are acknowledged."""
        self._topic = topic
        self._source = source
        self._keep = keep

    async def keep(self, partition: int, refused: Sequence[FinalOutcome]) -> None:
        """Keep the records that led to these refusals. Raises what `keep` and reading raise (`BatchError`)."""
        reasons = {
            answer.position: f"Campaign Monitor refused it: code {outcome.code}"
            + (f", {outcome.message}" if outcome.message else "")
            for outcome in refused
            for answer in outcome.state.answers
            if not answer.superseded and answer.position >= 0
        }
        found = await self._source.fetch(partition, sorted(reasons))
        if len(found) < len(reasons):
            log.warning("refused records are not retained", partition=partition, records=len(reasons) - len(found))
        if found:
            await self._keep(
                [DeadLetter(self._topic, partition, record, Stage.DELIVERY, reasons[record.offset]) for record in found]
            )
