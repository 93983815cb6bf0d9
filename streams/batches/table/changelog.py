"""The changelog of a table: rows are published first and then stored, so that a crash at any point is harmless."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Generic, TypeVar

from streams.batches.core import killpoints
from streams.batches.core.errors import NotDelivered
from streams.batches.core.metrics import Metrics
from streams.batches.core.producer import Producer
from streams.batches.table.folding import EncodedRow
from streams.batches.table.partition_table import PartitionTable
from streams.batches.table.rows import decode_blob, encode_blob
from streams.batches.table.store import StoredBlob

STATE_HEADER = "row-state"
"""Header of a public changelog's records that carries the hidden state."""


def blob_of(value: bytes | None, headers: Iterable[tuple[str, Any]] | None, *, public: bool) -> bytes | None:
    """Return a changelog record as the store keeps it; None deletes the row.

    A public tombstone with hidden state is a row for as long as the topic keeps tombstones. A header without a value is
    no state: reading such a row raises DamagedRow, restoring it does not.
    """
    if not public:
        return value
    hidden = b""
    for name, content in headers or ():
        if name == STATE_HEADER:
            hidden = content or b""
    if value is None and not hidden:
        return None
    return encode_blob(value, hidden)


def put_in_python(
    put: Callable[[bytes, bytes], None],
    delete: Callable[[bytes], None],
    records: Sequence[Any],
    start: int,
    stop: int,
    state_header: str | None,
) -> None:
    """Put or delete the rows of consumed `records[start:stop]`, in order; `state_header` None: of a private changelog.

    `put_records` where nothing could be compiled.
    """
    for number in range(start, stop):
        record = records[number]
        blob = blob_of(record.value(), record.headers(), public=True) if state_header else record.value()
        if blob is None:
            delete(record.key())
        else:
            put(record.key(), blob)


put_records = put_in_python
with contextlib.suppress(ImportError):  # there was no C compiler
    from streams.batches.table.native_restore import put_records as compiled

    put_records = compiled

T = TypeVar("T")

MAX_ROWS_IN_FLIGHT = 5000
"""Of one partition: each is encoded in the producer's queue and in the store's write until it is acknowledged. With
fewer the wait for the broker shows, with all of a batch the memory does (150 MB at 20,000)."""


class RowWriter(Generic[T]):
    """Publishes and stores the rows of one table; each row is complete in itself, so many rows go in several pieces."""

    def __init__(
        self,
        producer: Producer,
        metrics: Metrics,
        table: str,
        changelog: str,
        *,
        public: bool,
        headers: Sequence[tuple[str, bytes]],
    ) -> None:
        self._producer = producer
        self._metrics = metrics
        self._table = table
        self._changelog = changelog
        self._public = public
        self._headers = headers

    async def write(self, partition_table: PartitionTable[T], encoded: Sequence[EncodedRow[T]]) -> None:
        """Publish rows, wait for the acknowledgement, store them, cache them. Raises NotDelivered, Revoked.

        What was written before an error stays written: its rows hold the offsets, and the replay skips their records.
        """
        at = 0
        while at < len(encoded):
            stop = at + even_piece(len(encoded) - at, MAX_ROWS_IN_FLIGHT)
            await self._write_piece(partition_table, encoded[at:stop])
            at = stop

    def record_of(
        self, key: bytes, blob: bytes, mark: tuple[str, bytes]
    ) -> tuple[bytes, bytes | None, Sequence[tuple[str, bytes]]]:
        """Return the record of a row as the store keeps it, with one header more."""
        if not self._public:
            return key, blob, [mark]
        value, hidden = decode_blob(blob)
        return key, value, [(STATE_HEADER, hidden), *self._headers, mark]

    async def write_blobs(self, partition_table: PartitionTable[T], blobs: Sequence[StoredBlob]) -> None:
        """The same, rows as the store keeps them, whose index entries stay as they are; they are not cached.

        Of a private changelog only.
        """
        at = 0
        while at < len(blobs):
            stop = at + even_piece(len(blobs) - at, MAX_ROWS_IN_FLIGHT)
            part = blobs[at:stop]
            began = time.monotonic()
            last = await self._publish(partition_table, part)
            published = time.monotonic()
            await partition_table.save_blobs(part, last)
            self._stored(len(part), began, published)
            at = stop

    async def _write_piece(self, partition_table: PartitionTable[T], encoded: Sequence[EncodedRow[T]]) -> None:
        # Once for both: it copies the row.
        blobs = None if self._public else [(row.key, encode_blob(value, hidden)) for row, value, hidden in encoded]
        began = time.monotonic()
        last = await self._publish(partition_table, blobs, encoded)
        published = time.monotonic()
        await partition_table.save(encoded, last, blobs)
        self._stored(len(encoded), began, published)
        partition_table.keep(row.row for row in encoded)

    def _stored(self, rows: int, began: float, published: float) -> None:
        killpoints.reached("after-store")
        count, table = self._metrics.count, self._table
        count("cm_streams_batches_rows_written_total", rows, table=table)
        count("cm_streams_batches_changelog_seconds_total", published - began, table=table)
        count("cm_streams_batches_store_seconds_total", time.monotonic() - published, table=table)

    async def _publish(
        self,
        partition_table: PartitionTable[T],
        blobs: Sequence[StoredBlob] | None,
        encoded: Sequence[EncodedRow[T]] = (),
    ) -> int:
        """Publish rows, as blobs or, where the changelog is public, in parts; the last one's offset."""
        partition_table.check()
        killpoints.reached("before-changelog")
        changelog, partition = self._changelog, partition_table.partition
        next_offset = None if partition_table.outcome_unknown else partition_table.next_offset
        try:
            if blobs is None:
                rows = [(row.key, value, [(STATE_HEADER, hidden), *self._headers]) for row, value, hidden in encoded]
                last = await self._producer.publish_rows(changelog, partition, rows, next_offset=next_offset)
            else:
                last = await self._producer.publish_block(
                    changelog, partition, blobs, next_offset=next_offset, are_rows=True
                )
        except NotDelivered:
            partition_table.outcome_unknown = True
            raise
        partition_table.outcome_unknown = False
        killpoints.reached("after-changelog")
        partition_table.check()
        return last


def even_piece(left: int, max_size: int) -> int:
    """Return the next piece's size when `left` are cut into the fewest pieces of `max_size`, as equal as possible."""
    pieces = -(-left // max_size)
    return -(-left // pieces) if pieces else 0
