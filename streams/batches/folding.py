"""Grouping a batch by key and folding each key's new records, so that one bad record costs only itself. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Generic, NamedTuple, TypeVar

from .batch import Batch, DeadLetter, Output, Record
from .errors import BatchError, PoisonRecord, RowTooLarge
from .rows import Codec, Row, encode_hidden

T = TypeVar("T")
Fold = Callable[[Row[T], Sequence[Record]], Iterable[Output] | None]


class ReadyRow(NamedTuple, Generic[T]):
    """A row with the bytes that will be written."""

    row: Row[T]
    value: bytes | None
    hidden: bytes


class Folded(Generic[T]):
    """What a batch came to."""

    def __init__(self) -> None:
        self.ready: list[ReadyRow[T]] = []
        self.unchanged: list[Row[T]] = []
        self.outputs: list[Output] = []
        self.refused: list[DeadLetter] = []
        self.already_folded = 0


def group_by_key(batch: Batch) -> tuple[dict[bytes, list[Record]], list[DeadLetter]]:
    """Records by key, in offset order; records without a key cannot belong to a row."""
    groups: dict[bytes, list[Record]] = {}
    refused: list[DeadLetter] = []
    find = groups.get
    for record in batch.records:
        key = record.key
        if key is None:
            refused.append(DeadLetter(batch.topic, batch.partition, record, "key", "the record has no key"))
            continue
        group = find(key)
        if group is None:
            groups[key] = [record]
        else:
            group.append(record)
    return groups, refused


def fold_keys(
    batch: Batch,
    groups: Iterable[tuple[bytes, Sequence[Record]]],
    rows: Mapping[bytes, Row[T]],
    fold: Fold[T],
    codec: Codec[T],
    max_row_bytes: int,
    fresh_row: Callable[[bytes], Row[T]],
    into: Folded[T],
) -> None:
    """Fold each group into its row. What raises is told apart record by record; verdicts about the world outside
    (TransientError, Revoked, FatalError) pass."""
    source, first, last = batch.source, batch.first, batch.last
    for key, records in groups:
        row = rows[key]
        position = row.position(source)
        if position >= first:
            fresh = [record for record in records if record.offset > position]
            into.already_folded += len(records) - len(fresh)
            if not fresh:
                into.unchanged.append(row)
                continue
            records = fresh
        row.advance(source, last)  # all records of this key up to the batch's last are judged now
        try:
            outputs = fold(row, records)
            ready = seal(row, codec, max_row_bytes)
        except PoisonRecord:
            pass
        except BatchError:
            raise
        except Exception:  # noqa: S110 - judged below, record by record
            pass
        else:
            into.ready.append(ready)
            if outputs:
                into.outputs += outputs
            continue
        _fold_one_by_one(batch, records, fresh_row(key), fold, codec, max_row_bytes, into)


def _fold_one_by_one(
    batch: Batch,
    records: Sequence[Record],
    stored: Row[T],
    fold: Fold[T],
    codec: Codec[T],
    max_row_bytes: int,
    into: Folded[T],
) -> None:
    """Each record on a copy of what the ones before it left, so that a fold that raises half way leaves no trace."""
    key, good = stored.key, None
    value, state = codec.encode(stored.data) if stored.exists else (None, b"")
    stored.advance(batch.source, batch.last)
    for record in records:
        row = Row(key, codec.decode(key, value, state), stored.positions, exists=stored.exists)
        row.index = stored.index
        try:
            outputs = list(fold(row, [record]) or ())
            ready = seal(row, codec, max_row_bytes)
            value, state = codec.encode(row.data)
        except PoisonRecord as error:
            into.refused.append(DeadLetter(batch.topic, batch.partition, record, error.stage, error.reason))
        except BatchError:
            raise
        except Exception as error:
            reason = f"{type(error).__name__}: {error}"
            into.refused.append(DeadLetter(batch.topic, batch.partition, record, "fold", reason))
        else:
            good = ready
            into.outputs += outputs
    if good is not None:
        into.ready.append(good)


def seal(row: Row[T], codec: Codec[T], max_row_bytes: int) -> ReadyRow[T]:
    """Encode a row; RowTooLarge when it would not fit into a record (a broker's refusal comes too late)."""
    value, state = codec.encode(row.data)
    hidden = encode_hidden(row.positions, state)
    size = len(row.key) + len(hidden) + (len(value) if value is not None else 0)
    if size > max_row_bytes:
        raise RowTooLarge(size, max_row_bytes)
    row.size = size
    return ReadyRow(row, value, hidden)
