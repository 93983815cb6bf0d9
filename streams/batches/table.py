"""A table that is read, folded and written a batch at a time, by the owner of the partition only."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
from itertools import islice
from typing import Any, Generic, Protocol, TypeVar

from . import killpoints
from .batch import Batch, DeadLetter, Output, Record
from .errors import Revoked
from .folding import Fold, Folded, ReadyRow, fold_keys, group_by_key, seal
from .holding import Holding
from .metrics import Metrics
from .partitioning import partition_of
from .producer import Producer
from .rows import Codec, Row, topic_hash
from .settings import BatchSettings
from .writing import PIECE, RowWriter, even_piece

T = TypeVar("T")

Change = Callable[[Row[T]], Iterable[Output] | bool | None]
"""Change a row outside of an event; False leaves it unwritten."""
Index = Callable[[Row[T]], Iterable[bytes]]
"""Keys under which `due` finds the row. Pure, at most 65,535 bytes each."""


SLICE = 1000
"""Keys between two turns of the event loop: heartbeats, timers and other partitions' acknowledgements get theirs."""


class TableHost(Protocol):
    """What a table asks of the application."""

    settings: BatchSettings
    producer: Producer
    metrics: Metrics

    async def keep_dead_letters(self, letters: Sequence[DeadLetter]) -> None: ...
    async def keep_misplaced(self, letters: Sequence[DeadLetter]) -> None: ...
    async def run_as_owner(self, partition: int, generation: int, job: Callable[[], Awaitable[Any]]) -> Any: ...
    def assert_owner(self, partition: int) -> None: ...


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
        self._writer: RowWriter[T] = RowWriter(
            host.producer, host.metrics, name, changelog, public=public, headers=tuple(headers)
        )
        self._host = host
        self._holdings: dict[int, Holding[T]] = {}

    async def fold(self, batch: Batch, fold: Fold[T]) -> None:
        """Group the batch by key, fold each key's new records into its row, and write all of it.

        What most agents want. Records at or below the row's position are skipped (counted as already folded), keys
        that belong to another partition are handed to `misplaced`, records without a key are dead-lettered. A fold
        that raises is run again record by record on a fresh copy of the row, so that only the records that raise are
        dead-lettered; a row that grows too large counts as raising. Then everything is written as `write` does, a few
        thousand keys at a time: rows that were written before an error make their records' replay harmless.
        """
        self._host.assert_owner(batch.partition)
        holding = self._holding(batch.partition, batch.generation)
        groups, keyless = group_by_key(batch)
        batch.refused += keyless
        todo = iter(groups.items())
        left = len(groups)
        while left > 0 or batch.refused:
            left -= await self._fold_some(batch, holding, islice(todo, even_piece(left, PIECE)), fold)

    async def _fold_some(
        self, batch: Batch, holding: Holding[T], groups: Iterable[tuple[bytes, list[Record]]], fold: Fold[T]
    ) -> int:
        host, settings = self._host, self._host.settings
        folded: Folded[T] = Folded()
        misplaced: list[DeadLetter] = []
        keys = 0
        while part := list(islice(groups, SLICE)):
            taken = len(part)
            keys += taken
            rows = holding.take([key for key, _ in part])
            part = [pair for pair in part if self._in_place(batch, rows[pair[0]], pair[1], misplaced)]
            fold_keys(batch, part, rows, fold, self.codec, settings.max_record_bytes, holding.stored, folded)
            if taken == SLICE:
                await asyncio.sleep(0)
        killpoints.reached("after-read")
        batch.refused += folded.refused
        if misplaced:
            await host.keep_misplaced(misplaced)
        if folded.already_folded:
            host.metrics.count("batches_already_folded_total", folded.already_folded, table=self.name)
        await self._write(holding, folded.ready, folded.outputs, batch)
        holding.keep(folded.unchanged)
        return keys

    async def read(self, partition: int, keys: Iterable[bytes]) -> dict[bytes, Row[T]]:
        """Rows by key, from the cache or the store, in one go. Absent ones come with `exists` False.

        Only inside of the partition's owner task (an agent, or a job of `BatchApp.run_as_owner`). Raises Revoked.
        """
        self._host.assert_owner(partition)
        holding = self._holding(partition, None)
        wanted = iter(dict.fromkeys(keys))
        rows: dict[bytes, Row[T]] = {}
        while part := list(islice(wanted, SLICE)):
            rows |= holding.take(part)
            if len(part) == SLICE:
                await asyncio.sleep(0)
        killpoints.reached("after-read")
        return rows

    def wants(self, partition: int) -> Callable[[bytes], bool]:
        """Tells of a key whether its row will be kept once it is written; if not, see `Row.spend`."""
        return self._holding(partition, None).wants

    def give_back(self, partition: int, rows: Iterable[Row[T]]) -> None:
        """Rows that are as they were read, for the next one who asks; by the partition's owner. Raises Revoked."""
        self._host.assert_owner(partition)
        self._holding(partition, None).keep(row for row in rows if row.exists)

    async def write(self, batch: Batch, rows: Iterable[Row[T]], outputs: Sequence[Output] = ()) -> None:
        """Make rows durable, in the order in which a crash at any point is harmless:

        1. the batch's refused records and the outputs, acknowledged;
        2. one changelog record for each row, acknowledged;
        3. the local store, in one write;
        and 4., when the agent returns, the range settles.

        Positions advance to `batch.last`. Raises RowTooLarge before anything is sent, NotDelivered, Revoked.
        """
        await self.write_sealed(batch, [self.seal(batch, row) for row in rows], outputs)

    def seal(self, batch: Batch, row: Row[T]) -> ReadyRow[T]:
        """Encode a row as it is to be written at the end of the batch, for `write_sealed`. Raises RowTooLarge.

        Right after folding, its many small objects are still in the processor's cache.
        """
        row.advance(batch.source, batch.last)
        return seal(row, self.codec, self._host.settings.max_record_bytes)

    async def write_sealed(self, batch: Batch, ready: Sequence[ReadyRow[T]], outputs: Sequence[Output] = ()) -> None:
        """As `write`, rows that are encoded already."""
        self._host.assert_owner(batch.partition)
        await self._write(self._holding(batch.partition, batch.generation), ready, outputs, batch)

    async def update(self, partition: int, generation: int, keys: Iterable[bytes], change: Change[T]) -> int:
        """Change rows outside of an event (the outcome of a delivery), as the owner, on the newest rows.

        Waits for its turn behind the batch in work; same order and checks as `write`. Returns the number of rows
        written. Raises Revoked when the partition is not ours under this generation: nothing was written.
        Raises NotDelivered when the broker did not acknowledge: the rows may reach the changelog, the store is as
        before, try again. Must not be called from inside the owner's task; there use `read` and `write_rows`.
        """
        wanted = list(keys)

        async def job() -> int:
            rows = await self.read(partition, wanted)
            outputs: list[Output] = []
            changed: list[Row[T]] = []
            for row in rows.values():
                verdict = change(row)
                if verdict is False:
                    continue
                changed.append(row)
                if verdict is not None and verdict is not True:
                    outputs += verdict
            await self.write_rows(partition, generation, changed, outputs)
            return len(changed)

        written: int = await self._host.run_as_owner(partition, generation, job)
        return written

    async def write_rows(
        self, partition: int, generation: int, rows: Iterable[Row[T]], outputs: Sequence[Output] = ()
    ) -> None:
        """As `write`, without a batch: for jobs that run as the owner. Positions stay as they are."""
        self._host.assert_owner(partition)
        limit = self._host.settings.max_record_bytes
        ready = [seal(row, self.codec, limit) for row in rows]
        await self._write(self._holding(partition, generation), ready, outputs, None)

    def owned(self) -> Mapping[int, int]:
        """Partitions that are open here and restored -> their assignment generation."""
        return {p: h.generation for p, h in self._holdings.items() if h.restored and not h.closed}

    async def scan(
        self, partition: int, *, after: bytes | None = None, step: int = 1000
    ) -> AsyncIterator[list[Row[T]]]:
        """All rows of a partition in key order, `step` at a time, read beside the event loop. Copies: never write them.

        Not a snapshot: rows written meanwhile may appear in either form. From anywhere. Raises Revoked.
        """
        holding = self._holding(partition, None)
        while found := await asyncio.to_thread(holding.store.scan, after, step):
            yield [holding.decode(key, blob) for key, blob in found]
            after = found[-1][0]
            holding.check()

    async def due(
        self,
        partition: int,
        prefix: bytes = b"",
        *,
        after: tuple[bytes, bytes] | None = None,
        upto: bytes | None = None,
        step: int = 1000,
    ) -> AsyncIterator[list[tuple[bytes, bytes]]]:
        """(index key, row key) pairs in the order of index keys, `step` at a time: those that start with `prefix`, come
        after the pair `after` and are less than `upto`. Written with the row, in one write. From anywhere.
        """
        holding = self._holding(partition, None)
        while found := await asyncio.to_thread(holding.store.scan_index, prefix, after, upto, step):
            yield found
            after = found[-1]
            holding.check()

    async def get(self, key: bytes) -> Row[T] | None:
        """One row as it is in the local store, for pages and checks; None when absent or not owned here. A copy."""
        holding = self._holdings.get(partition_of(key, self._host.settings.partitions))
        if holding is None or holding.closed or not holding.restored:
            return None
        row = await asyncio.to_thread(holding.stored, key)
        return row if row.exists else None

    def open_partitions(self) -> list[int]:
        """Partitions whose stores are open, restored or not."""
        return list(self._holdings)

    def open(self, holding: Holding[T]) -> None:
        """The partition is ours (recovery.py)."""
        self._holdings[holding.partition] = holding
        share = max(1, len(self._holdings))
        for each in self._holdings.values():
            each.resize_cache(self._host.settings.cache_rows // share, self._host.settings.cache_bytes // share)

    def close(self, partition: int) -> Holding[T] | None:
        """The partition is ours no more: writes are refused from now on; the caller closes what is returned."""
        holding = self._holdings.pop(partition, None)
        if holding is not None:
            holding.closed = True
        return holding

    def _holding(self, partition: int, generation: int | None) -> Holding[T]:
        holding = self._holdings.get(partition)
        if holding is None:
            raise Revoked(f"partition {partition} of table {self.name} is not owned")
        holding.check(generation)
        return holding

    def _in_place(self, batch: Batch, row: Row[T], records: Sequence[Any], misplaced: list[DeadLetter]) -> bool:
        """Rows that exist have been judged when they were made."""
        if row.exists or partition_of(row.key, self._host.settings.partitions) == batch.partition:
            return True
        reason = f"the key belongs to partition {partition_of(row.key, self._host.settings.partitions)}"
        misplaced += (DeadLetter(batch.topic, batch.partition, r, "partitioning", reason) for r in records)
        return False

    async def _write(
        self, holding: Holding[T], ready: Sequence[ReadyRow[T]], outputs: Sequence[Output], batch: Batch | None
    ) -> None:
        host = self._host
        if batch is not None and batch.refused:  # 1 what cannot be used is kept
            letters, batch.refused = batch.refused, []
            try:
                await host.keep_dead_letters(letters)
            except BaseException:
                batch.refused = letters
                raise
            killpoints.reached("after-dead-letters")
        if outputs:
            await host.producer.publish_all(outputs)
            killpoints.reached("after-outputs")
        await self._writer.write(holding, ready)  # 2 the rows are in the changelog, 3 then in the store
