"""The rows of one partition on the local disk: RocksDB, opened by the partition's owner only.

Written without a log of its own: the changelog is the log. After a crash the store is at its last flush, rows,
index and checkpoint together (atomic flush), and recovery reads the changelog from that checkpoint on.
"""

from __future__ import annotations

import contextlib
import struct
import threading
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import structlog
from rocksdict import Rdict, WriteBatch, WriteOptions

from streams.batches.core.errors import Revoked, StoreFailed
from streams.batches.table.rocksdb import StoreOptions, opening_failed, read_range, remove_store

log = structlog.get_logger(__name__)

_CHECKPOINT = struct.Struct(">BIQ")  # layout, changelog topic id, next changelog offset
_CHECKPOINT_KEY = b"checkpoint"
DAMAGED = "DAMAGED"
"""A file beside RocksDB's own: do not open, rebuild."""
_INDEX_TAIL = struct.Struct(">H")
DISK = ("rocksdb.total-sst-files-size",)
MEMORY = ("rocksdb.cur-size-all-mem-tables", "rocksdb.estimate-table-readers-mem")
BULK_LOAD = {"disable_auto_compactions": "true", "compression": "kNoCompression", "max_write_buffer_number": "6"}
"""What is written is compacted afterwards, and compressed by that. A flush waits for the disk: with two memtables the
restore waits with it for more than half of its time. All of them together stay within `write_buffers_bytes`, and what
is being flushed."""
AFTER_LOAD = {"disable_auto_compactions": "false", "compression": "kLZ4Compression", "max_write_buffer_number": "2"}
"""As `StoreOptions.rows` has it."""
LAYOUT = 1
"""Raised when rows or index are written differently; a store of another layout is rebuilt."""


class Checkpoint(NamedTuple):
    """How much of the changelog is in the store."""

    topic_id: int
    next_offset: int


class StoredRow(NamedTuple):
    """One row to write: `blob` None deletes it; index keys to remove and to add in the same write."""

    key: bytes
    blob: bytes | None
    removed: Collection[bytes] = ()
    added: Collection[bytes] = ()


StoredBlob = tuple[bytes, bytes]
"""Key and blob of one row to write whose index entries stay as they are."""


