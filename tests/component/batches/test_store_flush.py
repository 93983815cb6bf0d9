"""A store killed at any time holds the rows up to its checkpoint and none behind it, whoever asked for the flush."""

import signal
import subprocess
import sys
from pathlib import Path

from streams.batches.store import PartitionStore, StoreOptions

BATCHES, ROWS = 200, 200
WRITER = f"""
import os, signal, sys
from pathlib import Path
from streams.batches.store import Checkpoint, PartitionStore, StoredRow, StoreOptions

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
