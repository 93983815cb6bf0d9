"""The profiles' table without a store or a broker, for tests of the agent."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from streams.batches import Batch, EncodedRow, Output, Row, decode_hidden, encode_row
from streams.profile.folding.row import Profile

LIMIT = 100_000


class KilledError(Exception):
    """The process ends here."""


class InMemoryProfileTable:
    """What the agent uses of a `BatchTable`, with rows as bytes: they outlive the process, objects do not.

    `killed_after` raises KilledError behind that number of writes, as if the process had ended there; `limit` is the
    size of a row above which encoding raises RowTooLarge; `keeps` is the cache's answer to `will_cache`.
    """

    def __init__(self, codec: Any, killed_after: int = 0, *, limit: int = LIMIT, keeps: bool = False) -> None:
        self.rows: dict[bytes, tuple[bytes | None, bytes]] = {}
        self.outputs: list[Output] = []
        self.reads = 0
        self._codec = codec
        self._writes_left = killed_after
        self._limit, self._keeps = limit, keeps

    async def read(self, _partition: int, keys: Iterable[bytes]) -> dict[bytes, Row[Profile]]:
        self.reads += 1
        return {key: self._row(key) for key in keys}

    def _row(self, key: bytes) -> Row[Profile]:
        value, hidden = self.rows.get(key, (None, b""))
        positions, state = decode_hidden(hidden)
        return Row(key, self._codec.decode(key, value, state), positions, exists=key in self.rows)

    def will_cache(self, _partition: int) -> Callable[[bytes], bool]:
        return lambda key: self._keeps

    def encode(self, batch: Batch, row: Row[Profile]) -> EncodedRow[Profile]:
        row.advance(batch.source, batch.last)
        return encode_row(row, self._codec, self._limit)

    async def write_encoded(
        self, _batch: Batch, ready: Iterable[EncodedRow[Profile]], outputs: Sequence[Output] = ()
    ) -> None:
        self.outputs += outputs
        for encoded in ready:
            self.rows[encoded.row.key] = (encoded.value, encoded.hidden)
        self._writes_left -= 1
        if not self._writes_left:
            raise KilledError

    async def write(self, batch: Batch, rows: Iterable[Row[Profile]], outputs: Sequence[Output] = ()) -> None:
        await self.write_encoded(batch, [self.encode(batch, row) for row in rows], outputs)

    def events(self) -> dict[str, dict[str, int]]:
        return {
            key.decode(): json.loads(value).get("cm_email_event") or json.loads(value)["events"]
            for key, (value, _) in self.rows.items()
            if value
        }
