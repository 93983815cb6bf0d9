"""Grouping a batch by key and folding each key's new records, so that one bad record costs only itself. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Generic, NamedTuple, TypeVar

from streams.batches.core.batch import Batch, DeadLetter, Output, Record
from streams.batches.core.errors import BatchError, OutputTooLarge, PoisonRecord, RowTooLarge
from streams.batches.table.rows import Codec, Row, encode_hidden

T = TypeVar("T")
Fold = Callable[[Row[T], Sequence[Record]], Iterable[Output] | None]

OUTPUT_OVERHEAD = 128
"""Of a record on its way, and 10 bytes for each header: the client counts them towards its limit, and counts less."""


class SizeLimits(NamedTuple):
    """What the changelog takes of a row, and any topic of an output."""

    row_bytes: int
    output_bytes: int


class EncodedRow(NamedTuple, Generic[T]):
    """A row with the bytes to write."""

    row: Row[T]
    value: bytes | None
    hidden: bytes


class FoldedBatch(Generic[T]):
    """The result of folding one batch, or a part of it."""

    def __init__(self) -> None:
        self.encoded: list[EncodedRow[T]] = []
        self.unchanged: list[Row[T]] = []
        self.outputs: list[Output] = []
        self.refused: list[DeadLetter] = []
        self.already_folded = 0


def group_by_key(batch: Batch) -> tuple[dict[bytes, list[Record]], list[DeadLetter]]:
    """Group records by key, in offset order; those without a key belong to no row and are refused."""
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


def is_in_place(batch: Batch, row: Row[T], records: Iterable[Record]) -> bool:
    """Whether the key belongs to the batch's partition; if not, its records are moved there.

    A row that exists was checked when it was created.
    """
    if row.exists or batch.holds(row.key):
        return True
    for record in records:
        batch.move(record, row.key)
    return False


def fold_keys(
    batch: Batch,
    groups: Iterable[tuple[bytes, Sequence[Record]]],
    rows: Mapping[bytes, Row[T]],
    fold: Fold[T],
    codec: Codec[T],
    limits: SizeLimits,
    fresh_row: Callable[[bytes], Row[T]],
    into: FoldedBatch[T],
) -> None:
    """Fold each group into its row.

    A group whose fold raises is folded again record by record, and only the records that raise are refused. Errors that
    are not about records (TransientError, Revoked, FatalError) leave the call.
    """
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
        row.advance(source, last)  # all records of this key up to the batch's last are handled now
        try:
            outputs = list(fold(row, records) or ())
            check_outputs(outputs, limits.output_bytes)
            encoded = encode_row(row, codec, limits.row_bytes)
        except PoisonRecord:
            pass
        except BatchError:
            raise
        except Exception:  # noqa: S110 - repeated below, record by record
            pass
        else:
            into.encoded.append(encoded)
            into.outputs += outputs
            continue
        _fold_one_by_one(batch, records, fresh_row(key), fold, codec, limits, into)


def _fold_one_by_one(
    batch: Batch,
    records: Sequence[Record],
    stored: Row[T],
    fold: Fold[T],
    codec: Codec[T],
    limits: SizeLimits,
    into: FoldedBatch[T],
) -> None:
    """Fold each record on a copy of the row as it was before: a fold that raises half way leaves no trace."""
    key, good = stored.key, None
    value, state = codec.encode(stored.data) if stored.exists else (None, b"")
    stored.advance(batch.source, batch.last)
    for record in records:
        row = Row(key, codec.decode(key, value, state), stored.positions, exists=stored.exists)
        row.index = stored.index
        try:
            outputs = list(fold(row, [record]) or ())
            check_outputs(outputs, limits.output_bytes)
            encoded = encode_row(row, codec, limits.row_bytes)
            value, state = codec.encode(row.data)
        except PoisonRecord as error:
            into.refused.append(DeadLetter(batch.topic, batch.partition, record, error.stage, error.reason))
        except BatchError:
            raise
        except Exception as error:
            reason = f"{type(error).__name__}: {error}"
            stage = "output-size" if isinstance(error, OutputTooLarge) else "fold"
            into.refused.append(DeadLetter(batch.topic, batch.partition, record, stage, reason))
        else:
            good = encoded
            into.outputs += outputs
    if good is not None:
        into.encoded.append(good)


def check_outputs(outputs: Iterable[Output], max_bytes: int) -> None:
    """Raise OutputTooLarge for the first record that its topic would not take."""
    for output in outputs:
        size = OUTPUT_OVERHEAD + len(output.key or b"") + len(output.value or b"")
        if output.headers:
            size += sum(10 + len(name) + len(content or b"") for name, content in output.headers)
        if size > max_bytes:
            raise OutputTooLarge(output.topic, size, max_bytes)


def encode_row(row: Row[T], codec: Codec[T], max_row_bytes: int) -> EncodedRow[T]:
    """Encode a row; RowTooLarge when it would not fit into a record (a broker's refusal comes too late)."""
    value, state = codec.encode(row.data)
    hidden = encode_hidden(row.positions, state)
    size = len(row.key) + len(hidden) + (len(value) if value is not None else 0)
    if size > max_row_bytes:
        raise RowTooLarge(size, max_row_bytes)
    row.size = size
    return EncodedRow(row, value, hidden)
