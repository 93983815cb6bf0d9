"""Ids of the events that a row has counted in the last days: a webhook may repeat an event that long."""

from __future__ import annotations

import hashlib
import struct

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

        `now_seconds` is the record's time, not the wall clock, so that a replay decides as the first run did.
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
