"""Before the first batch of a partition: topics and positions are checked, stores are opened and restored."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Collection, Mapping, Sequence
from typing import Any, NamedTuple

import structlog

from schemas.dead_letter import SUFFIX
from streams.batches.consume.offsets import TopicPartition, start_position
from streams.batches.core.errors import TransientError, WrongPosition, WrongTopic
from streams.batches.core.metrics import Metrics
from streams.batches.core.settings import BatchSettings
from streams.batches.process.topics import (
    TopicFacts,
    admin_client,
    check_sources,
    describe,
    ensure_changelogs,
    ensure_dead_letters,
    refuse_changes,
)
from streams.batches.table.partition_table import PartitionTable
from streams.batches.table.recovery import Restoration, restore
from streams.batches.table.rocksdb import StoreOptions, remove_store
from streams.batches.table.row_cache import RowCache
from streams.batches.table.store import PartitionStore
from streams.batches.table.table import BatchTable

log = structlog.get_logger(__name__)

COMPARE_SECONDS = 2.0
"""Between two looks at the topics: what is folded in between is folded by the former partition count."""


class AssignedPosition(NamedTuple):
    """The offset at which a source partition begins, and the committed one."""

    offset: int
    committed: int | None


class Takeover:
    """Opens partitions and closes them again; independent of workers and batches."""

    def __init__(self, settings: BatchSettings, metrics: Metrics, sources: Collection[str]) -> None:
        """`sources` may still grow until the first check."""
        self.tables: list[BatchTable[Any]] = []
        self.facts: dict[str, TopicFacts] = {}
        self.keeps_dead_letters = True
        """Whether the app publishes refused records itself, to a topic beside each source."""
        self.stores: dict[tuple[str, int], PartitionStore] = {}
        """The open stores by table and partition."""
        self._settings = settings
        self._metrics = metrics
        self._sources = sources
        self._admin: Any = None
        self._options = StoreOptions(
            settings.block_cache_bytes, settings.write_buffer_bytes, settings.write_buffers_bytes
        )

    @property
    def admin(self) -> Any:
        """One admin client, for as long as the app runs."""
        if self._admin is None:
            self._admin = admin_client(self._settings)
        return self._admin

    async def check_topics(self) -> None:
        """Refuse to run on topics that are not what is needed. Raises WrongTopic, TransientError."""
        await asyncio.to_thread(self._check_topics)

    def _check_topics(self) -> None:
        admin = self.admin
        sources = sorted(self._sources)
        letters = [source + SUFFIX for source in sources] if self.keeps_dead_letters else []
        facts = describe(admin, [*sources, *letters])
        check_sources(facts, sources, self._settings)
        if letters:
            ensure_dead_letters(admin, facts, sources, self._settings)
        self.facts = facts | ensure_changelogs(admin, [table.changelog for table in self.tables], self._settings)

    async def follow_topics(self) -> None:
        """Compare the topics with what they were at start, until cancelled. Raises WrongTopic when one is another."""
        missing: set[str] = set()
        while True:
            await asyncio.sleep(COMPARE_SECONDS)
            known = dict(self.facts)
            try:
                now = await asyncio.to_thread(describe, self.admin, sorted(known))
            except TransientError:
                continue
            refuse_changes(known, now, missing)
            missing = known.keys() - now.keys()

    def whole_partitions(self, assigned: Collection[TopicPartition]) -> list[int]:
        """Return the partitions. WrongTopic when some of their sources were assigned to another member."""
        partitions = sorted({tp.partition for tp in assigned})
        for partition in partitions:
            missing = [topic for topic in self._sources if TopicPartition(topic, partition) not in assigned]
            if missing:
                raise WrongTopic(
                    f"partition {partition} of {', '.join(missing)} was assigned to another member: topics of one app "
                    "need equal partition counts, and every member the same agents"
                )
        return partitions

    def assigned_positions(
        self,
        committed: Mapping[TopicPartition, tuple[int, str] | None],
        bounds: Mapping[TopicPartition, tuple[int, int]],
    ) -> dict[TopicPartition, AssignedPosition]:
        """Return the positions to begin at. Raises WrongPosition."""
        found = {}
        for tp, before in committed.items():
            found[tp] = AssignedPosition(self._start(tp, before, bounds[tp]), before[0] if before else None)
        return found

    def _start(self, tp: TopicPartition, committed: tuple[int, str] | None, bounds: tuple[int, int]) -> int:
        start = start_position(*tp, committed, *bounds, self.facts[tp.topic].topic_id)
        if start.lost:
            self._metrics.count(
                "cm_streams_batches_lost_records_total", start.lost, topic=tp.topic, partition=tp.partition
            )
            message = (
                f"{tp.topic}[{tp.partition}]: retention removed {start.lost} records that were never read "
                f"(committed {start.offset - start.lost}, the topic begins at {start.offset})"
            )
            if self._settings.on_lost_records == "halt":
                raise WrongPosition(message + "; STREAMS_ON_LOST_RECORDS=continue goes on without them")
            log.error("records lost", reason=message, lost=start.lost)
        return start.offset

    def restore(self, partitions: Sequence[int], generation: int, stop: threading.Event) -> int:
        """Open and restore the tables of these partitions; return the number of records read. Blocks.

        Raises Revoked, RecoveryFailed, StoreLocked, StoreFailed.
        """
        tasks: list[Restoration] = []
        for table in self.tables:
            for partition in partitions:
                partition_table = self._open(table, partition, generation)
                table.add(partition_table)
                tasks.append(
                    Restoration(partition_table, table.changelog, public=table.public, indexed=table.index is not None)
                )
        rows = restore(tasks, self._settings, stop=stop, progress=self._progress) if tasks else 0
        for task in tasks:
            task.table.restored = True
        return rows

    def _progress(self, rows: int, share: float) -> None:
        self._metrics.gauge("cm_streams_batches_restored_rows", rows)
        self._metrics.gauge("cm_streams_batches_restored_ratio", share)

    def _open(self, table: BatchTable[Any], partition: int, generation: int) -> PartitionTable[Any]:
        path = self._settings.data_dir / self._settings.app_id / "tables" / table.name / str(partition)
        try:
            store = PartitionStore(path, self._options)
        except ValueError as error:
            log.warning("store rebuilt", path=str(path), reason=str(error))
            remove_store(path)
            store = PartitionStore(path, self._options)
        self.stores[table.name, partition] = store
        cache: RowCache[Any] = RowCache(self._settings.cache_rows, self._settings.cache_bytes)
        topic_id = self.facts[table.changelog].topic_id
        return PartitionTable(
            partition, generation, store, topic_id, table.codec, table.index, cache, table.changelog, table.sources
        )

    def close(self, partitions: Collection[int] | None = None) -> None:
        """Close the stores of these partitions, or of all. Blocking."""
        for table in self.tables:
            for partition_table in table.remove(partitions):
                partition_table.close()
                self.stores.pop((table.name, partition_table.partition), None)
