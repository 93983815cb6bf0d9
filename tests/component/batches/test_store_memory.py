"""However many partitions a process holds, the blocks that it keeps in memory are bounded (trap D2)."""

from pathlib import Path

from streams.batches.store import PartitionStore, StoredRow, StoreOptions

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
