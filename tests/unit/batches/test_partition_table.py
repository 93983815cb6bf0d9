"""Rows are cached where they are read again, within bounds; stored a few at a time, the checkpoint with the last."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from streams.batches import Row
from streams.batches.table.folding import EncodedRow
from streams.batches.table.partition_table import STEP, PartitionTable
from streams.batches.table.row_cache import SAMPLE, WINDOW, RowCache
from streams.batches.table.rows import JsonCodec
from streams.batches.table.store import Checkpoint, StoredRow

Data = dict[str, object]


def row(key: bytes, size: int = 100) -> Row[Data]:
    return Row(key, {}, {}, exists=True, size=size)


def visit(cache: RowCache[Data], numbers: range) -> int:
    """Take each key as a fold does, put it back; the number that the cache had."""
    found = 0
    for number in numbers:
        key = b"%d" % number
        kept = cache.take(key)
        found += kept is not None
        cache.put(kept or row(key))
    return found


def test_a_row_that_was_taken_is_not_returned_twice() -> None:
    cache: RowCache[Data] = RowCache(10, 10_000)
    cache.put(row(b"a"))
    assert cache.take(b"a") is not None
    assert cache.take(b"a") is None


def test_rows_and_bytes_are_bounded() -> None:
    for cache in (RowCache[Data](100, 1 << 30), RowCache[Data](1 << 30, 100 * 100)):
        visit(cache, range(1000))
        assert len(cache) <= 101


def test_taking_rows_and_putting_them_back_drops_none() -> None:
    """Bytes of rows that were taken no longer count."""
    cache: RowCache[Data] = RowCache(1000, 1000 * 100)
    visit(cache, range(400))
    for _ in range(20):
        assert visit(cache, range(400)) == 400


def test_with_far_more_keys_than_room_only_a_sample_is_kept() -> None:
    cache: RowCache[Data] = RowCache(1000, 1 << 30)
    visit(cache, range(2 * WINDOW))
    assert cache.sampling
    visit(cache, range(WINDOW))
    assert len(cache) <= 1000 // SAMPLE + 1


def test_the_cache_predicts_which_rows_it_will_keep() -> None:
    cache: RowCache[Data] = RowCache(1000, 1 << 30)
    keys = [b"%d" % n for n in range(500)]
    assert all(cache.will_keep(key) for key in keys)
    visit(cache, range(2 * WINDOW))
    assert cache.sampling
    for key in keys:
        cache.put(Row(key, {}, {}, exists=True))
        assert (cache.take(key) is not None) == cache.will_keep(key)


def test_rows_are_kept_again_once_they_are_read_again() -> None:
    cache: RowCache[Data] = RowCache(1000, 1 << 30)
    visit(cache, range(2 * WINDOW))
    assert cache.sampling
    for _ in range(6 * WINDOW // 500):
        visit(cache, range(500))
    assert not cache.sampling
    assert visit(cache, range(500)) == 500


def test_a_cold_start_with_few_keys_keeps_all_of_them() -> None:
    cache: RowCache[Data] = RowCache(10_000, 1 << 30)
    for _ in range(8):
        visit(cache, range(5000))
    assert not cache.sampling
    assert visit(cache, range(5000)) == 5000


class Store:
    def __init__(self) -> None:
        self.writes: list[tuple[list[bytes], Checkpoint | None]] = []

    def write(self, rows: Iterable[StoredRow], checkpoint: Checkpoint | None) -> None:
        self.writes.append(([row.key for row in rows], checkpoint))


def table_of(store: Any) -> PartitionTable[Any]:
    return PartitionTable(0, 1, store, 77, JsonCodec(), None, RowCache(10, 1000))


async def saved(count: int) -> Store:
    store: Any = Store()
    table = table_of(store)
    await table.save([EncodedRow(Row(b"%d" % i, {}, {}, exists=False), b"{}", b"") for i in range(count)], 1000)
    assert table.next_offset == 1001
    return store


async def test_a_checkpoint_is_never_written_before_a_row_that_it_covers() -> None:
    for count in (1, STEP, STEP + 1, 3 * STEP):
        writes = (await saved(count)).writes
        assert [key for keys, _ in writes for key in keys] == [b"%d" % i for i in range(count)]
        assert max(len(keys) for keys, _ in writes) <= STEP
        assert [checkpoint for _, checkpoint in writes] == [None] * (len(writes) - 1) + [Checkpoint(77, 1001)]


def test_a_row_whose_data_was_dropped_is_not_cached() -> None:
    table = table_of(Store())
    rows: list[Row[Any]] = [Row(b"dropped", {}, {}, exists=True), Row(b"whole", {}, {}, exists=True)]
    rows[0].drop_data()
    table.keep(rows)
    assert table.cached() == 1
    assert list(table.take([b"whole"])) == [b"whole"]


async def test_a_row_whose_data_was_dropped_keeps_its_index_entries() -> None:
    class Keeping(Store):
        def write(self, rows: Iterable[StoredRow], checkpoint: Checkpoint | None) -> None:
            kept.extend(rows)

    kept: list[StoredRow] = []
    store: Any = Keeping()
    table = PartitionTable(0, 1, store, 77, JsonCodec(), lambda row: [row.key], RowCache(10, 1000))
    rows: list[Row[Any]] = [Row(b"dropped", {}, {}, exists=True), Row(b"whole", {}, {}, exists=True)]
    rows[0].drop_data()
    await table.save([EncodedRow(row, b"{}", b"") for row in rows], 1000)
    assert [(row.key, list(row.removed), list(row.added)) for row in kept] == [
        (b"dropped", [], []),
        (b"whole", [], [b"whole"]),
    ]
