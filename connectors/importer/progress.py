"""The progress topic, followed: a table that every connector process has as a whole."""

import asyncio
from collections.abc import Callable
from types import TracebackType
from typing import Self

import structlog

from connectors.importer.outcome import Progress
from connectors.importer.table import ProgressTable
from connectors.kafka.compacted import CompactedTopic
from connectors.kafka.records import ConsumedRecord
from connectors.kafka.settings import KafkaSettings

log = structlog.get_logger(__name__)


class ProgressView:
    """Follows `cm_import_progress`. `on_change` is told of every record that was taken; None for a tombstone."""

    def __init__(self, settings: KafkaSettings, on_change: Callable[[Progress | None], None] | None = None) -> None:
        self.table = ProgressTable()
        self._on_change = on_change
        self._waiters: set[asyncio.Future[None]] = set()
        self._topic = CompactedTopic(settings, settings.names()["cm_import_progress"], on_change=self._take)

    async def until(self, holds: Callable[[ProgressTable], bool], seconds: float = 60.0) -> None:
        """Return when the table is as asked. Raises TimeoutError."""
        async with asyncio.timeout(seconds):
            while not holds(self.table):
                waiter = asyncio.get_running_loop().create_future()
                self._waiters.add(waiter)
                try:
                    await waiter
                finally:
                    self._waiters.discard(waiter)

    async def __aenter__(self) -> Self:
        await self._topic.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._topic.close()

    def _take(self, record: ConsumedRecord) -> None:
        try:
            progress = self.table.apply(record.key or b"", record.value)
        except ValueError as reason:
            log.warning("progress record not understood", offset=record.offset, reason=str(reason)[:200])
            return
        for waiter in self._waiters:
            if not waiter.done():
                waiter.set_result(None)
        if self._on_change is not None:
            self._on_change(progress)
