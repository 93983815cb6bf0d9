"""Decoded rows in memory, bounded by number and by encoded size."""

from __future__ import annotations

from typing import Generic, TypeVar

from .rows import Row

T = TypeVar("T")


class RowCache(Generic[T]):
    """Two generations of rows: what was not used while one generation filled up is dropped with the next.

    Nearly as good as least-recently-used, without work on each hit. A row is taken out while somebody works on it and
    put back only once it is durable, so a half-folded row can never be read.
    """

    def __init__(self, max_rows: int, max_bytes: int) -> None:
        self._young: dict[bytes, Row[T]] = {}
        self._old: dict[bytes, Row[T]] = {}
        self._young_bytes = 0
        self.resize(max_rows, max_bytes)

    def resize(self, max_rows: int, max_bytes: int) -> None:
        """Other bounds; kept at the next put."""
        self._half_rows, self._half_bytes = max_rows // 2, max_bytes // 2

    def take(self, key: bytes) -> Row[T] | None:
        """The row, removed from the cache."""
        row = self._young.pop(key, None)
        return row if row is not None else self._old.pop(key, None)

    def put(self, row: Row[T]) -> None:
        """Keep a row as it is in the store."""
        self._young[row.key] = row
        self._young_bytes += row.size
        if len(self._young) > self._half_rows or self._young_bytes > self._half_bytes:
            self._old, self._young, self._young_bytes = self._young, {}, 0
            if len(self._old) > self._half_rows + 1:  # after a resize
                self._old = {}

    def clear(self) -> None:
        """Drop everything."""
        self._young, self._old, self._young_bytes = {}, {}, 0

    def __len__(self) -> int:
        return len(self._young) + len(self._old)
