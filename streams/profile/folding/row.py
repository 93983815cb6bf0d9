"""One profile while it is worked on, and as it is stored.

The record's value is the public profile. What folding needs besides travels in the record's header: the version of the
mappings, the hidden part of the fields (see `streams.mapping.fields.layout`), the ids of the events that were counted,
and where the person's address came from and went to.

What makes a second delivery harmless are the ids of the events that a row has counted, as compact bytes: eight bytes
of the id and four of its arrival, in order of arrival. Bytes are searched and appended to without being decoded, and
travel as they are: a row pays for its ids only when it is written.
"""

import struct
from dataclasses import dataclass, field
from functools import lru_cache
from hashlib import blake2b
from typing import Any

import orjson

from schemas.envelope import EpochMillis
from streams.batches import ExitCode, FatalError
from streams.mapping.fields import Fields, Shape
from streams.mapping.fields.layout import Layout
from streams.profile.folding.removals import Removals, read_removals, stored_removals

_HEAD = struct.Struct(">8sI")  # mapping version, length of the JSON part


class WrongMappingError(FatalError):
    """The row was made by other mappings than the ones that run; mixing them would make it mean nothing."""

    exit_code = ExitCode.CONFIGURATION

    def __init__(self, found: str, running: str) -> None:
        super().__init__(
            f"the profiles were made by mapping version {found}, and version {running} runs; "
            "run `cm-streams mapping rebuild`, or give back the mappings that made them"
        )


@dataclass(slots=True)
class OutgoingTransfer:
    """The address changes: the row is frozen until its profile has been published for the new address."""

    id: str
    to: str
    at: EpochMillis


@dataclass(slots=True)
class AddressHistory:
    """Former and later addresses of a profile; nearly every profile has none."""

    moved_to: list[tuple[EpochMillis, str]] = field(default_factory=list)
    """(time of the change, address): events dated up to then belong to the address beside it. Oldest first."""
    came_from: list[str] = field(default_factory=list)
    """Addresses whose profiles were merged into this one."""
    transfer: OutgoingTransfer | None = None
    erased_at: EpochMillis | None = None
    """Events dated up to then are dropped: the person was erased."""

    def next_hop(self, after: EpochMillis) -> tuple[EpochMillis, str] | None:
        """Return the first change of address later than `after`; None when there is none."""
        return next((hop for hop in self.moved_to if hop[0] > after), None)


@dataclass(slots=True)
class Profile:
    """A row's data. Without any field there is no profile, and the record is a tombstone."""

    fields: Fields
    ids: bytes = b""
    history: AddressHistory | None = None
    removals: Removals = ()
    """How the export took the person off lists: deactivates of that are no acts of theirs."""


class ProfileCodec:
    """Bytes to a profile and back, for one version of the mappings."""

    def __init__(self, version: str, layout: Layout) -> None:
        """`version` is 16 hexadecimal digits."""
        self.version = version
        self._version = bytes.fromhex(version)
        self._shape = Shape(layout)

    def decode(self, key: bytes, value: bytes | None, state: bytes) -> Profile:
        """Return the profile; an empty one where there was none.

        Raises WrongMappingError for a row of other mappings, and ValueError (of the fields: FieldsError) for a row that
        no aggregator has written: cut short, damaged, or put into the topic by somebody else.
        """
        if not state:
            if value is not None:
                raise ValueError("a profile without hidden state")
            return Profile(Fields(self._shape))
        if len(state) < _HEAD.size:
            raise ValueError("the hidden state is cut short")
        version, length = _HEAD.unpack_from(state)
        if version != self._version:
            raise WrongMappingError(version.hex(), self._version.hex())
        end = _HEAD.size + length
        if end > len(state) or (len(state) - end) % ENTRY_BYTES:
            raise ValueError("the hidden state is cut short")
        parts = orjson.loads(state[_HEAD.size : end])
        if type(parts) is not list or len(parts) not in (2, 3):
            raise ValueError("the hidden state is not one of a profile")
        hidden, history, *removals = parts
        public = None
        if value is not None:
            public = orjson.loads(value)
            if not public:
                raise ValueError("the value is not a profile's")
        fields = Fields(self._shape, public, hidden)
        known = read_removals(removals[0]) if removals else ()
        return Profile(fields, state[end:], None if history is None else _read_history(history), known)

    def encode(self, data: Profile) -> tuple[bytes | None, bytes]:
        """Return the public value, fields in order, and the hidden state."""
        public = data.fields.public_json()
        hidden = b"null" if public is None else data.fields.hidden_json()
        history = b"null" if data.history is None else orjson.dumps(_history_parts(data.history))
        if data.removals:  # few profiles have any
            history += b"," + orjson.dumps(stored_removals(data.removals))
        head = _HEAD.pack(self._version, len(hidden) + len(history) + 3)
        return public, b"".join((head, b"[", hidden, b",", history, b"]", data.ids))

    def empty(self) -> Profile:
        """Return a profile that nothing is known of."""
        return Profile(Fields(self._shape))


def _history_parts(history: AddressHistory) -> list[Any]:
    transfer = history.transfer
    return [
        history.moved_to,
        history.came_from,
        [transfer.id, transfer.to, transfer.at] if transfer else None,
        history.erased_at,
    ]


def _read_history(parts: Any) -> AddressHistory:
    match parts:
        case [list(moved_to), list(came_from), transfer, int() | None as erased_at]:
            hops = [_read_hop(hop) for hop in moved_to]
            if all(isinstance(address, str) for address in came_from):
                return AddressHistory(hops, came_from, _read_transfer(transfer), erased_at)
    raise ValueError("the address history is not one of a profile")


def _read_hop(parts: Any) -> tuple[EpochMillis, str]:
    match parts:
        case [int(at), str(address)]:
            return at, address
    raise ValueError("a change of address is not a time and an address")


def _read_transfer(parts: Any) -> OutgoingTransfer | None:
    match parts:
        case None:
            return None
        case [str(transfer_id), str(to), int(at)]:
            return OutgoingTransfer(transfer_id, to, at)
    raise ValueError("a transfer is not an id, an address and a time")


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
    """Return the 8-byte fingerprint of an event id.

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
    """Return the bytes by which the row remembers an id: its fingerprint and its arrival."""
    return mark + _arrival_bytes(arrival)


@lru_cache(maxsize=64)
def _arrival_bytes(arrival: Minutes) -> bytes:
    return min(max(arrival, 0), 0xFFFF_FFFF).to_bytes(4, "big")  # a record may have any timestamp


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
