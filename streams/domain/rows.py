"""The row of the Memberships table: what one person is in, what is known of them, and what each list holds.

A row is written for every change, so it is small and quick to read: JSON arrays in a fixed order, milliseconds as
integers, everything empty left out. `decode` and `encode` are the only places that know the letters.
"""

from dataclasses import dataclass, field
from typing import Any

import orjson

Millis = int
"""Milliseconds since the epoch."""

SNAPSHOT_IN, SNAPSHOT_OUT, ENTER, EXIT = range(4)
"""Who says so, weakest first: at the same instant a change beats a snapshot, and leaving beats entering."""

NEVER = -(2**62)
"""A time before every event."""


@dataclass(slots=True)
class Standing:
    """What is known about one person and one audience."""

    rank: int
    """SNAPSHOT_IN, SNAPSHOT_OUT, ENTER or EXIT: the word that counts."""
    at: Millis
    """Event time of that word."""
    position: int
    """Offset of the record that last changed it; its receipts name it."""
    appended: Millis
    """When that record was appended to its topic."""
    since: Millis
    """Event time of the last change: a snapshot that only confirms does not move it."""

    @property
    def inside(self) -> bool:
        """Whether the person is in the audience."""
        return not self.rank & 1


@dataclass(slots=True)
class Said:
    """What one export job was last told about: the hash of its part, and up to where its changes are answered."""

    digest: str
    answered: int
    also: tuple[int, ...] = ()
    """Later positions that are answered too: snapshots of which the job exported only what they did not change."""


@dataclass(slots=True)
class Held:
    """What one list is known to hold for the person."""

    said: dict[str, Said] = field(default_factory=dict)
    """By job id."""
    address: str | None = None
    """The address under which the subscriber stands on the list; None: not known to be on it."""
    audiences: list[str] = field(default_factory=list)
    """Ids of the audiences that the list's field holds."""
    code: int = 0
    """0: taken. Else Campaign Monitor's code of the refusal that stands."""
    asked: bool = False
    """The refusal came although the job allowed to resubscribe."""
    seen: int = -1
    """Offset of the last change that a request carried: entering later than that is entering anew."""
    digest: str = ""
    """Hash of what was written last."""
    mended: str = ""
    """The `digest` that was already written a second time, because the list was seen to hold something else."""


@dataclass(slots=True)
class Owed:
    """A change that was overtaken while a request to one list carried it: its receipt is still to be written."""

    list_id: str
    audience: str
    rank: int
    position: int
    appended: Millis


@dataclass(slots=True)
class Row:
    """One person."""

    audiences: dict[str, Standing] = field(default_factory=dict)
    fields: dict[str, tuple[Any, Millis]] = field(default_factory=dict)
    """Upstream's fields: value (None = cleared) and the event time of it."""
    lists: dict[str, Held] = field(default_factory=dict)
    owed: list[Owed] = field(default_factory=list)
    snapshot_at: Millis = NEVER
    """Latest snapshot: an audience that the row does not know was left by then."""
    source: int = 0
    """Which incarnation of the membership topic the positions belong to."""
    due: bool = False
    """Something may have to be sent or answered: the row is in the index that a new owner reads."""
    came_from: dict[str, Millis] = field(default_factory=dict)
    """Former addresses and when they changed to this one."""
    awaits: str | None = None
    """The former address whose row has not been handed over yet; nothing is sent before."""
    went_to: tuple[str, Millis] | None = None
    """The address that the person has now, and since when: this row is frozen, and waits to be handed over."""
    left: tuple[str, Millis] | None = None
    """The same after it was handed over: what is older than that is told to the other row."""


def encode(row: Row) -> bytes:
    """Write a row."""
    letters: dict[str, Any] = {}
    if row.audiences:
        letters["a"] = {
            audience: [it.rank, it.at, it.position, it.appended, it.since] for audience, it in row.audiences.items()
        }
    if row.fields:
        letters["f"] = row.fields
    if row.lists:
        letters["l"] = {list_id: encode_held(held) for list_id, held in row.lists.items()}
    if row.owed:
        letters["o"] = [[it.list_id, it.audience, it.rank, it.position, it.appended] for it in row.owed]
    if row.snapshot_at != NEVER:
        letters["s"] = row.snapshot_at
    if row.source:
        letters["p"] = row.source
    if row.due:
        letters["d"] = 1
    if row.came_from:
        letters["c"] = row.came_from
    if row.awaits is not None:
        letters["w"] = row.awaits
    if row.went_to is not None:
        letters["m"] = row.went_to
    if row.left is not None:
        letters["n"] = row.left
    return orjson.dumps(letters)


def decode(value: bytes) -> Row:
    """Read a row that `encode` wrote."""
    letters = orjson.loads(value)
    read = letters.get
    went_to, left = read("m"), read("n")
    return Row(
        {audience: Standing(*standing) for audience, standing in read("a", {}).items()},
        {name: (value, at) for name, (value, at) in read("f", {}).items()},
        {list_id: decode_held(held) for list_id, held in read("l", {}).items()},
        [Owed(*owed) for owed in read("o", ())],
        read("s", NEVER),
        read("p", 0),
        "d" in letters,
        read("c", {}),
        read("w"),
        None if went_to is None else (went_to[0], went_to[1]),
        None if left is None else (left[0], left[1]),
    )


def copy_of(row: Row) -> Row:
    """Return a row that may be changed without changing `row`."""
    return Row(
        {audience: Standing(*_standing(it)) for audience, it in row.audiences.items()},
        dict(row.fields),
        {list_id: copy_of_held(held) for list_id, held in row.lists.items()},
        list(row.owed),
        row.snapshot_at,
        row.source,
        row.due,
        dict(row.came_from),
        row.awaits,
        row.went_to,
        row.left,
    )


def copy_of_held(held: Held) -> Held:
    """Return what a list holds, to be kept while the row goes on changing."""
    said = {job: Said(it.digest, it.answered, it.also) for job, it in held.said.items()}
    audiences = list(held.audiences)
    return Held(said, held.address, audiences, held.code, held.asked, held.seen, held.digest, held.mended)


def rebase(row: Row, source: int) -> None:
    """Forget positions of another incarnation of the topic: a topic made anew counts from 0 again."""
    if row.source == source:
        return
    row.source = source
    row.owed.clear()
    for standing in row.audiences.values():
        standing.position = -1
    for held in row.lists.values():
        held.seen = -1
        for said in held.said.values():
            said.answered, said.also = -1, ()


def _standing(it: Standing) -> tuple[int, Millis, int, Millis, Millis]:
    return it.rank, it.at, it.position, it.appended, it.since


def encode_held(held: Held) -> list[Any]:
    """Return what a list holds, as JSON."""
    said = {job: [it.digest, it.answered, *it.also] for job, it in held.said.items()}
    return [said, held.address, list(held.audiences), held.code, int(held.asked), held.seen, held.digest, held.mended]


def decode_held(held: list[Any]) -> Held:
    said, *rest = held
    address, audiences, code, asked, seen, digest, mended = rest
    told = {job: Said(it[0], it[1], tuple(it[2:])) for job, it in said.items()}
    return Held(told, address, audiences, code, bool(asked), seen, digest, mended)
