"""One partition of a table while this worker owns it: its store, its cached rows, and the right to write.

Its cache holds decoded rows, bounded by number and by encoded size, and only where they are read again.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable, Iterable, Sequence
from typing import Generic, TypeVar

from streams.batches.core.errors import BatchError, DamagedRow, Revoked
from streams.batches.table.folding import EncodedRow
from streams.batches.table.rows import Codec, Positions, Row, decode_blob, decode_hidden, encode_blob, topic_hash
from streams.batches.table.store import Checkpoint, PartitionStore, StoredRow

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


STEP = 500
"""Rows in one write to the store, which holds them twice meanwhile. Only the last one moves the checkpoint: killed in
between, the store has rows that recovery writes a second time."""


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

    async def save(self, encoded: Sequence[EncodedRow[T]], last_offset: int) -> None:
        """Write rows whose changelog records are acknowledged up to `last_offset`. Raises Revoked.

        Not in a thread: RocksDB's binding holds the interpreter's lock while it writes, so nothing else could run.
        """
        for start in range(0, len(encoded), STEP):
            if start:
                await asyncio.sleep(0)
            part = encoded[start : start + STEP]
            checkpoint = Checkpoint(self.topic_id, last_offset + 1) if start + STEP >= len(encoded) else None
            self.store.write(self._stored_rows(part), checkpoint)
        self.next_offset = last_offset + 1

    def _stored_rows(self, encoded: Sequence[EncodedRow[T]]) -> list[StoredRow]:
        index = self._index
        if index is None:
            for row, _, _ in encoded:
                row.exists = True
            return [StoredRow(row.key, encode_blob(value, hidden)) for row, value, hidden in encoded]
        writes: list[StoredRow] = []
        for row, value, hidden in encoded:
            now = frozenset(index(row))
            writes.append(StoredRow(row.key, encode_blob(value, hidden), row.index - now, now - row.index))
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
