"""Rows go to the store a few at a time, and the checkpoint with the last of them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from streams.batches.cache import RowCache
from streams.batches.folding import ReadyRow
from streams.batches.holding import STEP, Holding
from streams.batches.rows import JsonCodec, Row
from streams.batches.store import Checkpoint, StoredRow


class Store:
    def __init__(self) -> None:
        self.writes: list[tuple[list[bytes], Checkpoint | None]] = []

    def write(self, rows: Iterable[StoredRow], checkpoint: Checkpoint | None) -> None:
        self.writes.append(([row.key for row in rows], checkpoint))


def holding_of(store: Any) -> Holding[Any]:
    return Holding(0, 1, store, 77, JsonCodec(), None, RowCache(10, 1000))


async def saved(count: int) -> Store:
    store: Any = Store()
    holding = holding_of(store)
    await holding.save([ReadyRow(Row(b"%d" % i, {}, {}, exists=False), b"{}", b"") for i in range(count)], 1000)
    assert holding.next_offset == 1001
    return store


async def test_a_checkpoint_is_never_written_before_a_row_that_it_covers() -> None:
    for count in (1, STEP, STEP + 1, 3 * STEP):
        writes = (await saved(count)).writes
        assert [key for keys, _ in writes for key in keys] == [b"%d" % i for i in range(count)]
        assert max(len(keys) for keys, _ in writes) <= STEP
        assert [checkpoint for _, checkpoint in writes] == [None] * (len(writes) - 1) + [Checkpoint(77, 1001)]


def test_a_spent_row_is_not_kept() -> None:
    holding = holding_of(Store())
    rows: list[Row[Any]] = [Row(b"spent", {}, {}, exists=True), Row(b"whole", {}, {}, exists=True)]
    rows[0].spend()
    holding.keep(rows)
    assert holding.cached() == 1
    assert list(holding.take([b"whole"])) == [b"whole"]
