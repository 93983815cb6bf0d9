"""A row: the value that everyone may read, and the hidden state that makes replays harmless.

`RecentIds` are the ids of the events that a row has counted in the last days: a webhook may repeat an event that long.
"""

from __future__ import annotations

import hashlib
import struct
import zlib
from functools import lru_cache
from typing import Generic, Protocol, TypeVar, cast

import orjson

from streams.batches.core.batch import TopicIncarnation

T = TypeVar("T")

_HEAD = struct.Struct(">BH")  # layout version, number of positions
_POSITION = struct.Struct(">IIQ")  # topic name, topic id, offset
_ONE_POSITION = struct.Struct(">BHIIQ")  # both
_BLOB = struct.Struct(">BI")  # 1 when a public value follows, length of the hidden part
_LAYOUT = 1

Positions = dict[int, tuple[int, int]]
"""Hash of the topic's name -> (topic id, offset of the last record that is folded in)."""


class Codec(Protocol[T]):
    """Converts bytes to the object that folds work on, and back. Pure: called at any time, in any thread."""

    def decode(self, key: bytes, value: bytes | None, state: bytes) -> T:
        """Return the object of a row; an absent row comes as (key, None, b"")."""
        ...

    def encode(self, data: T) -> tuple[bytes | None, bytes]:
        """Return (public value, or None for a tombstone; hidden state).

        Thousands of values wait for the broker at a time: none may hold a larger buffer than its own (orjson's does).
        """
        ...


class JsonCodec:
    """Rows that are a dict, public as JSON; an empty dict is an absent row. No hidden state of its own."""

    def decode(self, key: bytes, value: bytes | None, state: bytes) -> dict[str, object]:
        """Parse the value; a new dict for an absent row."""
        return orjson.loads(value) if value else {}

    def encode(self, data: dict[str, object]) -> tuple[bytes | None, bytes]:
        """Return JSON, or a tombstone for an empty dict."""
        # A copy, because orjson returns its whole work buffer, 8 to 16 KB for 1 KB of JSON.
        return (bytes(memoryview(orjson.dumps(data))) if data else None), b""


class Row(Generic[T]):
    """One key of a table while its owner works on it.

    Change `data` in place or replace it, then write the row. The cache holds the same object, so a row belongs to the
    attempt that read it: when the attempt fails its rows are dropped and read again. Never keep a row for later.
    """

    __slots__ = ("data", "data_dropped", "exists", "index", "key", "positions", "size")

    def __init__(self, key: bytes, data: T, positions: Positions, *, exists: bool, size: int = 0) -> None:
        self.key = key
        self.data = data
        self.positions = positions
        self.exists = exists
        """False for a key that the store does not hold; True for a tombstone."""
        self.index: frozenset[bytes] = frozenset()
        """Index keys that the store holds for this row."""
        self.size = size
        """Encoded bytes when it was last read or written."""
        self.data_dropped = False
        """See `drop_data`."""

    def drop_data(self) -> None:
        """Free the data of an encoded row while it is still in the processor's cache; the row will not be cached, and
        its index entries stay as they are.

        A batch of rows that are not read again soon is cheaper this way: its twenty thousand objects are never in
        memory at once, to be fetched a second time when they are freed.
        """
        self.data, self.data_dropped = cast("T", None), True

    def position(self, source: TopicIncarnation) -> int:
        """Return the offset of the last record of this source in the row; -1 for none, or none of this incarnation."""
        known = self.positions.get(topic_hash(source.topic)) if self.positions else None
        return known[1] if known is not None and known[0] == source.topic_id else -1

    def advance(self, source: TopicIncarnation, offset: int) -> None:
        """Record that everything of this source up to `offset` is folded in."""
        self.positions[topic_hash(source.topic)] = (source.topic_id, offset)


@lru_cache(maxsize=1024)
def topic_hash(topic: str) -> int:
    """Return the topic's name in a row's positions; two topics of one table with equal hashes are refused."""
    return zlib.crc32(topic.encode())


