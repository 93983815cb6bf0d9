"""Before the first batch of a partition: topics are checked, positions judged, stores opened and restored."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import structlog

from .cache import RowCache
from .errors import WrongPosition, WrongTopic
from .holding import Holding
from .metrics import Metrics
from .offsets import TopicPartition
from .positions import start_position
from .recovery import Restoring, restore
from .settings import BatchSettings
from .store import PartitionStore, remove_store
from .store_options import StoreOptions
from .table import BatchTable
from .topics import TopicFacts, admin_client, check_sources, describe, ensure_changelogs

log = structlog.get_logger(__name__)


class Begin(NamedTuple):
    """Where a source partition begins, and what the broker holds as committed."""

    offset: int
    committed: int | None


class Takeover:
    """Opens partitions and closes them again; knows nothing of lanes and batches."""

    def __init__(self, settings: BatchSettings, metrics: Metrics, sources: Collection[str]) -> None:
        """`sources` may still grow until the first check."""
        self.tables: list[BatchTable[Any]] = []
        self.facts: dict[str, TopicFacts] = {}
        self._settings = settings
        self._metrics = metrics
        self._sources = sources
        self._admin: Any = None
        self._options = StoreOptions(
            settings.block_cache_bytes, settings.write_buffer_bytes, settings.write_buffers_bytes
        )

    @property
    def admin(self) -> Any:
        """One admin client for the life of the app."""
        if self._admin is None:
            self._admin = admin_client(self._settings)
        return self._admin

    async def check_topics(self) -> None:
        """Refuse to run on topics that are not what is needed. Raises WrongTopic, TransientError."""
        await asyncio.to_thread(self._check_topics)

    def _check_topics(self) -> None:
        admin = self.admin
        sources = sorted(self._sources)
        facts = describe(admin, sources)
        check_sources(facts, sources, self._settings)
        self.facts = facts | ensure_changelogs(admin, [table.changelog for table in self.tables], self._settings)

    def whole_partitions(self, assigned: Collection[TopicPartition]) -> list[int]:
        """The partitions, each of them with all sources; WrongTopic when some went to another member."""
        partitions = sorted({tp.partition for tp in assigned})
        for partition in partitions:
            missing = [topic for topic in self._sources if TopicPartition(topic, partition) not in assigned]
            if missing:
                raise WrongTopic(
                    f"partition {partition} of {', '.join(missing)} was assigned to another member: topics of one app "
                    "need equal partition counts, and every member the same agents"
                )
        return partitions

    def begins(
        self,
        committed: Mapping[TopicPartition, tuple[int, str] | None],
        bounds: Mapping[TopicPartition, tuple[int, int]],
    ) -> dict[TopicPartition, Begin]:
        """Positions to begin at. Raises WrongPosition."""
        found = {}
        for tp, before in committed.items():
            found[tp] = Begin(self._start(tp, before, bounds[tp]), before[0] if before else None)
        return found

    def _start(self, tp: TopicPartition, committed: tuple[int, str] | None, bounds: tuple[int, int]) -> int:
        start = start_position(*tp, committed, *bounds, self.facts[tp.topic].topic_id)
        if start.lost:
            self._metrics.count("batches_lost_records_total", start.lost, topic=tp.topic, partition=tp.partition)
            message = (
                f"{tp.topic}[{tp.partition}]: retention removed {start.lost} records that were never read "
                f"(committed {start.offset - start.lost}, the topic begins at {start.offset})"
            )
            if self._settings.on_lost_records == "halt":
                raise WrongPosition(message + "; set on_lost_records to continue without them")
            log.error("records lost", reason=message, lost=start.lost)
        return start.offset

    def restore(self, partitions: Sequence[int], generation: int, stop: threading.Event) -> int:
        """Open and restore the tables of these partitions. Blocking: runs in a thread. Raises Revoked."""
        work: list[Restoring] = []
        for table in self.tables:
            for partition in partitions:
                holding = self._open(table, partition, generation)
                table.open(holding)
                work.append(Restoring(holding, table.changelog, public=table.public, indexed=table.index is not None))
        rows = restore(work, self._settings, stop=stop, progress=self._progress) if work else 0
        for each in work:
            each.holding.restored = True
        return rows

    def _progress(self, rows: int) -> None:
        self._metrics.gauge("batches_recovery_rows", rows)

    def _open(self, table: BatchTable[Any], partition: int, generation: int) -> Holding[Any]:
        path = self._settings.data_dir / self._settings.app_id / "tables" / table.name / str(partition)
        try:
            store = PartitionStore(path, self._options)
        except ValueError as error:
            log.warning("store rebuilt", path=str(path), reason=str(error))
            remove_store(path)
            store = PartitionStore(path, self._options)
        cache: RowCache[Any] = RowCache(self._settings.cache_rows, self._settings.cache_bytes)
        topic_id = self.facts[table.changelog].topic_id
        return Holding(
            partition, generation, store, topic_id, table.codec, table.index, cache, table.changelog, table.sources
        )

    def close(self, partitions: Iterable[int] | None = None) -> None:
        """Close the stores of these partitions, or of all. Blocking."""
        for table in self.tables:
            for partition in list(table.open_partitions()) if partitions is None else partitions:
                holding = table.close(partition)
                if holding is not None:
                    holding.close()
