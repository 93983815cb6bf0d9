"""Folding a batch: replays are skipped, one bad record costs only itself, any cut gives the same rows."""

from collections.abc import Iterable, Sequence

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.batches import (
    Batch,
    JsonCodec,
    Output,
    PoisonRecord,
    Record,
    Row,
    StoredRecord,
    TopicIncarnation,
    TransientError,
)
from streams.batches.table.changelog import even_piece
from streams.batches.table.folding import FoldedBatch, SizeLimits, fold_keys, group_by_key
from streams.batches.table.rows import decode_hidden, encode_hidden

SOURCE = TopicIncarnation("t", 7)
CODEC = JsonCodec()
Data = dict[str, object]
LIMIT = 1000
OUTPUT_LIMIT = 3000


class Store:
    """A store of encoded rows."""

    def __init__(self) -> None:
        self.rows: dict[bytes, tuple[bytes | None, bytes]] = {}

    def row(self, key: bytes) -> Row[Data]:
        if key not in self.rows:
            return Row(key, CODEC.decode(key, None, b""), {}, exists=False)
        value, hidden = self.rows[key]
        positions, state = decode_hidden(hidden)
        return Row(key, CODEC.decode(key, value, state), positions, exists=True)

    def apply(self, batch: Batch, fold, limit: int = LIMIT) -> FoldedBatch[Data]:
        groups, keyless = group_by_key(batch)
        folded: FoldedBatch[Data] = FoldedBatch()
        rows = {key: self.row(key) for key in groups}
        fold_keys(batch, groups.items(), rows, fold, CODEC, SizeLimits(limit, OUTPUT_LIMIT), self.row, folded)
        folded.refused += keyless
        for row, value, hidden in folded.encoded:
            self.rows[row.key] = (value, hidden)
        return folded

    def public(self) -> dict[bytes, object]:
        return {key: orjson.loads(value) for key, (value, _) in self.rows.items() if value is not None}


def record(offset: int, key: bytes | None, value: bytes = b"1") -> StoredRecord:
    return StoredRecord(offset, key, value)


def add(row: Row[Data], records: Sequence[Record]) -> Iterable[Output] | None:
    """Sums values; order matters (it keeps the sequence); b"bad" raises after it has changed the row."""
    for record in records:
        row.data["n"] = int(row.data.get("n", 0)) + 1
        row.data["seen"] = [*row.data.get("seen", []), record.offset]
        if record.value == b"bad":
            raise ValueError("cannot parse")
        if record.value == b"poison":
            raise PoisonRecord("never", stage="domain")
        if record.value == b"big":
            row.data["blob"] = "x" * 2000
    return None


def test_records_of_a_key_are_folded_in_order_and_written_once() -> None:
    store = Store()
    folded = store.apply(Batch(SOURCE, 0, [record(0, b"a"), record(1, b"b"), record(2, b"a")]), add)
    assert store.public() == {b"a": {"n": 2, "seen": [0, 2]}, b"b": {"n": 1, "seen": [1]}}
    assert len(folded.encoded) == 2
    assert store.row(b"a").position(SOURCE) == 2


def test_a_replay_changes_nothing_and_is_counted() -> None:
    store = Store()
    batch = Batch(SOURCE, 0, [record(0, b"a"), record(1, b"a")])
    store.apply(batch, add)
    again = store.apply(batch, add)
    assert store.public()[b"a"] == {"n": 2, "seen": [0, 1]}
    assert again.already_folded == 2
    assert again.encoded == []
    assert [row.key for row in again.unchanged] == [b"a"]


def test_a_partly_replayed_group_folds_only_the_new_records() -> None:
    store = Store()
    store.apply(Batch(SOURCE, 0, [record(0, b"a"), record(1, b"a")]), add)
    store.apply(Batch(SOURCE, 0, [record(1, b"a"), record(2, b"a")]), add)
    assert store.public()[b"a"]["seen"] == [0, 1, 2]


@pytest.mark.parametrize(("value", "stage"), [(b"bad", "fold"), (b"poison", "domain"), (b"big", "row-size")])
def test_a_bad_record_costs_only_itself(value: bytes, stage: str) -> None:
    store = Store()
    records = [record(0, b"a"), record(1, b"a", value), record(2, b"a"), record(3, b"b")]
    folded = store.apply(Batch(SOURCE, 0, records), add)
    assert [(letter.record.offset, letter.stage) for letter in folded.refused] == [(1, stage)]
    assert store.public()[b"a"] == {"n": 2, "seen": [0, 2]}, "no trace of the half-done fold"
    assert store.public()[b"b"] == {"n": 1, "seen": [3]}