def encode_hidden(positions: Positions, state: bytes) -> bytes:
    """Encode the hidden part: positions, then the codec's state."""
    if len(positions) == 1:  # most rows; saves a join
        ((topic, (topic_id, offset)),) = positions.items()
        return _ONE_POSITION.pack(_LAYOUT, 1, topic, topic_id, offset) + state
    parts = [_HEAD.pack(_LAYOUT, len(positions))]
    parts += [_POSITION.pack(topic, topic_id, offset) for topic, (topic_id, offset) in sorted(positions.items())]
    parts.append(state)
    return b"".join(parts)


def decode_hidden(hidden: bytes) -> tuple[Positions, bytes]:
    """Return positions and the codec's state; ValueError for a layout that this version does not know."""
    if not hidden:
        return {}, b""
    layout, count = _HEAD.unpack_from(hidden)
    if layout != _LAYOUT:
        raise ValueError(f"hidden state of layout {layout}; this version reads layout {_LAYOUT}")
    at = _HEAD.size
    positions: Positions = {}
    for _ in range(count):
        topic, topic_id, offset = _POSITION.unpack_from(hidden, at)
        positions[topic] = (topic_id, offset)
        at += _POSITION.size
    return positions, hidden[at:]


def encode_blob(value: bytes | None, hidden: bytes) -> bytes:
    """Return one value for a store, or for a private changelog."""
    if value is None:
        return _BLOB.pack(0, len(hidden)) + hidden
    return _BLOB.pack(1, len(hidden)) + hidden + value


def decode_blob(blob: bytes) -> tuple[bytes | None, bytes]:
    """Return (public value or None, hidden part)."""
    has_value, length = _BLOB.unpack_from(blob)
    end = _BLOB.size + length
    return (blob[end:] if has_value else None), blob[_BLOB.size : end]


_ENTRY = struct.Struct(">QI")  # id, seconds since the epoch

WINDOW_SECONDS = 8 * 86_400
"""Senders stop to retry after some days; shorter and a late retry counts twice, longer and rows grow."""
CAP = 512
"""12 bytes each in every changelog record of the row."""


class RecentIds:
    """A set of event ids, bounded by time and by number.

    `forgotten_early` counts the ids that the cap pushed out inside the window: each could count twice if it were
    repeated now. Put it into a metric; it should stay 0.
    """

    __slots__ = ("_ids", "cap", "forgotten_early", "window_seconds")

    def __init__(self, encoded: bytes = b"", *, window_seconds: int = WINDOW_SECONDS, cap: int = CAP) -> None:
        self._ids: dict[int, int] = dict(_ENTRY.iter_unpack(encoded))
        self.window_seconds = window_seconds
        self.cap = cap
        self.forgotten_early = 0

    def add(self, event_id: str | bytes, now_seconds: float) -> bool:
        """Remember an id; False when it is known already: the event must not count again.

        `now_seconds` is the record's time, not the wall clock, so that a replay gives the same result as the first run.
        """
        number = id_number(event_id)
        if number in self._ids:
            return False
        now = max(0, min(int(now_seconds), 0xFFFF_FFFF))
        self._ids[number] = now
        if len(self._ids) > self.cap:
            self._expire()
        return True

    def _expire(self) -> None:
        newest = max(self._ids.values())
        live = {i: at for i, at in self._ids.items() if at >= newest - self.window_seconds}
        excess = len(live) - self.cap
        if excess > 0:
            for number, _ in sorted(live.items(), key=lambda item: item[1])[:excess]:
                del live[number]
            self.forgotten_early += excess
        self._ids = live

    def __contains__(self, event_id: str | bytes) -> bool:
        return id_number(event_id) in self._ids

    def __len__(self) -> int:
        return len(self._ids)

    def encode(self) -> bytes:
        """12 bytes an id, expired ones left out; `RecentIds(encoded)` reads it."""
        if not self._ids:
            return b""
        oldest = max(self._ids.values()) - self.window_seconds
        return b"".join(_ENTRY.pack(number, at) for number, at in self._ids.items() if at >= oldest)


def id_number(event_id: str | bytes) -> int:
    """64 bits of an id: among a row's few hundred ids an accidental match is less likely than a disk error."""
    raw = event_id.encode() if isinstance(event_id, str) else event_id
    return int.from_bytes(hashlib.blake2b(raw, digest_size=8).digest())
