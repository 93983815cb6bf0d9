"""Rows survive the way into bytes and back; positions belong to one incarnation of a topic."""

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.batches import JsonCodec, Row, Source
from streams.batches.rows import decode_blob, decode_hidden, encode_blob, encode_hidden, topic_hash

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
    old, new, other = Source("t", 1), Source("t", 2), Source("u", 1)
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
