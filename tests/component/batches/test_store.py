"""The RocksDB store on a real disk: killed at any time, bounded in memory, filled in bulk."""

from __future__ import annotations

import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from streams.batches.core.errors import StoreFailed, StoreLocked
from streams.batches.table.rocksdb import DirectoryLock, StoreOptions, opening_failed
from streams.batches.table.store import Checkpoint, PartitionStore, StoredRow
from tests.deadline import within

BATCHES, ROWS = 200, 200
WRITER = f"""
import os, signal, sys
from pathlib import Path
from streams.batches.table.rocksdb import StoreOptions
from streams.batches.table.store import Checkpoint, PartitionStore, StoredRow

# Memtables never fill; the bound that all stores share is what flushes.
options = StoreOptions(1 << 20, 64 << 20, 1 << 20)
stores = [PartitionStore(Path(sys.argv[1]) / str(n), options) for n in range(2)]
for batch in range({BATCHES}):
    for store in stores:
        rows = [StoredRow(b"%d-%d" % (batch, n), bytes(200), (), [b"i%d" % n]) for n in range({ROWS})]
        store.write(rows, Checkpoint(7, batch + 1))
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_a_flush_forced_by_the_shared_bound_keeps_rows_index_and_checkpoint_together(tmp_path: Path) -> None:
    done = subprocess.run([sys.executable, "-c", WRITER, str(tmp_path)], check=False, timeout=60)
    assert done.returncode == -signal.SIGKILL
    for number in range(2):
        store = PartitionStore(tmp_path / str(number), StoreOptions(1 << 20, 1 << 20, 4 << 20))
        try:
            checkpoint = store.checkpoint
            assert checkpoint is not None, "nothing was flushed: the bound does not hold"
            assert 0 < checkpoint.next_offset < BATCHES
            keys = [b"%d-%d" % (batch, n) for batch in range(BATCHES) for n in range(ROWS)]
            present = [blob is not None for blob in store.get_many(keys)]
            assert present == [n < checkpoint.next_offset * ROWS for n in range(len(keys))]
            indexed = store.scan_index(b"", None, None, len(keys) + 1)
            assert sorted(key for _, key in indexed) == sorted(keys[: checkpoint.next_offset * ROWS])
        finally:
            store.close()


BOUND = 1 << 20


def test_trap_d2_all_stores_share_one_bounded_block_cache(tmp_path: Path) -> None:
    options = StoreOptions(BOUND, 256 << 10, 4 << 20)
    keys = [b"key-%05d" % number for number in range(2000)]
    stores = [PartitionStore(tmp_path / str(number), options) for number in range(4)]
    try:
        for salt, store in enumerate(stores):
            noise = bytes((n * 7919 + salt) % 251 for n in range(997))
            store.write([StoredRow(key, key * 20 + noise[n % 500 :]) for n, key in enumerate(keys)], None)
            store.flush()
        read = 0
        for store in stores:
            read += sum(len(blob or b"") for blob in store.get_many(keys))
        assert read > 4 * BOUND, "more than fits"
        assert BOUND / 2 < options._cache.get_usage() < 2 * BOUND, "rows of all stores are in it, up to its bound"
    finally:
        for store in stores:
            store.close()


def files(store: PartitionStore) -> int:
    return int(store._db.property_value("rocksdb.num-files-at-level0") or 0)


def test_a_load_leaves_sorting_for_later(tmp_path: Path) -> None:
    store = PartitionStore(tmp_path / "0", StoreOptions(1 << 20, 1 << 20, 4 << 20))
    store.load(begin=True)
    for run in range(8):
        store.write([StoredRow(b"k%d" % n, b"%d" % run) for n in range(100)], None)
        store.flush()
    time.sleep(0.2)
    assert files(store) == 8
    store.load(begin=False)
    within(10, lambda: files(store) < 4)
    assert store.get_many([b"k7"]) == [b"7"]
    store.close()


def test_trap_d1_a_closed_store_is_free_at_once_and_a_locked_one_says_so(tmp_path) -> None:
    options = StoreOptions(1 << 20, 1 << 20, 4 << 20)
    one = PartitionStore(tmp_path / "p", options)
    with pytest.raises(StoreLocked, match="open in another process"):
        PartitionStore(tmp_path / "p", options)
    one.scan(None, 10)
    one.close()
    PartitionStore(tmp_path / "p", options).close()


@pytest.mark.parametrize("operation", ["flush", "load", "write", "drop_index"])
def test_a_full_disk_is_named_whatever_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, operation: str
) -> None:
    store = PartitionStore(tmp_path / "0", StoreOptions(1 << 20, 1 << 20, 4 << 20))
    store.write([StoredRow(b"k", b"v", added=[b"i"])], None)
    real = store._db

    class Full:
        def __getattr__(self, _name: str) -> object:
            raise OSError(28, "No space left on device")

    store._db = Full()  # type: ignore[assignment]
    work = {
        "flush": store.flush,
        "load": lambda: store.load(begin=True),
        "write": lambda: store.write([StoredRow(b"k", b"w")], None),
        "drop_index": store.drop_index,
    }
    with pytest.raises(StoreFailed, match="free space or repair the disk"):
        work[operation]()
    store._db = real
    store.close()


def test_a_directory_called_lock_is_no_lock() -> None:
    for path in (Path("/data/LOCK: old/0"), Path("/data/LOCK/0")):
        assert isinstance(opening_failed(path, RuntimeError(f"Corruption: {path}/MANIFEST-1 is cut")), ValueError)
    assert isinstance(opening_failed(path, RuntimeError(f"IO error: {path}/LOCK: No locks available")), StoreLocked)
    for cause in ("No space left on device", "Disk quota exceeded"):
        full = opening_failed(path, RuntimeError(f"IO error: {cause}: {path}/LOCK: open"))
        assert isinstance(full, StoreFailed)


def test_a_full_disk_at_start_is_no_lock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("streams.batches.table.rocksdb.os.open", full)
    with pytest.raises(StoreFailed, match="free space"):
        DirectoryLock(tmp_path / "x").acquire()


def test_a_flush_that_fails_in_the_background_loses_no_row_and_is_seen_at_the_next_write(tmp_path: Path) -> None:
    """Nothing further is written, so nobody learns of it: rows are read all the same, and the store closes at once."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=16m", "tmpfs", str(disk)]
    mounted = subprocess.run(mount, capture_output=True, text=True, check=False)
    if mounted.returncode:
        pytest.skip(f"a file system cannot be mounted here: {mounted.stderr.strip()}")
    try:
        options = StoreOptions(1 << 20, 1 << 20, 64 << 20)
        store = PartitionStore(disk / "0", options)
        store.write([StoredRow(b"flushed", b"v")], Checkpoint(7, 1))
        store.flush()
        filler = disk / "filler"
        with filler.open("wb") as file:
            file.write(bytes(shutil.disk_usage(disk).free - (64 << 10)))
        rows = [StoredRow(b"%d" % number, random.Random(number).randbytes(10_000)) for number in range(110)]
        store.write(rows, Checkpoint(7, 2))
        store.write([], Checkpoint(7, 3))  # more than a memtable holds: it is flushed behind the back of this one

        def failed_flushes() -> int:
            return store._db.property_int_value("rocksdb.background-errors") or 0

        within(10, failed_flushes)
        assert store.get_many([row.key for row in rows]) == [row.blob for row in rows]
        with pytest.raises(StoreFailed, match="free space or repair the disk"):
            store.write([StoredRow(b"k", b"v")], Checkpoint(7, 4))
        store.close()
        filler.unlink()
        store = PartitionStore(disk / "0", options)
        assert store.checkpoint == Checkpoint(7, 1), "what was not flushed is read from the changelog again"
        assert store.get_many([b"flushed", rows[0].key]) == [b"v", None]
        store.close()
    finally:
        subprocess.run(["umount", "--lazy", str(disk)], check=True)
