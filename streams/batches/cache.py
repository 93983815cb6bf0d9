"""Decoded rows in memory, bounded by number and by encoded size, and only where they are asked for again."""

from __future__ import annotations

from typing import Generic, TypeVar

from .rows import Row

T = TypeVar("T")

WINDOW = 20_000
"""Questions between two judgements."""
WORTH = 0.15
"""Answers among questions from which on keeping a row costs less than reading it again."""
WORTHLESS = 0.08
SAMPLE = 16
"""While rows are not kept, one key in so many is, in a cache smaller by the same factor: it answers as often as the
whole one would, and so tells when to keep rows again."""


class RowCache(Generic[T]):
    """Two generations of rows: what was not used while one generation filled up is dropped with the next.

    Nearly as good as least-recently-used, without work on each hit. A row is taken out while somebody works on it and
    put back only once it is durable, so a half-folded row can never be read.

    Where there are far more keys than room (a million people, evenly), nearly every row is dropped before it is asked
    for again: then none but a sample is kept.
    """

    def __init__(self, max_rows: int, max_bytes: int) -> None:
        self._young: dict[bytes, Row[T]] = {}
        self._old: dict[bytes, Row[T]] = {}
        self._young_bytes = 0
        self._asked = 0
        self._answered = 0
        self.sampling = False
        """Only a sample of the rows is kept."""
        self.resize(max_rows, max_bytes)

    def resize(self, max_rows: int, max_bytes: int) -> None:
        """Other bounds; kept at the next put."""
        self._max_rows, self._max_bytes = max_rows, max_bytes
        parts = 2 * SAMPLE if self.sampling else 2
        self._window = WINDOW // 4 if self.sampling else WINDOW  # the sample is asked seldom
        self._half_rows, self._half_bytes = max_rows // parts, max_bytes // parts

    def take(self, key: bytes) -> Row[T] | None:
        """The row, removed from the cache."""
        if self.sampling and hash(key) % SAMPLE:
            return None
        if self._asked >= self._window:
            self._judge()
        self._asked += 1
        row = self._young.pop(key, None)
        if row is not None:
            self._young_bytes -= row.size
        else:
            row = self._old.pop(key, None)
            if row is None:
                return None
        self._answered += 1
        return row

    def put(self, row: Row[T]) -> None:
        """Keep a row as it is in the store."""
        if self.sampling and hash(row.key) % SAMPLE:
            return
        self._young[row.key] = row
        self._young_bytes += row.size
        if len(self._young) > self._half_rows or self._young_bytes > self._half_bytes:
            self._old, self._young, self._young_bytes = self._young, {}, 0
            if len(self._old) > self._half_rows + 1:  # after a resize
                self._old = {}

    def wants(self, key: bytes) -> bool:
        """Whether a row would be kept now."""
        return not (self.sampling and hash(key) % SAMPLE)

    def clear(self) -> None:
        """Drop everything."""
        self._young, self._old, self._young_bytes = {}, {}, 0

    def _judge(self) -> None:
        """Keep rows, or a sample of them: after each window of questions."""
        share = self._answered / self._asked
        self._asked = self._answered = 0
        was = self.sampling
        self.sampling = share < WORTHLESS or (was and share < WORTH)
        if self.sampling != was:
            self.clear()
            self.resize(self._max_rows, self._max_bytes)

    def __len__(self) -> int:
        return len(self._young) + len(self._old)
