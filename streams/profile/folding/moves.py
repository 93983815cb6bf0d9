"""Records of the topic `cm_profile_moves`: what one profile's owner publishes for another's.

A change of address goes in three steps, each repeatable, and a crash between any two of them changes nothing:

    leave   to the old address's owner: this person has another address now. The owner freezes the row, and publishes
    seal    to itself. The row is frozen durably now, so the profile that is published is the same however often it is:
    arrive  to the new address's owner: the whole profile, merged there once (its id is remembered). The old row becomes
            a tombstone that knows where the person went.
    follow  an event of a former address, dated before it changed, is forwarded to the person's next address.
    erase   forget the person.

Only `arrive` depends on the mappings: its hidden part is a list by slot. It carries their version. `follow` carries an
event as it was published, and is folded by the mappings of whoever reads it; the others carry addresses and times.
"""

import base64
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple, get_args

import orjson

from schemas.envelope import EpochMillis
from schemas.identity import key_of
from streams.batches import Output
from streams.profile.folding.removals import Removals, read_removals, stored_removals
from streams.profile.folding.row import ENTRY_BYTES, Profile

MoveKind = Literal["leave", "seal", "arrive", "follow", "erase"]


@dataclass(frozen=True, slots=True)
class Move:
    """One record; `email` is the address whose owner shall act, and the record's key."""

    kind: MoveKind
    id: str
    email: str
    at: EpochMillis
    """When the address changed, or the erasure was asked for; for what travels on, the last change it went through."""
    to: str = ""
    """leave: the new address."""
    profile: dict[str, Any] | None = None
    """arrive: the profile, see `profile_to_json`."""
    stream: str = ""
    value: str = ""
    timestamp: EpochMillis = 0
    arrival: int = 0
    """follow: the event's stream, its record's value and timestamp, and its place among arrivals."""
    visited: tuple[str, ...] = ()
    """erase: addresses of the same person whose owners have the request already."""
    mapping: str = ""
    """arrive: the version of the mappings that made the profile; empty when a release before 2026-11 wrote it."""


class ForeignMappingError(ValueError):
    """A profile was published under other mappings than those that run: its hidden part cannot be read by slot."""

    def __init__(self, found: str, running: str) -> None:
        super().__init__(f"a profile of mapping version {found}; version {running} runs, and does not fold it")


class PackedProfile(NamedTuple):
    """A profile as `arrive` carries it; its parts are checked by whoever folds them."""

    public: Any
    hidden: Any
    ids: bytes
    came_from: list[str]
    removals: Removals


def move_output(topic: str, move: Move) -> Output:
    """Return the record of a move, for the owner of its address."""
    body = {name: getattr(move, name) for name in Move.__slots__}
    return Output(topic, key_of(move.email), orjson.dumps({name: value for name, value in body.items() if value}))


def read_move(value: bytes | None) -> Move:
    """Return the move of a record. Raises ValueError for anything else."""
    body = orjson.loads(value or b"null")
    if not isinstance(body, dict) or body.get("kind") not in get_args(MoveKind):
        raise ValueError("not a record of profile moves")
    known = {name: body[name] for name in Move.__slots__ if name in body}
    try:
        known["at"] = int(body.get("at", 0))
        known["visited"] = tuple(body.get("visited", ()))
        move = Move(**known)
    except (TypeError, OverflowError) as error:
        raise ValueError(f"not a record of profile moves: {error}") from error
    for name in ("id", "email", "to", "stream", "value", "mapping"):
        if not isinstance(getattr(move, name), str):
            raise ValueError(f"not a record of profile moves: {name} is no text")
    for name in ("timestamp", "arrival"):
        if not isinstance(getattr(move, name), int):
            raise ValueError(f"not a record of profile moves: {name} is no whole number")
    return move


def profile_to_json(profile: Profile, address: str) -> dict[str, Any]:
    """Return the profile that was under this address as JSON can carry it."""
    came_from = [*(profile.history.came_from if profile.history else ()), address]
    ids = base64.b64encode(profile.ids).decode()
    packed = {"public": profile.fields.public(), "hidden": profile.fields.hidden(), "ids": ids, "came_from": came_from}
    return {**packed, "removals": stored_removals(profile.removals)} if profile.removals else packed


def profile_from_json(packed: Any) -> PackedProfile:
    """Return what `profile_to_json` made of a profile. Raises ValueError for anything else."""
    match packed:
        case {"public": public, "hidden": hidden, "ids": str(text), "came_from": list(came_from)}:
            ids = base64.b64decode(text, validate=True)
            if len(ids) % ENTRY_BYTES == 0 and all(isinstance(address, str) for address in came_from):
                return PackedProfile(public, hidden, ids, came_from, read_removals(packed.get("removals", [])))
    raise ValueError("not a profile that another address had")
