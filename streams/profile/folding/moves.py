"""Records of the topic `cm_profile_moves`: what one profile's owner has to tell another's.

A change of address goes in three steps, each repeatable, and a crash between any two of them changes nothing:

    leave   to the old address's owner: this person has another address now. The owner freezes the row, and tells
    seal    itself. The row is frozen durably now, so what is handed over is the same however often it is handed over:
    arrive  to the new address's owner: the whole profile, merged there once (its id is remembered). The old row becomes
            a tombstone that knows where the person went.
    follow  an event of a former address, dated before it changed, goes after the person.
    erase   forget the person.
"""

import base64
from dataclasses import dataclass
from typing import Any, Literal

import orjson

from schemas.identity import key_of
from streams.batches import Output
from streams.mapping.dates import EpochMillis
from streams.profile.folding.row import Profile

Kind = Literal["leave", "seal", "arrive", "follow", "erase"]
KINDS = ("leave", "seal", "arrive", "follow", "erase")


@dataclass(frozen=True, slots=True)
class Move:
    """One record; `email` is the address whose owner shall act, and the record's key."""

    kind: Kind
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
    """erase: addresses of the same person that have been told already."""


def output(topic: str, move: Move) -> Output:
    """Return the record of a move, for the owner of its address."""
    said = {name: getattr(move, name) for name in Move.__slots__}
    return Output(topic, key_of(move.email), orjson.dumps({name: value for name, value in said.items() if value}))


def read_move(value: bytes | None) -> Move:
    """Return the move of a record. Raises ValueError for anything else."""
    said = orjson.loads(value or b"null")
    if not isinstance(said, dict) or said.get("kind") not in KINDS:
        raise ValueError("not a record of profile moves")
    try:
        known = {name: said[name] for name in Move.__slots__ if name in said}
        known["at"] = int(said.get("at", 0))
        known["visited"] = tuple(said.get("visited", ()))
        return Move(**known)
    except TypeError as error:
        raise ValueError(f"not a record of profile moves: {error}") from error


def profile_to_json(profile: Profile, address: str) -> dict[str, Any]:
    """Return the profile that was under this address as JSON can carry it."""
    came_from = [*(profile.history.came_from if profile.history else ()), address]
    ids = base64.b64encode(profile.ids).decode()
    return {"public": profile.fields.public(), "hidden": profile.fields.hidden(), "ids": ids, "came_from": came_from}


def profile_from_json(said: dict[str, Any]) -> tuple[dict[str, Any], list[Any], bytes, list[str]]:
    """Return public part, hidden part, ids and former addresses of a profile_to_json profile."""
    return said["public"], said["hidden"], base64.b64decode(said["ids"]), said["came_from"]
