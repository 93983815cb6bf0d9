"""Rows made durable: the changelog first, then the local store, so that a crash at any point is harmless."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Generic, TypeVar

from connectors.kafka.records import Headers

from . import killpoints
from .changelog import STATE_HEADER
from .errors import NotDelivered
from .folding import ReadyRow
from .holding import Holding
from .metrics import Metrics
from .producer import Producer
from .rows import encode_blob

T = TypeVar("T")

PIECE = 5000
"""Rows in flight for one partition: each stands encoded in the producer's queue and in the store's write until it is
acknowledged. Fewer and the wait for the broker shows; all of a batch's and the memory does (150 MB at 20,000)."""


class RowWriter(Generic[T]):
    """Writes the rows of one table; each row is complete in itself, so a long run goes in pieces."""

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

    async def write(self, holding: Holding[T], ready: Sequence[ReadyRow[T]]) -> None:
        """Acknowledged by the changelog, then stored, then cached. What was written before an error stays written: its
        rows remember the offsets, and the replay skips them. Raises NotDelivered, Revoked."""
        at = 0
        while at < len(ready):
            stop = at + even_piece(len(ready) - at, PIECE)
            await self._write_piece(holding, ready[at:stop])
            at = stop

    async def _write_piece(self, holding: Holding[T], ready: Sequence[ReadyRow[T]]) -> None:
        holding.check()
        killpoints.reached("before-changelog")
        last = await self._publish(holding, ready)
        killpoints.reached("after-changelog")
        holding.check()
        await holding.save(ready, last)
        killpoints.reached("after-store")
        holding.keep(each.row for each in ready)
        self._metrics.count("batches_rows_written_total", len(ready), table=self._table)

    async def _publish(self, holding: Holding[T], ready: Sequence[ReadyRow[T]]) -> int:
        rows: list[tuple[bytes, bytes | None, Headers | None]]
        if self._public:
            rows = [(row.key, value, [(STATE_HEADER, hidden), *self._headers]) for row, value, hidden in ready]
        else:
            rows = [(row.key, encode_blob(value, hidden), None) for row, value, hidden in ready]
        try:
            last = await self._producer.publish_rows(
                self._changelog,
                holding.partition,
                rows,
                next_offset=None if holding.uncertain else holding.next_offset,
            )
        except NotDelivered:
            holding.uncertain = True
            raise
        holding.uncertain = False
        return last


def even_piece(left: int, most: int) -> int:
    """Size of the next piece when `left` are cut into as few and as equal pieces of at most `most` as possible."""
    pieces = -(-left // most)
    return -(-left // pieces) if pieces else 0
