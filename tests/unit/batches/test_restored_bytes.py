"""Changelog records become stored rows without being decoded, the same in Python and compiled."""

from __future__ import annotations

import threading
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from streams.batches.table import recovery
from streams.batches.table.changelog import STATE_HEADER, put_in_python
from streams.batches.table.partition_table import PartitionTable
from streams.batches.table.recovery import ROWS_PER_WRITE, Restoration, _write
from streams.batches.table.rocksdb import StoreOptions
from streams.batches.table.row_cache import RowCache
from streams.batches.table.rows import JsonCodec, decode_blob
from streams.batches.table.store import Checkpoint, PartitionStore, StoredRow

WAYS = [put_in_python]
try:
    from streams.batches.table.native_restore import put_records as compiled
except ImportError:  # there was no C compiler
    pass
else:
    WAYS.append(compiled)


class Consumed(NamedTuple):
    """Answers as confluent_kafka's Message does."""

    row_key: bytes | None
    content: bytes | None
    named: list[tuple[str, bytes | None]] | None = None
    at: int = 0

    def key(self) -> bytes | None:
        return self.row_key

    def value(self) -> bytes | None:
        return self.content

    def headers(self) -> list[tuple[str, bytes | None]] | None:
        return self.named

    def offset(self) -> int:
        return self.at


STATE = (STATE_HEADER, b"state")
RECORDS: list[Any] = [
    Consumed(b"plain", b"value"),
    Consumed(b"with state", b"value", [STATE]),
    Consumed(b"state alone", None, [STATE]),
    Consumed(b"tombstone", None),
    Consumed(b"tombstone with other headers", None, [("other", b"x")]),
    Consumed(b"state without bytes", b"value", [(STATE_HEADER, None)]),
    Consumed(b"tombstone, state without bytes", None, [(STATE_HEADER, None)]),
    Consumed(b"the last state counts", b"value", [(STATE_HEADER, b"old"), ("other", None), STATE]),
    Consumed(b"empty value", b"", [STATE]),
    Consumed(b"", b"empty key", []),
    Consumed(b"long", b"v" * 70_000, [(STATE_HEADER, bytes(range(256)) * 300)]),
]


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("state_header", [STATE_HEADER, None])
def test_each_way_gives_the_rows_of_the_reference(way: Any, state_header: str | None) -> None:
    def taken(put_records: Any) -> list[tuple[bytes, bytes | None]]:
        found: list[tuple[bytes, bytes | None]] = []
        put_records(
            lambda k, b: found.append((k, b)), lambda k: found.append((k, None)), RECORDS, 1, len(RECORDS), state_header
        )
        return found

    if way is not put_in_python:
        assert taken(way) == taken(put_in_python)
    rows = dict(taken(put_in_python))
    assert b"plain" not in rows
    assert rows[b"tombstone"] is None
    if state_header is not None:
        assert decode_blob(rows[b"the last state counts"] or b"") == (b"value", b"state")
        assert decode_blob(rows[b"state alone"] or b"") == (None, b"state")
        assert rows[b"tombstone, state without bytes"] is None


@pytest.mark.parametrize("way", WAYS)
def test_a_record_that_is_no_row_is_refused_and_none_of_its_write_is_stored(way: Any, tmp_path: Path) -> None:
    """A foreign record without a key ends the restore with an error, not with rows under a wrong key."""
    store = PartitionStore(tmp_path / "0", StoreOptions(1 << 20, 1 << 20, 1 << 20))
    records: list[Any] = [Consumed(b"a", b"1"), Consumed(None, b"2")]
    fill = partial(way, records=records, start=0, stop=2, state_header=STATE_HEADER)
    with pytest.raises(Exception, match=r".+"):
        store.write_with(fill, Checkpoint(1, 2))
    assert store.is_empty()
    store.close()


def restoration(path: Path, *, indexed: bool = False) -> Restoration:
    store = PartitionStore(path, StoreOptions(1 << 20, 1 << 20, 1 << 20))
    table = PartitionTable(0, 1, store, 7, JsonCodec(), None, RowCache(1, 1))
    return Restoration(table, "changelog", public=True, indexed=indexed)


def test_the_newest_record_of_a_key_stays_and_the_checkpoint_is_behind_the_last_one(tmp_path: Path) -> None:
    """Over several writes, in order; a record of the first write is deleted in a later one."""
    task = restoration(tmp_path / "0")
    count = 2 * ROWS_PER_WRITE + 3
    records: list[Any] = [Consumed(b"%d" % (n % 700), b"%d" % n, [STATE], n) for n in range(count)]
    records += [Consumed(b"3", None, None, count), Consumed(b"5", None, None, count + 1)]
    records.append(Consumed(b"5", b"again", None, count + 4))
    _write(task, records)
    store = task.table.store
    three, five, six = store.get_many([b"3", b"5", b"6"])
    assert three is None
    assert decode_blob(five or b"") == (b"again", b"")
    assert decode_blob(six or b"") == (b"706", b"state")
    assert store.checkpoint == Checkpoint(7, count + 5)
    assert task.table.next_offset == count + 5
    store.close()


def test_an_index_that_is_not_built_yet_leaves_no_checkpoint(tmp_path: Path) -> None:
    """Killed before the index is there, the next process begins again."""
    task = restoration(tmp_path / "0", indexed=True)
    task.rebuilt = True
    _write(task, [Consumed(b"a", b"1", None, 0)])
    assert task.table.store.checkpoint is None
    assert not task.table.store.is_empty()
    task.table.store.close()


