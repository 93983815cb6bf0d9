"""RocksDB as the stores use it: its options, its errors, range reads, and one process for each state directory."""

from __future__ import annotations

import errno
import fcntl
import os
import shutil
from pathlib import Path

from rocksdict import BlockBasedOptions, Cache, DBCompressionType, Options, Rdict, WriteBufferManager

from streams.batches.core.errors import StoreFailed, StoreLocked


class StoreOptions:
    """RocksDB options of all stores of a process; they share one bounded block cache, and one bound on memtables."""

    def __init__(self, block_cache_bytes: int, write_buffer_bytes: int, write_buffers_bytes: int) -> None:
        self._cache = Cache(block_cache_bytes)
        self._buffers = WriteBufferManager(write_buffers_bytes, False)
        self._write_buffer_bytes = write_buffer_bytes

    def rows(self) -> Options:
        """Return options for point reads of keys that are often absent: bloom filters, in the bounded cache."""
        options = Options(raw_mode=True)
        options.create_if_missing(True)
        options.create_missing_column_families(True)
        options.set_atomic_flush(True)
        options.set_write_buffer_manager(self._buffers)
        table = BlockBasedOptions()
        table.set_bloom_filter(10, False)
        table.set_block_cache(self._cache)
        table.set_cache_index_and_filter_blocks(True)
        table.set_pin_l0_filter_and_index_blocks_in_cache(True)
        table.set_block_size(4096)
        options.set_block_based_table_factory(table)
        options.set_write_buffer_size(self._write_buffer_bytes)
        options.set_max_write_buffer_number(2)
        options.set_compression_type(DBCompressionType.lz4())
        options.set_max_open_files(256)
        options.set_keep_log_file_num(2)
        options.set_max_log_file_size(1 << 20)
        options.set_stats_dump_period_sec(0)
        return options

    def small(self) -> Options:
        """Return options for index and checkpoint: little data."""
        options = Options(raw_mode=True)
        table = BlockBasedOptions()
        table.set_block_cache(self._cache)
        options.set_block_based_table_factory(table)
        options.set_write_buffer_size(max(1 << 20, self._write_buffer_bytes // 4))
        options.set_max_write_buffer_number(2)
        return options


class DirectoryLock:
    """Held from start to stop, and released by the kernel however the process ends.

    RocksDB's own lock is one for each partition: two processes with different partitions would not notice each other
    until the next rebalance.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._file: int | None = None

    def acquire(self) -> None:
        """Create the directory where it is missing, and lock it. Raises StoreLocked or StoreFailed:
        the message names the remedy."""
        try:
            self._directory.mkdir(parents=True, exist_ok=True)
            file = os.open(self._directory / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        except OSError as error:
            if error.errno in (errno.ENOSPC, errno.EDQUOT):
                raise no_space(self._directory) from error
            raise StoreLocked(
                f"the state directory {self._directory} cannot be written: {error.strerror}; set data_dir to a "
                "directory that this process may write"
            ) from error
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            os.close(file)
            raise StoreLocked(
                f"the state directory {self._directory} is used by another process; give each process a data_dir of "
                "its own, or stop the other one"
            ) from error
        self._file = file

    def release(self) -> None:
        """Release the lock; does nothing when it is not held."""
        if self._file is not None:
            os.close(self._file)
            self._file = None


def remove_store(path: Path) -> None:
    """Delete a store that is damaged or does not fit its changelog."""
    shutil.rmtree(path, ignore_errors=True)


def no_space(path: Path) -> StoreFailed:
    """Return what to raise when the disk is full."""
    return StoreFailed(f"cannot write to {path}: no space left on the device; free space or repair the disk")


def opening_failed(path: Path, error: Exception) -> Exception:
    """Return what to raise: StoreLocked, StoreFailed, or ValueError for a damaged store, which can be rebuilt."""
    text = str(error)
    fault = text.replace(str(path), "")  # a directory may be called LOCK
    if "No space left" in text or "Disk quota exceeded" in text:
        return no_space(path)
    if "/LOCK:" in fault or "lock hold" in text:
        return StoreLocked(
            f"the store {path} is open in another process; give each process a data_dir of its own, "
            f"or stop the other one ({text})"
        )
    if isinstance(error, PermissionError) or "Permission denied" in text or "Read-only" in text:
        return StoreLocked(f"the store {path} cannot be written: {text}")
    return ValueError(f"the store {path} is damaged: {text}")


def read_range(db: Rdict, start: bytes | None, end: bytes | None, limit: int) -> list[tuple[bytes, bytes]]:
    """Return (key, value) of [start, end), at most `limit`. Raises what RocksDB raises when it meets damage."""
    found: list[tuple[bytes, bytes]] = []
    cursor = db.iter()
    if start is None:
        cursor.seek_to_first()
    else:
        cursor.seek(start)
    while len(found) < limit and cursor.valid():
        key = cursor.key()
        if end is not None and key >= end:
            break
        found.append((key, cursor.value()))
        cursor.next()
    cursor.status()  # raises: a cursor that meets damage just ends
    return found
