"""A table that is read, folded and written a batch at a time, only by the owner of the partition."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from itertools import islice
from typing import Generic, TypeVar

from streams.batches.core import killpoints
from streams.batches.core.batch import Batch, Output, Record, partition_of
from streams.batches.core.errors import Revoked
from streams.batches.table.changelog import MAX_ROWS_IN_FLIGHT, RowWriter, even_piece
from streams.batches.table.folding import (
    EncodedRow,
    Fold,
    FoldedBatch,
    SizeLimits,
    check_outputs,
    encode_row,
    fold_keys,
    group_by_key,
    is_in_place,
)
from streams.batches.table.partition_table import PartitionTable, TableHost
from streams.batches.table.rows import Codec, Row, topic_hash
from streams.batches.table.store import StoredBlob

T = TypeVar("T")

Index = Callable[[Row[T]], Iterable[bytes]]
"""Returns the keys under which `due` finds the row. Pure, at most 65,535 bytes each."""


KEYS_PER_TURN = 1000
"""Keys between two turns of the event loop, so that heartbeats, timers and other partitions' acknowledgements run."""


class BatchTable(Generic[T]):
    """Rows by key, kept in a local store and in a compacted changelog topic; made by `BatchApp.table`."""

    def __init__(
        self,
        host: TableHost,
        name: str,
        *,
        codec: Codec[T],
        sources: Sequence[str],
        changelog: str,
        public: bool,
        index: Index[T] | None,
        headers: Sequence[tuple[str, bytes]] = (),
    ) -> None:
        if len({topic_hash(topic) for topic in sources}) < len(set(sources)):
            raise ValueError(f"two sources of table {name} have equal 32-bit hashes; rename one of {sources}")
        self.name = name
        self.codec = codec
        self.sources = tuple(sources)
        self.changelog = changelog
        self.public = public
        self.index = index
        self.writer: RowWriter[T] = RowWriter(
            host.producer, host.metrics, name, changelog, public=public, headers=tuple(headers)
        )
        self._host = host
        self._partitions: dict[int, PartitionTable[T]] = {}

    async def fold(self, batch: Batch, fold: Fold[T]) -> None:
        """Group the batch by key, fold each key's new records into its row, and write all of it.

        Records at or below the row's position are skipped (counted as already folded), keys that belong to another
        partition are published again there, records without a key are dead-lettered. A fold that raises runs again
        record by record on a fresh copy of the row, so that only the records that raise are dead-lettered; so are those
        whose row or output is too large. Then everything is written as `write` does, a few thousand keys at a time:
        rows that were written before an error make their records' replay harmless.
        """
        self._host.assert_owner(batch.partition)
        owned = self._table_of(batch.partition, batch.generation)
        groups, keyless = group_by_key(batch)
        batch.refused += keyless
        unfolded = iter(groups.items())
        left = len(groups)
        while left > 0 or batch.refused:
            left -= await self._fold_some(batch, owned, islice(unfolded, even_piece(left, MAX_ROWS_IN_FLIGHT)), fold)

    async def _fold_some(
        self, batch: Batch, owned: PartitionTable[T], groups: Iterable[tuple[bytes, list[Record]]], fold: Fold[T]
    ) -> int:
        host = self._host
        limits = SizeLimits(host.settings.max_record_bytes, host.settings.max_output_bytes)
        folded: FoldedBatch[T] = FoldedBatch()
        keys = 0
        while part := list(islice(groups, KEYS_PER_TURN)):
            taken = len(part)
            keys += taken
            rows = owned.take([key for key, _ in part])
            part = [pair for pair in part if is_in_place(batch, rows[pair[0]], pair[1])]
            fold_keys(batch, part, rows, fold, self.codec, limits, owned.stored, folded)
            if taken == KEYS_PER_TURN:
                await asyncio.sleep(0)
        killpoints.reached("after-read")
        batch.refused += folded.refused
        if folded.already_folded:
            host.metrics.count("cm_streams_batches_already_folded_total", folded.already_folded, table=self.name)
        await self._write(owned, folded.encoded, folded.outputs, batch)
        owned.keep(folded.unchanged)
        return keys

    async def read(self, partition: int, keys: Iterable[bytes]) -> dict[bytes, Row[T]]:
        """Return rows by key, from the cache or the store, in one read. Absent ones have `exists` False.

        Only inside of the partition's owner task (an agent, or a job of `BatchApp.run_as_owner`). Raises Revoked.
        """
        self._host.assert_owner(partition)
        owned = self._table_of(partition, None)
        wanted, rows = iter(dict.fromkeys(keys)), dict[bytes, Row[T]]()
        while part := list(islice(wanted, KEYS_PER_TURN)):
            rows |= owned.take(part)
            if len(part) == KEYS_PER_TURN:
                await asyncio.sleep(0)
        killpoints.reached("after-read")
        return rows

    def read_blobs(self, partition: int, keys: Sequence[bytes]) -> list[bytes | None]:
        """Return rows as the store keeps them (`encode_blob`), in the order of the keys; None for absent ones.

        As the owner. Raises Revoked.
        """
        self._host.assert_owner(partition)
        return self._table_of(partition, None).take_blobs(keys)

    def decoded(self, partition: int, key: bytes, blob: bytes | None) -> Row[T]:
        """Return the row of such a blob. Raises DamagedRow."""
        return self._table_of(partition, None).decode(key, blob)

    def will_cache(self, partition: int) -> Callable[[bytes], bool]:
        """Return a predicate: will the cache keep this key's row after the write? If not, see `Row.drop_data`."""
        return self._table_of(partition, None).will_cache

    def give_back(self, partition: int, rows: Iterable[Row[T]]) -> None:
        """Cache rows that were read and not changed; by the partition's owner. Raises Revoked."""
        self._host.assert_owner(partition)
        self._table_of(partition, None).keep(row for row in rows if row.exists)

    async def write(self, batch: Batch, rows: Iterable[Row[T]], outputs: Sequence[Output] = ()) -> None:
        """Make rows durable, in the order in which a crash at any point is harmless:

        1. the batch's refused and moved records and the outputs, acknowledged;
        2. one changelog record for each row, acknowledged;
        3. the local store, in one write;
        and 4., when the agent returns, the range settles.

        Positions advance to `batch.last`. Raises RowTooLarge and OutputTooLarge before anything is sent, NotDelivered,
        Revoked.
        """
        await self.write_encoded(batch, [self.encode(batch, row) for row in rows], outputs)

    def encode(self, batch: Batch, row: Row[T]) -> EncodedRow[T]:
        """Encode a row as it is to be written at the end of the batch, for `write_encoded`. Raises RowTooLarge.

        Right after folding, its many small objects are still in the processor's cache.
        """
        row.advance(batch.source, batch.last)
        return encode_row(row, self.codec, self._host.settings.max_record_bytes)

    async def write_encoded(
        self, batch: Batch, encoded: Sequence[EncodedRow[T]], outputs: Sequence[Output] = ()
    ) -> None:
        """As `write`, rows that are encoded already."""
        self._host.assert_owner(batch.partition)
        check_outputs(outputs, self._host.settings.max_output_bytes)
        await self._write(self._table_of(batch.partition, batch.generation), encoded, outputs, batch)

    async def write_blobs(
        self, partition: int, generation: int, blobs: Sequence[StoredBlob], batch: Batch | None = None
    ) -> None:
        """As `write`, rows as the store keeps them, positions included, that have no index entries before and after.

        Of a private changelog. They are not cached.
        """
        self._host.assert_owner(partition)
        owned = self._table_of(partition, generation)
        await self._write(owned, (), (), batch)
        await self.writer.write_blobs(owned, blobs)

    async def write_rows(
        self, partition: int, generation: int, rows: Iterable[Row[T]], outputs: Sequence[Output] = ()
    ) -> None:
        """As `write`, without a batch: for jobs of the owner. Positions stay as they are."""
        self._host.assert_owner(partition)
        limit = self._host.settings.max_record_bytes
        encoded = [encode_row(row, self.codec, limit) for row in rows]
        await self._write(self._table_of(partition, generation), encoded, outputs, None)

    def owned(self) -> Mapping[int, int]:
        """Return the partitions that are open here and restored, with their assignment generation."""
        return {p: h.generation for p, h in self._partitions.items() if h.restored and not h.closed}

    async def scan(
        self, partition: int, *, after: bytes | None = None, step: int = 1000
    ) -> AsyncIterator[list[Row[T]]]:
        """Yield all rows of a partition in key order, `step` at a time, read in a thread. Copies: never write them.

        Not a snapshot: rows written meanwhile may appear in either form. From anywhere. Raises Revoked.
        """
        owned = self._table_of(partition, None)
        while found := await asyncio.to_thread(owned.store.scan, after, step):
            yield [owned.decode(key, blob) for key, blob in found]
            after = found[-1][0]
            owned.check()

    async def keys(self, partition: int, *, after: bytes | None = None, step: int = 1000) -> AsyncIterator[list[bytes]]:
        """Yield the keys of all rows of a partition in order, as `scan` yields the rows."""
        owned = self._table_of(partition, None)
        while found := await asyncio.to_thread(owned.store.scan, after, step):
            yield [key for key, _ in found]
            after = found[-1][0]
            owned.check()

    async def due(
        self,
        partition: int,
        prefix: bytes = b"",
        *,
        after: tuple[bytes, bytes] | None = None,
        upto: bytes | None = None,
        step: int = 1000,
    ) -> AsyncIterator[list[tuple[bytes, bytes]]]:
        """Yield (index key, row key) pairs in order, `step` at a time: those that start with `prefix`, come after the
        pair `after` and are less than `upto`. From anywhere. Raises Revoked.
        """
        owned = self._table_of(partition, None)
        while found := await asyncio.to_thread(owned.store.scan_index, prefix, after, upto, step):
            yield found
            after = found[-1]
            owned.check()

    async def get(self, key: bytes) -> Row[T] | None:
        """Return a copy of a row as it is in the local store; None when absent or not owned here."""
        owned = self._partitions.get(partition_of(key, self._host.settings.partitions))
        if owned is None or owned.closed or not owned.restored:
            return None
        row = await asyncio.to_thread(owned.stored, key)
        return row if row.exists else None

    def add(self, owned: PartitionTable[T]) -> None:
        """Add a partition that was assigned; it is used once it is restored."""
        self._partitions[owned.partition] = owned
        share = max(1, len(self._partitions))
        for held in self._partitions.values():
            held.resize_cache(self._host.settings.cache_rows // share, self._host.settings.cache_bytes // share)

    def remove(self, partitions: Iterable[int] | None = None) -> list[PartitionTable[T]]:
        """Remove revoked partitions, or all: writes are refused from now on; the caller closes what is returned."""
        wanted = list(self._partitions) if partitions is None else partitions
        removed = [self._partitions.pop(partition) for partition in wanted if partition in self._partitions]
        for owned in removed:
            owned.closed = True
        return removed

    def _table_of(self, partition: int, generation: int | None) -> PartitionTable[T]:
        owned = self._partitions.get(partition)
        if owned is None:
            raise Revoked(f"partition {partition} of table {self.name} is not owned")
        owned.check(generation)
        return owned

    async def _write(
        self, owned: PartitionTable[T], encoded: Sequence[EncodedRow[T]], outputs: Sequence[Output], batch: Batch | None
    ) -> None:
        host = self._host
        if batch is not None and batch.refused:  # 1 what cannot be used is kept
            letters, batch.refused = batch.refused, []
            try:
                await host.publish_dead_letters(letters)
            except BaseException:
                batch.refused = letters
                raise
            killpoints.reached("after-dead-letters")
        if batch is not None and batch.moved:
            await host.publish_moved(batch.moved)
            batch.moved.clear()
        if outputs:
            await host.producer.publish_all(outputs)
            killpoints.reached("after-outputs")
        await self.writer.write(owned, encoded)  # 2 the rows are in the changelog, 3 then in the store