def test_a_store_with_anything_in_it_is_not_empty(tmp_path: Path) -> None:
    """Rows without a checkpoint are what a restore leaves that was killed: they must go before it begins again."""
    for name, row, checkpoint in (
        ("row", StoredRow(b"a", b"1"), None),
        ("index", StoredRow(b"a", None, (), [b"due"]), None),
        ("checkpoint", None, Checkpoint(1, 1)),
    ):
        store = PartitionStore(tmp_path / name, StoreOptions(1 << 20, 1 << 20, 1 << 20))
        assert store.is_empty()
        store.write([row] if row else [], checkpoint)
        assert not store.is_empty(), name
        store.close()


class Changelog:
    """A BulkReader over records that are given."""

    def __init__(self, end: int) -> None:
        self._end = end

    def bounds(self, part: object) -> tuple[int, int]:
        return 0, self._end

    def assign(self, parts: Any, starts: object, ends: object) -> None:
        self.open = set(parts)

    def poll_bulk(self, seconds: float) -> dict[Any, list[Any]]:
        """One partition after the other."""
        part = min(self.open)
        self.open = self.open - {part}
        return {part: [Consumed(b"%d" % n, b"value", None, n) for n in range(self._end)]}


def test_rows_of_a_restore_that_was_killed_are_removed_before_it_begins_again(tmp_path: Path) -> None:
    task = restoration(tmp_path / "0")
    store = task.table.store
    store.write([StoredRow(b"deleted since", b"1")], None)
    assert recovery._prepare(Changelog(5), recovery.TopicAndPartition("changelog", 0), task) == 0  # type: ignore[arg-type]
    assert store.is_empty()
    store.close()


def test_a_new_store_is_not_opened_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    task = restoration(tmp_path / "0")
    monkeypatch.setattr(PartitionStore, "empty", lambda self: pytest.fail("opened again"))
    recovery._prepare(Changelog(5), recovery.TopicAndPartition("changelog", 0), task)  # type: ignore[arg-type]
    assert task.rebuilt
    task.table.store.close()


def test_stores_are_compacted_when_all_are_restored(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not earlier, which takes the cores from the others, and not never, which makes reads slower for ever."""
    tasks = [restoration(tmp_path / str(number)) for number in range(3)]
    for number, task in enumerate(tasks):
        task.table.partition = number
    calls: list[str] = []
    load, flush = PartitionStore.load, PartitionStore.flush

    def seen_load(store: PartitionStore, *, begin: bool) -> None:
        calls.append(f"{'begin' if begin else 'end'} {store.path.name}")
        load(store, begin=begin)

    def seen_flush(store: PartitionStore) -> None:
        calls.append(f"flush {store.path.name}")
        flush(store)

    monkeypatch.setattr(PartitionStore, "load", seen_load)
    monkeypatch.setattr(PartitionStore, "flush", seen_flush)
    assert recovery._restore(Changelog(2), tasks, threading.Event(), lambda rows, share: None) == 6  # type: ignore[arg-type]
    numbers = range(3)
    assert calls[:3] == [f"begin {n}" for n in numbers]
    assert sorted(calls[3:6]) == [f"flush {n}" for n in numbers]
    assert calls[6:] == [f"end {n}" for n in numbers]
    for task in tasks:
        assert task.table.store.get_many([b"0", b"1"]) != [None, None]
        assert task.table.store.checkpoint == Checkpoint(7, 2)
        task.table.store.close()


def test_progress_says_which_share_of_the_changelogs_is_behind(tmp_path: Path) -> None:
    tasks = [restoration(tmp_path / str(number)) for number in range(4)]
    for number, task in enumerate(tasks):
        task.table.partition = number
    seen: list[tuple[int, float]] = []
    stop, changelog = threading.Event(), Changelog(5)

    def report(rows: int, share: float) -> None:
        seen.append((rows, share))

    recovery._restore(changelog, tasks, stop, report)  # type: ignore[arg-type]
    assert seen == [(0, 0.0), (5, 0.25), (10, 0.5), (15, 0.75), (20, 1.0)]
    seen.clear()
    recovery._restore(changelog, tasks, stop, report)  # type: ignore[arg-type]
    assert seen == [(0, 1.0)], "there was nothing to read"
    for task in tasks:
        task.table.store.close()


def options_of(store: PartitionStore) -> dict[str, str]:
    """What RocksDB says of itself: the options of the rows in the newest of its files of options."""
    newest = max(store.path.glob("OPTIONS-*"), key=lambda path: int(path.name.removeprefix("OPTIONS-")))
    rows = newest.read_text().split('[CFOptions "default"]')[1].split("[TableOptions")[0]
    return dict(line.strip().split("=", 1) for line in rows.splitlines() if "=" in line)


def test_after_a_load_a_store_has_the_options_that_it_was_opened_with(tmp_path: Path) -> None:
    store = PartitionStore(tmp_path / "0", StoreOptions(1 << 20, 1 << 20, 1 << 20))
    opened = options_of(store)
    assert opened["disable_auto_compactions"] == "false"
    store.load(begin=True)
    assert options_of(store)["disable_auto_compactions"] == "true"
    store.load(begin=False)
    assert options_of(store) == opened
    store.close()