class PartitionStore:
    """Rows, index and checkpoint of one partition. Safe to read from other threads while the owner writes.

    After `close` every call raises Revoked. RocksDB keeps its lock while any iterator lives, so none leaves a method.
    """

    def __init__(self, path: Path, options: StoreOptions) -> None:
        """Open, creating it when absent. StoreLocked when another process has it; a damaged one raises ValueError."""
        self.path = path
        self._options = options
        self._lock = threading.RLock()
        self._closed = False
        self._sizes = 0, 0
        self._no_log = WriteOptions()
        self._no_log.disable_wal = True

        self._acquire()

    def _acquire(self) -> None:
        path, options = self.path, self._options
        if (path / DAMAGED).exists():
            raise ValueError(f"the store {path} was found damaged when it was read")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._db = Rdict(
                str(path), options.rows(), column_families={"index": options.small(), "meta": options.small()}
            )
            self._index = self._db.get_column_family("index")
            self._meta = self._db.get_column_family("meta")
            self._index_handle = self._db.get_column_family_handle("index")
            self._meta_handle = self._db.get_column_family_handle("meta")
        except Exception as error:
            raise opening_failed(path, error) from error

    def _release(self) -> None:
        self._index_handle = self._meta_handle = None
        for family in (self._index, self._meta, self._db):
            # It flushes before it closes, and says so when that failed: then the changelog is read from further back.
            with contextlib.suppress(Exception):
                family.close()
        del self._index, self._meta, self._db

    @property
    def checkpoint(self) -> Checkpoint | None:
        """None: the store is new, or of another layout."""
        with self._open():
            raw = self._meta.get(_CHECKPOINT_KEY)
        if raw is None:
            return None
        layout, topic_id, next_offset = _CHECKPOINT.unpack(raw)
        return Checkpoint(topic_id, next_offset) if layout == LAYOUT else None

    def get_many(self, keys: Sequence[bytes]) -> list[bytes | None]:
        """Return blobs in the order of the keys, None for absent ones. StoreFailed when the disk returns an error."""
        with self._reading():
            found: list[bytes | None] = self._db.get(list(keys))
            return found

    def write(self, rows: Iterable[StoredRow], checkpoint: Checkpoint | None) -> None:
        """All rows, their index entries and the checkpoint, or nothing of it. None: the checkpoint stays as it is."""
        batch = WriteBatch(raw_mode=True)
        put, delete, handle = batch.put, batch.delete, self._index_handle
        for key, blob, removed, added in rows:
            if blob is None:
                delete(key)
            else:
                put(key, blob)
            if removed or added:
                for entry in removed:
                    delete(_index_entry(entry, key), handle)
                for entry in added:
                    put(_index_entry(entry, key), b"", handle)
        self._commit(batch, checkpoint)

    def write_blobs(self, rows: Iterable[StoredBlob], checkpoint: Checkpoint | None) -> None:
        """The same, rows whose index entries stay as they are."""
        batch = WriteBatch(raw_mode=True)
        put = batch.put
        for key, blob in rows:
            put(key, blob)
        self._commit(batch, checkpoint)

    def write_with(
        self,
        fill: Callable[[Callable[[bytes, bytes], None], Callable[[bytes], None]], None],
        checkpoint: Checkpoint | None,
    ) -> None:
        """The same, rows that `fill(put, delete)` puts and deletes, in its order: the last one of a key stays."""
        batch = WriteBatch(raw_mode=True)
        fill(batch.put, batch.delete)
        self._commit(batch, checkpoint)

    def _commit(self, batch: WriteBatch, checkpoint: Checkpoint | None) -> None:
        if checkpoint is not None:
            batch.put(_CHECKPOINT_KEY, _CHECKPOINT.pack(LAYOUT, *checkpoint), self._meta_handle)
        with self._writing():
            self._db.write(batch, self._no_log)

    def scan(self, after: bytes | None, limit: int) -> list[tuple[bytes, bytes]]:
        """Return (key, blob) in key order, beginning behind `after`."""
        with self._reading():
            return read_range(self._db, None if after is None else after + b"\x00", None, limit)

    def scan_index(
        self, prefix: bytes, after: tuple[bytes, bytes] | None, upto: bytes | None, limit: int
    ) -> list[tuple[bytes, bytes]]:
        """Return (index key, row key) in order, beginning behind the pair `after`, below `upto`, all with `prefix`."""
        start = prefix if after is None else _index_entry(*after) + b"\x00"
        end = _after_prefix(prefix)
        if upto is not None:
            end = upto if end is None else min(upto, end)
        with self._reading():
            return [_split_index_entry(entry) for entry, _ in read_range(self._index, start, end, limit)]

    def drop_index(self) -> None:
        """Remove every index entry: before the index is rebuilt."""
        with self._writing():
            while entries := read_range(self._index, None, None, 10_000):
                batch = WriteBatch(raw_mode=True)
                for entry, _ in entries:
                    batch.delete(entry, self._index_handle)
                self._db.write(batch, self._no_log)

    def is_empty(self) -> bool:
        """Whether there is no checkpoint, no row and no index entry, as in a store that was just created.

        One that cannot be read is not.
        """
        with self._open():
            try:
                return not any(read_range(family, None, None, 1) for family in (self._db, self._index, self._meta))
            except Exception:
                return False

    def empty(self) -> None:
        """Remove everything: before a rebuild."""
        with self._open():
            self._release()
            remove_store(self.path)
            self._acquire()

    def load(self, *, begin: bool) -> None:
        """Stop and start compactions, before and after a bulk load: nothing is sorted twice meanwhile."""
        with self._writing():
            self._db.set_options(BULK_LOAD if begin else AFTER_LOAD)

    def sizes(self) -> tuple[int, int]:
        """Return bytes on disk and in memory as they were when the store was not busy last: nobody waits for this."""
        if not self._closed and self._lock.acquire(blocking=False):
            try:
                families = (self._db, self._index, self._meta)
                disk, memory = (
                    sum(family.property_int_value(name) or 0 for family in families for name in names)
                    for names in (DISK, MEMORY)
                )
                self._sizes = disk, memory
            finally:
                self._lock.release()
        return self._sizes

    def flush(self) -> None:
        """Write everything to disk, so that a restart resumes here."""
        with self._writing():
            self._flush()

    def _flush(self) -> None:
        """An explicit flush takes one column family at a time. Killed in between, the store must look as if
        the changelog was read too little, never too much: the checkpoint last; and the index before its rows, because
        a row that is there already changes nothing in the index when it is written again."""
        self._index.flush()
        self._db.flush()
        self._meta.flush()

    def close(self, *, flush: bool = True) -> None:
        """Flush and release the lock; later calls do nothing."""
        with self._lock:
            if self._closed:
                return
            self._closed = True
            try:
                if flush:
                    self._flush()
            except Exception as error:
                log.warning("store not flushed at close", path=str(self.path), error=str(error))
            self._release()

    @contextmanager
    def _reading(self) -> Iterator[None]:
        """Mark a store that cannot be read, so that the next process rebuilds it. Raises StoreFailed."""
        with self._open():
            try:
                yield
            except Exception as error:
                with contextlib.suppress(OSError):
                    (self.path / DAMAGED).touch()
                raise StoreFailed(
                    f"cannot read the store {self.path}: {error}; it is rebuilt at the next start"
                ) from error

    @contextmanager
    def _writing(self) -> Iterator[None]:
        """Raises StoreFailed for whatever the disk refuses."""
        with self._open():
            try:
                yield
            except Exception as error:
                raise StoreFailed(
                    f"cannot write to the store {self.path}: {error}; free space or repair the disk"
                ) from error

    @contextmanager
    def _open(self) -> Iterator[None]:
        with self._lock:
            if self._closed:
                raise Revoked(f"the store {self.path} is closed")
            yield


def _index_entry(index_key: bytes, key: bytes) -> bytes:
    return index_key + key + _INDEX_TAIL.pack(len(index_key))


def _split_index_entry(entry: bytes) -> tuple[bytes, bytes]:
    (length,) = _INDEX_TAIL.unpack_from(entry, len(entry) - _INDEX_TAIL.size)
    return entry[:length], entry[length : -_INDEX_TAIL.size]


def _after_prefix(prefix: bytes) -> bytes | None:
    """Return the smallest bytes that are greater than everything that starts with `prefix`."""
    stripped = prefix.rstrip(b"\xff")
    return stripped[:-1] + bytes([stripped[-1] + 1]) if stripped else None
