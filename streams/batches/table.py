"""A table that is read, folded and written a batch at a time, by the owner of the partition only."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from typing import Any, Generic, TypeVar

from .batch import Batch, Output, Record
from .rows import Codec, Row

T = TypeVar("T")

Fold = Callable[[Row[T], Sequence[Record]], Iterable[Output] | None]
"""Fold records of one key (in offset order, none of them folded before) into the row; return outputs, if any."""
Change = Callable[[Row[T]], Iterable[Output] | bool | None]
"""Change a row outside of an event; False leaves it unwritten."""
Index = Callable[[Row[T]], Iterable[bytes]]
"""Keys under which `due` finds the row. Pure."""


class BatchTable(Generic[T]):
    """Rows by key, kept in a local store and in a compacted changelog topic; made by `BatchApp.table`."""

    name: str
    changelog: str
    public: bool
    codec: Codec[T]

    async def fold(self, batch: Batch, fold: Fold[T]) -> None:
        """Group the batch by key, fold each key's new records into its row, and write all of it.

        What most agents want. Records at or below the row's position are skipped (counted as `already_folded`), keys
        that belong to another partition are handed to `on_misplaced`, records without a key are dead-lettered. A fold
        that raises is run again record by record on a fresh copy of the row, so that only the records that raise are
        dead-lettered; a row that grows too large counts as raising. Then everything is written as `write` does.
        """
        raise NotImplementedError

    async def read(self, partition: int, keys: Iterable[bytes]) -> dict[bytes, Row[T]]:
        """Rows by key, from the cache or the store, in one go. Absent ones come with `exists` False.

        Only inside of the partition's owner task (an agent, or a job of `BatchApp.run_as_owner`). Raises Revoked.
        """
        raise NotImplementedError

    async def write(self, batch: Batch, rows: Iterable[Row[T]], outputs: Sequence[Output] = ()) -> None:
        """Make rows durable, in the order in which a crash at any point is harmless:

        1. the batch's refused records and the outputs, acknowledged;
        2. one changelog record for each row, acknowledged;
        3. the local store, in one write;
        and 4., when the agent returns, the range settles.

        The rows' positions advance to `batch.last`. Raises RowTooLarge before anything is sent, NotDelivered, Revoked.
        """
        raise NotImplementedError

    async def update(self, partition: int, generation: int, keys: Iterable[bytes], change: Change[T]) -> int:
        """Change rows outside of an event (the outcome of a delivery), as the owner, on the newest rows.

        Waits for its turn behind the batch in work; same order and same checks as `write`. Returns the number of rows
        written. Raises Revoked when the partition is not ours any more under this generation: nothing was written.
        Must not be called from inside the owner's task; there use `read` and `write_rows`.
        """
        raise NotImplementedError

    async def write_rows(
        self, partition: int, generation: int, rows: Iterable[Row[T]], outputs: Sequence[Output] = ()
    ) -> None:
        """As `write`, without a batch: for jobs that run as the owner. Positions stay as they are."""
        raise NotImplementedError

    def owned(self) -> Mapping[int, int]:
        """Partitions that are open here and restored -> their assignment generation."""
        raise NotImplementedError

    def scan(self, partition: int, *, after: bytes | None = None, step: int = 1000) -> AsyncIterator[list[Row[T]]]:
        """All rows of a partition in key order, `step` at a time, read beside the event loop. Copies: never write them.

        Not a snapshot: rows written meanwhile may appear in either form. From anywhere. Raises Revoked.
        """
        raise NotImplementedError

    def due(
        self,
        partition: int,
        prefix: bytes = b"",
        *,
        after: bytes | None = None,
        upto: bytes | None = None,
        step: int = 1000,
    ) -> AsyncIterator[list[tuple[bytes, bytes]]]:
        """(index key, row key) pairs in the order of index keys, `step` at a time: those that start with `prefix`, are
        greater than `after` (exclusive) and less than `upto`. The index is written with the row, in one write. From anywhere.
        """
        raise NotImplementedError

    async def get(self, key: bytes) -> Row[T] | None:
        """One row as it is in the local store, for pages and health checks; None when absent or not owned here. A copy."""
        raise NotImplementedError

    _app: Any
