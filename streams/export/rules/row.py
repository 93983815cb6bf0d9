"""The row of the Memberships table: what a person is in, what is known of them, what each list holds. Pure.

JSON arrays in a fixed order, milliseconds, what is empty left out: only `decode` and `encode` know the letters.
"""

from dataclasses import astuple, dataclass, field, replace
from typing import Any

import orjson

from schemas.envelope import EpochMillis
from streams.export.rules.address_claims import (
    AddressArrival,
    AddressClaims,
    OwnAddress,
    RenameOrder,
    decode_arrival,
    decode_claims,
    encode_arrival,
    encode_claims,
)

SNAPSHOT_IN, SNAPSHOT_OUT, ENTER, EXIT = range(4)
"""Statements about an audience. At one instant a change beats a snapshot; else the later record is in force."""


def kind_of(rank: int) -> int:
    """Return 0 for a snapshot's statement, 1 for a change's: the greater is in force at one instant."""
    return rank >> 1


FIELDS_CHANGED, REPEATED = 4, 5
"""Kinds of pending change that enter and leave nothing: new fields of somebody, or what is not delivered yet, again."""

NEVER = -(2**62)
"""A time before every event."""


@dataclass(slots=True)
class AudienceEntry:
    """What is known about one person and one audience."""

    rank: int
    """SNAPSHOT_IN, SNAPSHOT_OUT, ENTER or EXIT: the statement that is in force."""
    at: EpochMillis
    """Event time of that statement."""
    position: int
    """Offset of the record that last changed it; its receipts name it."""
    appended: EpochMillis
    """When that record was appended to its topic."""
    since: EpochMillis
    """Event time of the last change; a snapshot that confirms it moves nothing. `NEVER`: before the first snapshot."""
    entered: EpochMillis = NEVER
    """The earliest time at which the person may have entered: for a snapshot, after the statement before it."""

    @property
    def inside(self) -> bool:
        """Whether the person is in the audience."""
        return not self.rank & 1


@dataclass(slots=True)
class DeliveredPart:
    """What was last delivered for one export job: the hash of its part, and up to where changes have receipts."""

    digest: str
    answered: int
    also: tuple[int, ...] = ()
    """Later positions with a receipt: snapshots of which the job exported only what they did not change."""
    exported: bool = False
    """Whether a request for the job may have put the person on the list: then its exit rule counts."""


@dataclass(frozen=True, slots=True)
class UnansweredCalls:
    """Calls without an answer, which Campaign Monitor may still apply, after newer ones of ours."""

    over_at: EpochMillis
    """When none of them can be applied any more: the person is compared with the list then."""
    resubscribes: bool = False
    """Whether one of them makes people active again."""
    addresses: tuple[str, ...] = ()
    """All addresses in them."""

    def and_(self, other: "UnansweredCalls | None") -> "UnansweredCalls":
        """Return these calls and others."""
        if other is None:
            return self
        addresses = tuple(sorted({*self.addresses, *other.addresses}))
        return UnansweredCalls(max(self.over_at, other.over_at), self.resubscribes or other.resubscribes, addresses)


@dataclass(slots=True)
class Held:
    """What one list is known to hold for the person."""

    delivered: dict[str, DeliveredPart] = field(default_factory=dict)
    """By job id."""
    address: str | None = None
    """The address that the subscriber has on the list; None: not known to be on it."""
    audiences: list[str] = field(default_factory=list)
    """Ids of the audiences that the list's field holds."""
    code: int = 0
    """0: taken. Else Campaign Monitor's code of the refusal in force."""
    used_entry: EpochMillis = 0
    """Time of the newest entry that was delivered, or refused since the person had left: only a later one counts."""
    removed: EpochMillis = 0
    """When a job took the person, active until then, off the list: no refusal of theirs. 0: no job did."""
    last_removed: EpochMillis = 0
    """The same, and kept when they come back: what is reported late about it is still no act of theirs."""
    seen: int = -1
    """Offset of the last change that a request included: an enter after that is a new one."""
    digest: str = ""
    """Hash of what was written last."""
    repaired_digest: str = ""
    """The `digest` that was already written a second time, because a webhook showed other content on the list."""
    late: UnansweredCalls | None = None
    """Calls without an answer; None: there are none."""
    orders: dict[str, RenameOrder] = field(default_factory=dict)
    """Former addresses of the person, under which they may be on the list still."""
    chosen: OwnAddress | None = None
    """An address that the person gave themselves at Campaign Monitor; it is kept while the jobs ask for that before."""
    lent: EpochMillis = 0
    """When somebody left whose new address has the order for this one: nothing is written before it reports. 0: no."""
    arrival: AddressArrival | None = None
    """The first who came to the address since an answer was recorded."""


