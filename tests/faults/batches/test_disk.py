"""The state disk is full, damaged, somebody else's, or not writable."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import pytest

from streams.batches import ExitCode
from tests import oracle
from tests.faults.batches.farm import Farm

SMALL = {"write_buffer_bytes": 64 << 10, "cache_rows": 0}
"""Much is written to disk, and everything is read from there."""


def test_a_full_disk_ends_the_process_with_a_sentence_and_is_made_up_for(farm: Farm) -> None:
    farm.produce(farm.events(20_000, 10_000))
    began = time.monotonic()
    full = {"write_buffer_bytes": 512 << 10, "environment": {"LARGEST_FILE": str(40 << 10)}}
    worker = farm.start("one", **full)
    assert worker.process.wait(30) == ExitCode.STORE, worker.output()[-2000:]
    assert time.monotonic() - began < 30
    assert "free space or repair the disk" in worker.output()
    farm.start("one")
    farm.drained()
    verdict = farm.verdict()
    assert verdict.exact, str(verdict)
    oracle.assert_not_void(verdict)


def without_current(store: Path) -> None:
    (store / "CURRENT").unlink()


def cut_manifest(store: Path) -> None:
    for manifest in store.glob("MANIFEST-*"):
        manifest.write_bytes(manifest.read_bytes()[:20])


def flipped_bytes(store: Path) -> None:
    """In the middle of every table's data: found only when a row there is read."""
    for table in store.glob("*.sst"):
        content = bytearray(table.read_bytes())
        if len(content) > 8000:
            content[1000:4000] = bytes(byte ^ 0xFF for byte in content[1000:4000])
            table.write_bytes(content)


@pytest.mark.parametrize("damage", [without_current, cut_manifest, flipped_bytes])
def test_a_damaged_store_is_rebuilt_without_a_human(farm: Farm, damage: Callable[[Path], None]) -> None:
    farm.produce(farm.events(4000, 1500))
    worker = farm.start("one", **SMALL)
    farm.drained()
    assert worker.stop() == 0
    stores = [path.parent for path in (worker.directory / "data").rglob("CURRENT")]
    assert stores
    for store in stores:
        damage(store)
    farm.produce(farm.events(2000, 1500, seed=1))
    for _ in range(6):  # a supervisor's part: one start for each partition in which damage is found
        worker = farm.start("one", **SMALL)
        try:
            farm.drained(20)
            break
        except AssertionError:
            assert worker.process.exit_code == ExitCode.STORE, worker.output()[-2000:]
            assert "is rebuilt at the next start" in worker.output()
    farm.drained(20)
    assert farm.refused() == set(), "damage is not the records' fault"
    verdict = farm.verdict(**SMALL)
    assert verdict.exact, str(verdict)
    oracle.assert_not_void(verdict)


def test_two_workers_on_one_directory(farm: Farm) -> None:
    farm.produce(farm.events(1000, 50))
    first = farm.start("one")
    first.at_work()
    began = time.monotonic()
    second = farm.start("two", data_dir=str(first.directory / "data"))
    assert second.process.wait(10) == ExitCode.CONFIGURATION
    assert time.monotonic() - began < 5
    assert "is used by another process" in second.output()
    assert first.process.exit_code is None


def test_a_directory_that_cannot_be_written(farm: Farm, tmp_path: Path) -> None:
    (tmp_path / "a-file").touch()
    worker = farm.start("one", data_dir=str(tmp_path / "a-file"))
    assert worker.process.wait(5) == ExitCode.CONFIGURATION
    assert "cannot be written: Not a directory; set data_dir" in worker.output()
