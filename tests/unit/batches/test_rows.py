"""Rows, positions, event ids and keys: what is encoded comes back, and placed as Kafka's clients place it."""

from __future__ import annotations

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.batches import JsonCodec, RecentIds, Row, TopicIncarnation
from streams.batches.core.batch import partition_in_python, partition_of
from streams.batches.table.rows import decode_blob, decode_hidden, encode_blob, encode_hidden, topic_hash

u32 = st.integers(0, 2**32 - 1)
positions = st.dictionaries(u32, st.tuples(u32, st.integers(0, 2**63)), max_size=5)


@given(positions, st.binary(max_size=50))
def test_hidden_state_comes_back(found: dict[int, tuple[int, int]], state: bytes) -> None:
    assert decode_hidden(encode_hidden(found, state)) == (found, state)


@given(st.none() | st.binary(max_size=50), st.binary(max_size=50))
def test_a_tombstone_is_not_an_empty_value(value: bytes | None, hidden: bytes) -> None:
    assert decode_blob(encode_blob(value, hidden)) == (value, hidden)


def test_hidden_state_of_another_layout_is_refused() -> None:
    raw = encode_hidden({1: (2, 3)}, b"")
    with pytest.raises(ValueError, match="layout 9"):
        decode_hidden(b"\x09" + raw[1:])


def test_a_row_without_hidden_state_reads_as_never_folded() -> None:
    assert decode_hidden(b"") == ({}, b"")


def test_position_counts_only_for_the_same_incarnation() -> None:
    row: Row[dict[str, object]] = Row(b"k", {}, {}, exists=False)
    old, new, other = TopicIncarnation("t", 1), TopicIncarnation("t", 2), TopicIncarnation("u", 1)
    assert row.position(old) == -1
    row.advance(old, 41)
    assert row.position(old) == 41
    assert row.position(new) == -1
    assert row.position(other) == -1
    row.advance(new, 3)
    assert (row.position(new), row.position(old)) == (3, -1)
    assert list(row.positions) == [topic_hash("t")], "the older incarnation is replaced, not kept beside"


def test_a_json_value_does_not_hold_its_encoder_s_buffer(monkeypatch: pytest.MonkeyPatch) -> None:
    buffered = orjson.dumps({"a": 1})
    monkeypatch.setattr(orjson, "dumps", lambda data: buffered)
    value, _ = JsonCodec().encode({"a": 1})
    assert value == buffered
    assert value is not buffered, "orjson's bytes keep 8 to 16 KB of memory for 1 KB"


def test_json_codec() -> None:
    codec = JsonCodec()
    assert codec.decode(b"k", None, b"") == {}
    assert codec.encode({}) == (None, b"")
    assert codec.decode(b"k", codec.encode({"a": 1})[0], b"") == {"a": 1}


DAY = 86_400


def test_a_repeated_id_is_recognised_after_a_round_trip() -> None:
    ids = RecentIds()
    assert ids.add("event-1", 1_700_000_000)
    ids = RecentIds(ids.encode())
    assert not ids.add("event-1", 1_700_000_000 + 7 * DAY)
    assert "event-1" in ids
    assert b"event-1" in ids


def test_ids_older_than_the_window_are_not_written() -> None:
    ids = RecentIds(window_seconds=8 * DAY)
    ids.add("old", 1_700_000_000)
    ids.add("new", 1_700_000_000 + 8 * DAY + 1)
    assert len(RecentIds(ids.encode())) == 1
    assert ids.forgotten_early == 0


def test_what_the_cap_pushes_out_inside_the_window_is_counted() -> None:
    ids = RecentIds(cap=10)
    for number in range(15):
        assert ids.add(str(number), 1_700_000_000 + number)
    assert len(ids) == 10
    assert ids.forgotten_early == 5
    assert "14" in ids
    assert "0" not in ids


def test_expired_ids_make_room_without_being_counted_as_early() -> None:
    ids = RecentIds(cap=5, window_seconds=10)
    for number in range(50):
        ids.add(str(number), 1_700_000_000 + number * 5)
    assert ids.forgotten_early == 0


def test_times_out_of_range_do_not_break_the_encoding() -> None:
    ids = RecentIds()
    ids.add("before", -5)
    ids.add("after", 10**12)
    assert len(RecentIds(ids.encode())) >= 1


@given(st.lists(st.tuples(st.text(max_size=4), st.integers(0, 8 * DAY)), max_size=60), st.integers(1, 10))
def test_inside_window_and_cap_it_is_a_set(events: list[tuple[str, int]], every: int) -> None:
    seen: set[str] = set()
    ids = RecentIds()
    for number, (name, at) in enumerate(events):
        assert ids.add(name, at) == (name not in seen)
        seen.add(name)
        if number % every == 0:
            ids = RecentIds(ids.encode())


@given(st.binary(max_size=80), st.integers(1, 1000))
def test_any_key_has_the_same_place(key: bytes, partitions: int) -> None:
    assert partition_of(key, partitions) == partition_in_python(key, partitions)


def test_a_topic_has_partitions() -> None:
    with pytest.raises(ZeroDivisionError):
        partition_of(b"k", 0)


def test_the_compiled_partitioner_is_used_where_it_can_be():
    """In Python it costs five microseconds for each new key, a quarter of all that an event costs."""
    compiled = pytest.importorskip("streams.batches.core.murmur2")
    assert partition_of is compiled.partition_of