@dataclass(slots=True)
class PendingChange:
    """A change that is in no audience's entry, and whose receipt is still to be written.

    It was superseded while a request to the list included it; or it enters and leaves nothing (see `FIELDS_CHANGED`).
    """

    list_id: str
    audience: str
    rank: int
    position: int
    appended: EpochMillis
    at: EpochMillis
    """Event time: whose it is, where the address has had several people."""


@dataclass(slots=True)
class MembershipRow:
    """One person."""

    audiences: dict[str, AudienceEntry] = field(default_factory=dict)
    fields: dict[str, tuple[Any, EpochMillis]] = field(default_factory=dict)
    """Upstream's fields: value (None = cleared) and the event time of it."""
    lists: dict[str, Held] = field(default_factory=dict)
    pending: list[PendingChange] = field(default_factory=list)
    snapshot_at: EpochMillis = NEVER
    """Time of the latest snapshot: an audience that the row does not know counts as left at that time."""
    source: int = 0
    """Which incarnation of the membership topic the positions belong to."""
    due: bool = False
    """Something may have to be sent or receipted: the row is in the index that a new owner reads."""
    former_addresses: dict[str, EpochMillis] = field(default_factory=dict)
    """Former addresses and when they changed to this one."""
    awaits: dict[str, EpochMillis] = field(default_factory=dict)
    """Former addresses whose rows have not been transferred yet, and since when; nothing is sent before."""
    awaited_at: tuple[int, EpochMillis] | None = None
    """While rows are awaited: position and append time of the latest snapshot, which may leave audiences of theirs."""
    leaving: list[tuple[str, EpochMillis]] = field(default_factory=list)
    """Addresses that people of this row have now, and since when, earliest first: frozen until they are transferred."""
    moves: list[tuple[str, EpochMillis]] = field(default_factory=list)
    """The same after the transfers: events older than that are redirected to the other row."""
    tenures: list[tuple[EpochMillis, "MembershipRow"]] = field(default_factory=list)
    """Since when somebody has the address, and what is known of them alone (audiences, fields, `snapshot_at`); the row
    itself is the union. Empty until an address changes."""
    own_acts: dict[str, EpochMillis] = field(default_factory=dict)
    """By list: when the person left it last by an act of their own, as a webhook reported."""
    answered: dict[str, tuple[int, ...]] = field(default_factory=dict)
    """By job: positions in force, or pending, whose receipt came at once from a job that does not export them."""
    outstanding: list[tuple[str, str, int, EpochMillis]] = field(default_factory=list)
    """(job, list, position, appended) of changes without a receipt yet, also of jobs that do not export them now."""
    claims: AddressClaims = field(default_factory=dict)
    """By list and address: the person's claims to addresses that are other people's keys (see `rules/claims.py`)."""
    claimants: AddressClaims = field(default_factory=dict)
    """By list and key: who claims the address that is this row's key; the first of them waits longest."""
    settled: tuple[str, ...] = ()
    """Of a row that is due: lists that are not, see `rules/due.py`."""


def encode(row: MembershipRow) -> bytes:
    """Write a row."""
    letters: dict[str, Any] = {}
    if row.audiences:
        letters["a"] = {audience: _encode_entry(entry) for audience, entry in row.audiences.items()}
    if row.fields:
        letters["f"] = row.fields
    if row.lists:
        letters["l"] = {list_id: encode_held(held) for list_id, held in row.lists.items()}
    if row.pending:
        letters["o"] = [astuple(change) for change in row.pending]
    if row.snapshot_at != NEVER:
        letters["s"] = row.snapshot_at
    if row.source:
        letters["p"] = row.source
    if row.due:
        letters["d"] = row.settled or 1
    if row.awaited_at is not None:
        letters["q"] = row.awaited_at
    if row.former_addresses or row.awaits or row.leaving or row.moves:
        moved = {"c": row.former_addresses, "w": row.awaits, "m": row.leaving, "n": row.moves}
        letters |= {letter: addresses for letter, addresses in moved.items() if addresses}
    rest = (("u", row.own_acts), ("r", row.answered), ("e", row.outstanding))
    letters |= {letter: known for letter, known in rest if known}
    if row.tenures:
        letters["t"] = [[since, orjson.Fragment(encode(tenure))] for since, tenure in row.tenures]
    if row.claims:
        letters["k"] = encode_claims(row.claims)
    if row.claimants:
        letters["h"] = encode_claims(row.claimants)
    return orjson.dumps(letters)


