"""While a store is filled nothing is sorted twice; afterwards RocksDB tidies up by itself again."""

from __future__ import annotations

import time
from pathlib import Path

from streams.batches.store import PartitionStore, StoredRow
from streams.batches.store_options import StoreOptions
from tests.deadline import within


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