def test_a_key_with_nothing_but_bad_records_is_not_written() -> None:
    store = Store()
    folded = store.apply(Batch(SOURCE, 0, [record(0, b"a", b"bad"), record(1, b"a", b"bad")]), add)
    assert len(folded.refused) == 2
    assert store.rows == {}


def test_outputs_of_a_fold_that_raised_are_not_sent() -> None:
    def emit(row: Row[Data], records: Sequence[Record]) -> list[Output]:
        add(row, records)
        return [Output("out", row.key, record.value) for record in records]

    folded = Store().apply(Batch(SOURCE, 0, [record(0, b"a"), record(1, b"a", b"bad"), record(2, b"a")]), emit)
    assert [output.value for output in folded.outputs] == [b"1", b"1"]


def test_an_output_that_the_producer_does_not_take_costs_only_its_record() -> None:
    def emit(row: Row[Data], records: Sequence[Record]) -> list[Output]:
        add(row, records)
        return [Output("out", row.key, record.value * 2000) for record in records]

    records = [record(0, b"a"), record(1, b"a", b"22"), record(2, b"a"), record(3, b"b")]
    folded = Store().apply(Batch(SOURCE, 0, records), emit)
    assert [(letter.record.offset, letter.stage) for letter in folded.refused] == [(1, "output-size")]
    assert [output.value for output in folded.outputs] == [b"1" * 2000] * 3
    assert "limit of 3000 bytes" in folded.refused[0].reason


def test_records_without_a_key_are_refused() -> None:
    folded = Store().apply(Batch(SOURCE, 0, [record(0, None), record(1, b"a")]), add)
    assert [(letter.record.offset, letter.stage) for letter in folded.refused] == [(0, "key")]


def test_an_error_that_is_not_about_records_is_raised() -> None:
    def fold(row: Row[Data], records: Sequence[Record]) -> None:
        raise TransientError("down")

    with pytest.raises(TransientError):
        Store().apply(Batch(SOURCE, 0, [record(0, b"a")]), fold)


def test_c4_positions_of_another_source_stay() -> None:
    store = Store()
    other = TopicIncarnation("u", 1)
    store.rows[b"a"] = (b"{}", encode_hidden({**_positions(other, 9)}, b""))
    store.apply(Batch(SOURCE, 0, [record(5, b"a")]), add)
    assert (store.row(b"a").position(other), store.row(b"a").position(SOURCE)) == (9, 5)


def _positions(source: TopicIncarnation, offset: int) -> dict[int, tuple[int, int]]:
    row: Row[Data] = Row(b"", {}, {}, exists=False)
    row.advance(source, offset)
    return row.positions


events = st.lists(
    st.tuples(st.sampled_from([b"a", b"b", b"c"]), st.sampled_from([b"1", b"1", b"1", b"bad"])), max_size=40
)


@given(events, st.data())
def test_any_cut_and_any_replay_gives_the_same_rows(log: list[tuple[bytes, bytes]], data: st.DataObject) -> None:
    records = [record(offset, key, value) for offset, (key, value) in enumerate(log)]
    expected: dict[bytes, object] = {}
    for key in {key for key, _ in log}:
        good = [r.offset for r in records if r.key == key and r.value != b"bad"]
        if good:
            expected[key] = {"n": len(good), "seen": good}
    store = Store()
    at = 0
    while at < len(records):
        back = data.draw(st.integers(0, at), label="replayed from")
        end = data.draw(st.integers(at + 1, len(records)), label="up to")
        store.apply(Batch(SOURCE, 0, records[back:end]), add)
        at = end
    assert store.public() == expected


def test_pieces_are_few_and_even() -> None:
    for total in (0, 1, 4999, 5000, 5001, 20_000, 20_001):
        left, sizes = total, []
        while left:
            sizes.append(even_piece(left, 5000))
            left -= sizes[-1]
        assert sum(sizes) == total
        assert len(sizes) == -(-total // 5000)
        assert not sizes or max(sizes) - min(sizes) <= 1
