"""One profile while it is worked on, and as it is kept.

The record's value is the public profile. What folding needs besides travels in the record's header: the version of the
mappings, the times behind the values (see `merge`), the ids of the events that were counted, and where the person's
address came from and went to.
"""

import struct
from dataclasses import dataclass, field
from typing import Any

import orjson

from streams.batches import ExitCode, FatalError
from streams.mapping.dates import EpochMillis
from streams.mapping.fields import Fields, Shape
from streams.mapping.fields.layout import Layout

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
    """The address changes: the row is frozen until it has been handed over."""

    id: str
    to: str
    at: EpochMillis


@dataclass(slots=True)
class AddressHistory:
    """Where a profile's address leads; nearly every profile has none."""

    to: list[tuple[EpochMillis, str]] = field(default_factory=list)
    """Until when this was whose address: events dated up to then belong to the address beside it. Oldest first."""
    came_from: list[str] = field(default_factory=list)
    """Addresses whose profiles were merged into this one."""
    moving: OutgoingTransfer | None = None
    erased_at: EpochMillis | None = None
    """Events dated up to then are dropped: the person was erased."""

    def next_hop(self, after: EpochMillis) -> tuple[EpochMillis, str] | None:
        """The first change of address later than `after`, when there is one."""
        return next((hop for hop in self.to if hop[0] > after), None)


@dataclass(slots=True)
class Profile:
    """A row's data. Without any field there is no profile, and the record is a tombstone."""

    fields: Fields
    ids: bytes = b""
    history: AddressHistory | None = None


class ProfileCodec:
    """Bytes to a profile and back, for one version of the mappings."""

    def __init__(self, version: str, layout: Layout) -> None:
        """`version` is 16 hexadecimal digits."""
        self._version = bytes.fromhex(version)
        self._shape = Shape(layout)

    def decode(self, key: bytes, value: bytes | None, state: bytes) -> Profile:
        """Return the profile; an empty one where there was none. Raises WrongMappingError."""
        if not state:
            return Profile(Fields(self._shape))
        version, length = _HEAD.unpack_from(state)
        if version != self._version:
            raise WrongMappingError(version.hex(), self._version.hex())
        end = _HEAD.size + length
        hidden, history = orjson.loads(state[_HEAD.size : end])
        fields = Fields(self._shape, orjson.loads(value) if value else None, hidden)
        return Profile(fields, state[end:], _read_ways(history) if history else None)

    def encode(self, data: Profile) -> tuple[bytes | None, bytes]:
        """Return the public value, fields in order, and the hidden state."""
        public = data.fields.public_json()
        hidden = b"null" if public is None else data.fields.hidden_json()
        history = b"null" if data.history is None else orjson.dumps(_ways(data.history))
        head = _HEAD.pack(self._version, len(hidden) + len(history) + 3)
        return public, b"".join((head, b"[", hidden, b",", history, b"]", data.ids))

    def empty(self) -> Profile:
        """Return a profile that nothing is known of."""
        return Profile(Fields(self._shape))


def _ways(history: AddressHistory) -> list[Any]:
    moving = history.transfer
    return [
        history.to,
        history.came_from,
        [moving.id, moving.to, moving.at] if moving else None,
        history.erased_at,
    ]


def _read_ways(said: list[Any]) -> AddressHistory:
    to, came_from, moving, erased_at = said
    return AddressHistory(
        [(at, address) for at, address in to], came_from, OutgoingTransfer(*moving) if moving else None, erased_at
    )
