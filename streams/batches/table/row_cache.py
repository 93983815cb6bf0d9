"""Decoded rows of one partition, bounded by number and by encoded size, and only where they are read again."""

from __future__ import annotations

from typing import Generic, TypeVar

from streams.batches.table.rows import Row

T = TypeVar("T")

WINDOW = 20_000
"""Lookups between two decisions whether to keep all rows or a sample."""
KEEP_SHARE = 0.15
"""Share of hits above which keeping a row costs less than reading it again."""
SAMPLE_SHARE = 0.08
"""Share of hits below which only a sample is kept."""
SAMPLE = 16
"""While rows are not kept, one key in this many is, in a cache smaller by the same factor: its share of hits is that
of the whole one, and so shows when to keep rows again."""


class RowCache(Generic[T]):
    """Two generations of rows: what was not used while one generation filled up is evicted with the next.

    Nearly as good as least-recently-used, without work on each hit. A row is taken out while its owner works on it
    and put back only once it is durable, so a half-folded row can never be read.

    Where there are far more keys than room (a million people, evenly), nearly every row is evicted before it is read
    again: then only a sample is kept.
    """

    def __init__(self, max_rows: int, max_bytes: int) -> None:
        self._young: dict[bytes, Row[T]] = {}
        self._old: dict[bytes, Row[T]] = {}
        self._young_bytes = 0
        self._lookups = 0
        self._hits = 0
        self.sampling = False
        """Only a sample of the rows is kept."""
        self.resize(max_rows, max_bytes)

    def resize(self, max_rows: int, max_bytes: int) -> None:
        """Set other bounds; they apply from the next put on."""
        self._max_rows, self._max_bytes = max_rows, max_bytes
        parts = 2 * SAMPLE if self.sampling else 2
        self._window = WINDOW // 4 if self.sampling else WINDOW  # few lookups fall into the sample
        self._half_rows, self._half_bytes = max_rows // parts, max_bytes // parts

    def take(self, key: bytes) -> Row[T] | None:
        """Remove the row from the cache and return it; None when it is not there."""
        if self.sampling and hash(key) % SAMPLE:
            return None
        if self._lookups >= self._window:
            self._adapt()
        self._lookups += 1
        row = self._young.pop(key, None)
        if row is not None:
            self._young_bytes -= row.size
        else:
            row = self._old.pop(key, None)
            if row is None:
                return None
        self._hits += 1
        return row

    def put(self, row: Row[T]) -> None:
        """Keep a row that is in the store as it is here."""
        if self.sampling and hash(row.key) % SAMPLE:
            return
        self._young[row.key] = row
        self._young_bytes += row.size
        if len(self._young) > self._half_rows or self._young_bytes > self._half_bytes:
            self._old, self._young, self._young_bytes = self._young, {}, 0
            if len(self._old) > self._half_rows + 1:  # after a resize
                self._old = {}

    def will_keep(self, key: bytes) -> bool:
        """Whether `put` would keep the row of this key now."""
        return not (self.sampling and hash(key) % SAMPLE)

    def clear(self) -> None:
        """Evict everything."""
        self._young, self._old, self._young_bytes = {}, {}, 0

    def _adapt(self) -> None:
        """Decide after each window of lookups whether to keep all rows or a sample."""
        share = self._hits / self._lookups
        self._lookups = self._hits = 0
        was = self.sampling
        self.sampling = share < SAMPLE_SHARE or (was and share < KEEP_SHARE)
        if self.sampling != was:
            self.clear()
            self.resize(self._max_rows, self._max_bytes)

    def __len__(self) -> int:
        return len(self._young) + len(self._old)
