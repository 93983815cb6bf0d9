"""What makes a second delivery harmless: the ids of the events that a row has counted, as compact bytes. Pure.

Eight bytes of the id and four of its arrival, in order of arrival. Bytes are searched and appended to without being
decoded, and travel as they are: a row pays for its ids only when it is written.
"""

from functools import lru_cache
from hashlib import blake2b

ENTRY_BYTES = 12
_PRINT_BYTES = 8

Minutes = int
"""Minutes since 1970."""

WINDOW_MINUTES: Minutes = 8 * 24 * 60
"""Ids are kept for at least so long: a webhook is sent again for about a week. Shorter, and a late one counts twice."""
KEPT_ANYWAY = 64
"""So many ids stay however old they are: an import may publish history again after months."""
DEFAULT_CAP = 1000
"""More ids than this are not kept: 12 KB in every record of the row."""


Remembered = tuple[bytes, int]
"""Ids, and how many were forgotten inside of the window because of the cap: each could count twice now."""


def fingerprint(event_id: str) -> bytes:
    """Return 8 bytes that stand for an event id.

    Among a row's thousand ids a false match is as likely as a disk error. A quicker way than a real hash (the first
    bytes, a remainder) takes ids that only count up for one another.
    """
    try:
        raw = event_id.encode()
    except UnicodeEncodeError:
        raw = event_id.encode("utf-8", "surrogatepass")
    return blake2b(raw, digest_size=_PRINT_BYTES).digest()


def seen(ids: bytes, mark: bytes) -> bool:
    """Whether this fingerprint is among the ids."""
    at = ids.find(mark)
    while at > 0 and at % ENTRY_BYTES:
        at = ids.find(mark, at + 1)
    return at >= 0


def prints_of(ids: bytes) -> set[bytes]:
    """Return all fingerprints, for a run of questions: searching a thousand ids takes 5 microseconds each time."""
    return {ids[at : at + _PRINT_BYTES] for at in range(0, len(ids), ENTRY_BYTES)}


def entry(mark: bytes, arrival: Minutes) -> bytes:
    """Return the bytes that stand for one id among the ids."""
    return mark + _arrival_bytes(arrival)


@lru_cache(maxsize=64)
def _arrival_bytes(arrival: Minutes) -> bytes:
    return arrival.to_bytes(4, "big")


def remember(ids: bytes, entries: bytes, cap: int = DEFAULT_CAP) -> Remembered:
    """Return the ids with more (see `entry`), in order of arrival; the oldest go, those out of the window first."""
    ids += entries
    if len(ids) <= KEPT_ANYWAY * ENTRY_BYTES:
        return ids, 0
    return _trimmed(ids, cap)


def both(one: bytes, other: bytes, cap: int = DEFAULT_CAP) -> Remembered:
    """Return the ids of two rows that become one, in order of arrival."""
    entries = {
        ids[at : at + _PRINT_BYTES]: ids[at + _PRINT_BYTES : at + ENTRY_BYTES] for ids, at in _starts(one, other)
    }
    return _trimmed(b"".join(mark + at for mark, at in sorted(entries.items(), key=lambda entry: entry[1])), cap)


def _starts(*many: bytes) -> list[tuple[bytes, int]]:
    return [(ids, at) for ids in many for at in range(0, len(ids), ENTRY_BYTES)]


def _trimmed(ids: bytes, cap: int) -> Remembered:
    newest = _arrival(ids, len(ids) - ENTRY_BYTES)
    drop = 0
    room = len(ids) - KEPT_ANYWAY * ENTRY_BYTES
    while drop < room and _arrival(ids, drop) < newest - WINDOW_MINUTES:
        drop += ENTRY_BYTES
    early = max(0, len(ids) - drop - cap * ENTRY_BYTES)
    return ids[drop + early :] if drop or early else ids, early // ENTRY_BYTES


def _arrival(ids: bytes, at: int) -> Minutes:
    return int.from_bytes(ids[at + _PRINT_BYTES : at + ENTRY_BYTES], "big")
