"""One partition of a table while this worker owns it: its store, its cached rows, and the right to write."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Any, Generic, Protocol, TypeVar

from streams.batches.core.batch import DeadLetter, Output
from streams.batches.core.errors import BatchError, DamagedRow, Revoked
from streams.batches.core.metrics import Metrics
from streams.batches.core.producer import Producer
from streams.batches.core.settings import BatchSettings
from streams.batches.table.folding import EncodedRow
from streams.batches.table.row_cache import RowCache
from streams.batches.table.rows import Codec, Positions, Row, decode_blob, decode_hidden, encode_blob, topic_hash
from streams.batches.table.store import Checkpoint, PartitionStore, StoredBlob, StoredRow

T = TypeVar("T")
R = TypeVar("R")
# A named tuple without the call of its constructor, for each row of a backlog.
_new = tuple.__new__

STEP = 500
"""Rows in one write to the store, which holds them twice meanwhile. Only the last one moves the checkpoint: killed in
between, the store has rows that recovery writes a second time."""


class TableHost(Protocol):
    """What a table needs of the application."""

    settings: BatchSettings
    producer: Producer
    metrics: Metrics

    async def publish_dead_letters(self, letters: Sequence[DeadLetter]) -> None: ...
    async def publish_moved(self, records: Sequence[Output]) -> None: ...
    async def run_as_owner(self, partition: int, generation: int, job: Callable[[], Awaitable[Any]]) -> Any: ...
    def assert_owner(self, partition: int) -> None: ...


class PartitionTable(Generic[T]):
    """Made at assignment, closed at revocation; a later assignment of the same partition makes another one."""

    def __init__(
        self,
        partition: int,
        generation: int,
        store: PartitionStore,
        topic_id: int,
        codec: Codec[T],
        index: Callable[[Row[T]], Iterable[bytes]] | None,
        cache: RowCache[T],
        changelog: str = "",
        sources: Sequence[str] = (),
    ) -> None:
        """`changelog` and `sources`: names of topics, for the text of errors."""
        self.partition = partition
        self.generation = generation
        self.store = store
        self.topic_id = topic_id
        """Of the changelog."""
        self.next_offset = 0
        """Of the changelog; everything before it is in the store."""
        self.outcome_unknown = False
        """A write was not acknowledged: its records may be in the changelog all the same."""
        self.restored = False
        self._codec = codec
        self._index = index
        self._cache = cache
        self._changelog = changelog
        self._sources = sources
        self.closed = False

    def check(self, generation: int | None = None) -> None:
        """Raise Revoked unless the partition is still owned here, under the generation that the caller knows."""
        if self.closed or not self.restored or (generation is not None and generation != self.generation):
            raise Revoked(f"partition {self.partition} is not owned under generation {generation}")

    def take(self, keys: Sequence[bytes]) -> dict[bytes, Row[T]]:
        """Return rows to work on. They are removed from the cache: only what is written is put back."""
        rows: dict[bytes, Row[T]] = {}
        missing: list[bytes] = []
        take = self._cache.take
        for key in keys:
            row = take(key)
            if row is None:
                missing.append(key)
            else:
                rows[key] = row
        if missing:
            for key, blob in zip(missing, self.store.get_many(missing), strict=True):
                rows[key] = self.decode(key, blob)
        return rows

    def take_blobs(self, keys: Sequence[bytes]) -> list[bytes | None]:
        """Return rows as the store keeps them, in the order of the keys; None for absent ones. See `decode`.

        They are removed from the cache.
        """
        take = self._cache.take
        blobs = self.store.get_many(keys)
        for key, blob in zip(keys, blobs, strict=True):
            if blob is not None:
                take(key)
        return blobs

    def stored(self, key: bytes) -> Row[T]:
        """Return one row as it is in the store; a copy."""
        return self.decode(key, self.store.get_many([key])[0])

    def decode(self, key: bytes, blob: bytes | None) -> Row[T]:
        """A row out of a store's blob. Raises DamagedRow, and whatever BatchError the codec raises."""
        if blob is None:
            return Row(key, self._codec.decode(key, None, b""), {}, exists=False)
        positions: Positions = {}
        try:
            value, hidden = decode_blob(blob)
            positions, state = decode_hidden(hidden)
            row = Row(key, self._codec.decode(key, value, state), positions, exists=True, size=len(blob))
        except BatchError:
            raise
        except Exception as error:
            raise self._damaged(key, positions, error) from error
        if self._index is not None:
            row.index = frozenset(self._index(row))
        return row

    def _damaged(self, key: bytes, positions: Positions, error: Exception) -> DamagedRow:
        """Names the row by its key's digest, its changelog, and the last record of each source that is folded in."""
        names = {topic_hash(name): name for name in self._sources}
        folded = [
            f"{names.get(topic, f'topic {topic:08x}')}[{self.partition}]@{offset}"
            for topic, (_, offset) in sorted(positions.items())
        ]
        return DamagedRow(
            f"the row of key {hashlib.sha256(key).hexdigest()[:16]} (SHA-256) in {self._changelog}[{self.partition}], "
            f"before offset {self.next_offset}, with {', '.join(folded) or 'no known record'} folded in, "
            f"cannot be read: {error}"
        )

    def keep(self, rows: Iterable[Row[T]]) -> None:
        """Cache rows that are in the store as they are here; rows whose data was dropped are skipped."""
        put = self._cache.put
        for row in rows:
            if not row.data_dropped:
                put(row)

    def will_cache(self, key: bytes) -> bool:
        """Whether `keep` would cache the row of this key now."""
        return self._cache.will_keep(key)

    async def save(
        self, encoded: Sequence[EncodedRow[T]], last_offset: int, blobs: Sequence[StoredBlob] | None = None
    ) -> None:
        """Write rows whose changelog records are acknowledged up to `last_offset`. Raises Revoked.

        `blobs`: the rows as the store keeps them, where they are at hand.
        """
        if blobs is None:
            blobs = [(row.key, encode_blob(value, hidden)) for row, value, hidden in encoded]
        starts = range(0, len(encoded), STEP)
        steps = (self._stored_rows(encoded[at : at + STEP], blobs[at : at + STEP]) for at in starts)
        await self._save(self.store.write, steps, len(encoded), last_offset)

    async def save_blobs(self, blobs: Sequence[StoredBlob], last_offset: int) -> None:
        """The same, rows whose index entries stay as they are."""
        steps = (blobs[at : at + STEP] for at in range(0, len(blobs), STEP))
        await self._save(self.store.write_blobs, steps, len(blobs), last_offset)

    async def _save(
        self,
        write: Callable[[Iterable[R], Checkpoint | None], None],
        steps: Iterable[Sequence[R]],
        count: int,
        last_offset: int,
    ) -> None:
        # Not in a thread: RocksDB's binding holds the interpreter's lock while it writes, so nothing else could run.
        written = 0
        for step in steps:
            if written:
                await asyncio.sleep(0)
            written += len(step)
            write(step, Checkpoint(self.topic_id, last_offset + 1) if written == count else None)
        self.next_offset = last_offset + 1

    def _stored_rows(self, encoded: Sequence[EncodedRow[T]], blobs: Sequence[StoredBlob]) -> list[StoredRow]:
        index = self._index
        writes: list[StoredRow] = []
        for (row, _, _), (key, blob) in zip(encoded, blobs, strict=True):
            if index is None or row.data_dropped:  # in the second case its index entries stay as they are
                row.exists = True
                writes.append(_new(StoredRow, (key, blob, (), ())))
                continue
            now = frozenset(index(row))
            writes.append(StoredRow(key, blob, row.index - now, now - row.index))
            row.index, row.exists = now, True
        return writes

    def index_changes(self, blobs: dict[bytes, bytes | None]) -> list[StoredRow]:
        """Return restored rows with the index entries that change with them."""
        keys = list(blobs)
        changes = []
        for key, old in zip(keys, self.store.get_many(keys), strict=True):
            before = self.decode(key, old).index if old is not None else frozenset()
            blob = blobs[key]
            after = self.decode(key, blob).index if blob is not None else frozenset()
            changes.append(StoredRow(key, blob, before - after, after - before))
        return changes

    def rebuild_index(self, step: int = 5000) -> None:
        """Index every row of a store that was filled without an index."""
        self.store.drop_index()
        after: bytes | None = None
        while found := self.store.scan(after, step):
            rows = [(key, blob, self.decode(key, blob).index) for key, blob in found]
            self.store.write([StoredRow(key, blob, (), index) for key, blob, index in rows if index], None)
            after = found[-1][0]

    def resize_cache(self, max_rows: int, max_bytes: int) -> None:
        """Set this partition's share of the memory."""
        self._cache.resize(max_rows, max_bytes)

    def cached(self) -> int:
        """Return the number of rows in memory."""
        return len(self._cache)

    def close(self) -> None:
        """Refuse writes from now on, then close the store. Blocks while it flushes."""
        self.closed = True
        self._cache.clear()
        self.store.close()