def decode(value: bytes) -> MembershipRow:
    """Read a row that `encode` wrote."""
    return _decoded(orjson.loads(value))


def _decoded(letters: dict[str, Any]) -> MembershipRow:
    read = letters.get
    return MembershipRow(
        {audience: _decode_entry(entry) for audience, entry in read("a", {}).items()},
        {name: (value, at) for name, (value, at) in read("f", {}).items()},
        {list_id: decode_held(held) for list_id, held in read("l", {}).items()},
        [PendingChange(*change) for change in read("o", ())],
        read("s", NEVER),
        read("p", 0),
        "d" in letters,
        read("c", {}),
        read("w", {}),
        tuple(letters["q"]) if "q" in letters else None,
        [(to, at) for to, at in read("m", ())],
        [(to, at) for to, at in read("n", ())],
        [(since, _decoded(tenure)) for since, tenure in read("t", ())],
        read("u", {}),
        {job: tuple(positions) for job, positions in read("r", {}).items()},
        [(job, list_id, position, at) for job, list_id, position, at in read("e", ())],
        decode_claims(read("k", {})),
        decode_claims(read("h", {})),
        tuple(settled) if isinstance(settled := read("d"), list) else (),
    )


def _encode_entry(entry: AudienceEntry) -> list[int]:
    """Write what is known about an audience; that somebody entered at `since` is the rule, and is left out."""
    known = [entry.rank, entry.at, entry.position, entry.appended, entry.since]
    return known if entry.entered == entry.since else [*known, entry.entered]


def _decode_entry(known: list[int]) -> AudienceEntry:
    rank, at, position, appended, since, *entered = known
    return AudienceEntry(rank, at, position, appended, since, entered[0] if entered else since)


def open_orders(held: Held) -> list[str]:
    """Return the former addresses whose orders are still to be carried out."""
    return [former for former, order in held.orders.items() if not order.done]


def encode_held(held: Held) -> list[Any]:
    """Return what a list holds, as JSON."""
    parts = held.delivered.items()
    delivered = {job: [part.digest, part.answered, int(part.exported), *part.also] for job, part in parts}
    audiences = list(held.audiences)
    consent = held.code, held.used_entry, held.removed, held.last_removed
    encoded: list[Any] = [delivered, held.address, audiences, *consent, held.seen, held.digest, held.repaired_digest]
    late = [] if held.late is None else [held.late.over_at, held.late.resubscribes, *held.late.addresses]
    moved = held.orders or held.lent or held.chosen or held.arrival
    if late or moved:
        encoded.append(late)
    if moved:
        orders = {address: list(order) for address, order in held.orders.items()}
        encoded.append([held.lent, orders, *(held.chosen or ())])
    if held.arrival:
        encoded.append(encode_arrival(held.arrival))
    return encoded


def decode_held(held: list[Any]) -> Held:
    """Read what `encode_held` wrote."""
    parts, more = held[0], held[10:]
    calls = more[0] if more else ()
    late = UnansweredCalls(calls[0], calls[1], tuple(calls[2:])) if calls else None
    lent, orders, *chosen = more[1] if len(more) > 1 else (0, {})
    delivered = {job: DeliveredPart(part[0], part[1], tuple(part[3:]), bool(part[2])) for job, part in parts.items()}
    renames = {former: RenameOrder(*order) for former, order in orders.items()}
    return replace(
        Held(delivered, *held[1:10]),
        late=late,
        orders=renames,
        chosen=OwnAddress(*chosen) if chosen else None,
        lent=lent,
        arrival=decode_arrival(more[2]) if len(more) > 2 else None,
    )
