"""A person's e-mail address changed, or the person is erased: what happens to the rows of all their addresses. Pure.

Rows live by address, so a transfer takes two rows, perhaps of two workers, and three steps that may each be repeated:

    await_transfer    the new address's row waits (`awaits`): nothing of it is sent before it has the old one
    begin_transfer    the old address's row is frozen (`leaving`), until no request includes it any more
    transfer_out      it goes to the new address, and what belongs to the address's next holder is left
    receive_transfer  the new row merges it: what the list holds under the old address is then changed in place

Changes may come in any order, so a row keeps apart what belongs to each holder (`tenures`): each change of address, at
its event time, ends a tenure of the old address and begins one of the new. Who does not leave is the same person as the
next holder, so the row is the union of its tenures; when it turns out later that they left, theirs goes with them.
What arrives for a time before the person moved on follows them (`onward`). Changes of one instant are simultaneous: who
had the new address goes elsewhere, who had the old one comes, so two people can swap.

What a list holds belongs to the address, not to the person: the row of the address alone writes it. Whoever leaves
takes an order along (`Held.orders`): give the subscriber of the former address the new one. Until the row of the new
address has carried it out and reported that (`renamed`), the row of the former one writes nothing to it (`Held.lent`).
Then it brings its address to what it should hold: somebody who has it now is written; a subscriber who is left over,
since both addresses were on the list, leaves it by the job's rule.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field, replace

from schemas.envelope import EpochMillis
from streams.export.rules.address_claims import holder_of
from streams.export.rules.due import mark_due
from streams.export.rules.membership import MembershipEvent, SupersededChange, fold
from streams.export.rules.orders import held_of_leaver, held_of_next, receive_held
from streams.export.rules.row import NEVER, SNAPSHOT_IN, SNAPSHOT_OUT, AudienceEntry, Held, MembershipRow, kind_of

AddressChange = tuple[str, EpochMillis]
"""An address, and since when the person has it."""


@dataclass(slots=True)
class Received:
    """What a transferred row replaces."""

    superseded: list[SupersededChange]
    unneeded: list[tuple[str, str, EpochMillis]] = field(default_factory=list)
    """Orders (list, former address, when they left it) that were carried out before, or replaced: they are reported."""


def await_transfer(row: MembershipRow, former: str, at: EpochMillis) -> bool:
    """Record that the person had another address before. False when that row is awaited, or was received, already."""
    if max(row.former_addresses.get(former, NEVER), row.awaits.get(former, NEVER)) >= at:
        return False
    row.awaits[former] = at
    mark_due(row)
    return True


def begin_tenure(row: MembershipRow, at: EpochMillis) -> None:
    """Separate, in place, what is known up to now from what belongs to whoever has the address from `at` on."""
    if not row.tenures:
        row.tenures = [(NEVER, _union([row]))]
    number = max(index for index, (since, _) in enumerate(row.tenures) if since <= at)
    since, before = row.tenures[number]
    if since == at:
        return
    after = MembershipRow(
        audiences={audience: entry for audience, entry in before.audiences.items() if entry.at >= at},
        fields={name: known for name, known in before.fields.items() if known[1] >= at},
        snapshot_at=before.snapshot_at if before.snapshot_at >= at else NEVER,
    )
    before.audiences = {audience: entry for audience, entry in before.audiences.items() if entry.at < at}
    before.fields = {name: known for name, known in before.fields.items() if known[1] < at}
    before.snapshot_at = NEVER if before.snapshot_at >= at else before.snapshot_at
    row.tenures.insert(number + 1, (at, after))


def fold_tenure(row: MembershipRow, event: MembershipEvent) -> None:
    """Fold an event, that the row has folded, into the tenure that it belongs to."""
    if row.tenures:
        fold(tenure_at(row, event.at), event)


def begin_transfer(row: MembershipRow, to: str, at: EpochMillis) -> None:
    """Freeze the row until whoever had it up to `at` is transferred. A repetition is ignored."""
    if (to, at) in row.moves or (to, at) in row.leaving:
        return
    if not any(since == at for since, _ in row.tenures):
        begin_tenure(row, at + 1)  # who leaves at an instant has its events, unless somebody else came at it
    row.leaving = sorted([*row.leaving, (to, at)], key=lambda move: move[1])
    mark_due(row)


def next_to_leave(row: MembershipRow) -> AddressChange | None:
    """Return who is to be transferred now; None while the row of a still earlier address is awaited, or nobody is."""
    if not row.leaving or any(since < row.leaving[0][1] for since in row.awaits.values()):
        return None
    return row.leaving[0]


def has_earlier_holder(row: MembershipRow, at: EpochMillis) -> bool:
    """Whether somebody had the address before whoever leaves at that time came to it, and is not known to have left.

    They are the same person, unless the record of the other one's leaving is still on its way from another partition.
    """
    came = max((since for since in row.former_addresses.values() if since < at), default=NEVER)
    return any(since < came and (tenure.audiences or tenure.fields) for since, tenure in row.tenures)


def leaver(row: MembershipRow, at: EpochMillis) -> MembershipRow:
    """Return what belongs to whoever leaves at that time, and which changes wait for receipts or have them; a copy."""
    gone = _part_of(row, (tenure for since, tenure in row.tenures if since < at))
    kept = _part_of(row, (tenure for since, tenure in row.tenures if since >= at))
    theirs = {entry.position for entry in kept.audiences.values()}
    outstanding = [change for change in row.outstanding if change[2] not in theirs]
    return replace(
        gone,
        lists=row.lists,
        pending=row.pending,
        own_acts=dict(row.own_acts),
        source=row.source,
        outstanding=outstanding,
        answered=row.answered,
    )


def transfer_out(row: MembershipRow, key: str) -> MembershipRow:
    """Return what goes to the new address of the first to leave, and keep only what belongs to the next holder."""
    _, at = move = row.leaving.pop(0)
    transferred = leaver(row, at)
    row.outstanding = [change for change in row.outstanding if change not in transferred.outstanding]
    transferred.pending, transferred.outstanding, transferred.answered = [], [], {}
    row.tenures = [(NEVER, MembershipRow()), *((since, tenure) for since, tenure in row.tenures if since >= at)]
    kept = _part_of(row, (tenure for _, tenure in row.tenures))
    followed = bool(kept.audiences or kept.fields or row.awaits)
    transferred.own_acts = {list_id: left for list_id, left in row.own_acts.items() if left < at or not followed}
    row.own_acts = {list_id: left for list_id, left in row.own_acts.items() if list_id not in transferred.own_acts}
    taken = {list_id for list_id, claimants in row.claimants.items() if holder_of(claimants) is not None}
    transferred.lists = {
        list_id: held_of_leaver(held, key, at, taken=list_id in taken) for list_id, held in row.lists.items()
    }
    row.lists = {list_id: held_of_next(held, key, at, taken=list_id in taken) for list_id, held in row.lists.items()}
    if not followed:
        row.tenures = []
    row.audiences, row.fields, row.snapshot_at = kept.audiences, kept.fields, kept.snapshot_at
    row.pending = []
    row.moves = sorted([*row.moves, move], key=lambda done: done[1])
    row.due, row.settled = bool(row.audiences or row.awaits or row.leaving or row.lists), ()
    return transferred


def onward(row: MembershipRow, at: EpochMillis) -> AddressChange | None:
    """Return where the person who has the address since `at` went later; None when they have it still."""
    return _transferred(row, next((move for move in _changes(row) if move[1] > at), None))


def receive_transfer(
    row: MembershipRow, key: str, former: str, at: EpochMillis, transferred: MembershipRow
) -> Received:
    """Merge a transferred row, in place, and return what of this one it replaces. What its lists hold is merged once:
    not from a repetition, or a late event that was redirected."""
    known = row.former_addresses.get(former, NEVER) >= at
    mark_due(row)
    if row.awaits.get(former, NEVER) <= at:
        row.awaits.pop(former, None)
    for entry in transferred.audiences.values():
        entry.position = -1  # its changes have their receipts from the old address: they have no position here
    replaced = _merge(row, transferred)
    if row.tenures:
        _merge(tenure_at(row, at), transferred)
    result = Received(replaced)
    if known:
        result.unneeded = [
            (list_id, address, order.lent)
            for list_id, held in transferred.lists.items()
            for address, order in held.orders.items()
            if order.lent and address not in row.lists.get(list_id, Held()).orders
        ]
        return result
    row.former_addresses[former] = at
    for list_id, left_at in transferred.own_acts.items():
        row.own_acts[list_id] = max(left_at, row.own_acts.get(list_id, left_at))
    for list_id, held in transferred.lists.items():
        replaced_orders = receive_held(row.lists.setdefault(list_id, Held()), key, at, held)
        result.unneeded += [(list_id, address, lent) for address, lent in replaced_orders]
    return result


def redirected_to(row: MembershipRow, event: MembershipEvent) -> AddressChange | None:
    """Return where the person of a late event went; None when it is about who has the address still.

    At the very instant of a change an event is about who left, unless somebody else came at it, or it says so itself.
    """
    came = {*row.former_addresses.values(), *row.awaits.values()}
    for to, at in _changes(row):
        if event.at < at or (event.at == at and event.previous is None and at not in came):
            return _transferred(row, (to, at))
    return None


def late_event(event: MembershipEvent) -> MembershipRow:
    """Return what a late event states about somebody who moved to another address, as a row to be transferred."""
    transferred = MembershipRow()
    fold(transferred, event)
    return transferred


def erase(row: MembershipRow, at: EpochMillis) -> tuple[str, ...]:
    """Empty the row, in place, and return the person's other addresses, whose owners have to erase them, too.

    What is left is the time: changes of audiences dated up to then are stale, and do not bring the person back.
    Erasing an empty row returns nothing, so that addresses that point at each other come to an end. What their lists
    hold is not changed by this; upstream, where audiences come from, has to forget the person, too.
    """
    ahead = (to for to, _ in [*row.leaving, *row.moves])
    others = dict.fromkeys([*row.former_addresses, *row.awaits, *ahead])
    empty = MembershipRow(snapshot_at=max(row.snapshot_at, at), source=row.source)
    for name in MembershipRow.__slots__:
        setattr(row, name, getattr(empty, name))
    return tuple(others)


def _changes(row: MembershipRow) -> list[AddressChange]:
    return sorted([*row.moves, *row.leaving], key=lambda move: move[1])


def _transferred(row: MembershipRow, move: AddressChange | None) -> AddressChange | None:
    """Return the move unless it is still to come: what belongs to whoever leaves then goes with the row."""
    return move if move in row.moves else None


def tenure_at(row: MembershipRow, at: EpochMillis) -> MembershipRow:
    """Return what is known of who had the address at a time."""
    return next(tenure for since, tenure in reversed(row.tenures) if since <= at)


def _part_of(row: MembershipRow, tenures: Iterable[MembershipRow]) -> MembershipRow:
    """Return the union of some of a row's tenures; what is not in force in the whole row has its receipts."""
    part = _union(tenures)
    for audience, entry in part.audiences.items():
        if row.audiences[audience].position != entry.position:
            entry.position = -1
    return part


def _union(parts: Iterable[MembershipRow]) -> MembershipRow:
    """Return what several rows state together; a copy."""
    whole = MembershipRow()
    for part in parts:
        _merge(whole, part)
    return whole


def _merge(row: MembershipRow, other: MembershipRow) -> list[SupersededChange]:
    """Take over what another row states later; at one instant what was appended later. Changes the first row.

    An audience that one of them does not know counts as left at its latest snapshot.

    Returns the changes that it replaces.
    """
    replaced: list[SupersededChange] = []
    for audience in dict.fromkeys([*row.audiences, *other.audiences]):
        mine = row.audiences.get(audience)
        merged = _later(_stated(row, audience), _stated(other, audience))
        if mine is not None and (mine.inside, mine.position) != (merged.inside, merged.position):
            replaced.append(SupersededChange(audience, mine.rank, mine.position, mine.appended, mine.since))
        row.audiences[audience] = merged
    for name, (value, valid_from) in other.fields.items():
        if name not in row.fields or row.fields[name][1] < valid_from:
            row.fields[name] = (value, valid_from)
    row.snapshot_at = max(row.snapshot_at, other.snapshot_at)
    return replaced


def _stated(row: MembershipRow, audience: str) -> AudienceEntry:
    """Return what a row knows of an audience: by its latest snapshot, somebody is in no others than it named."""
    at = row.snapshot_at
    position, appended = row.awaited_at or (-1, 0)
    return row.audiences.get(audience) or AudienceEntry(SNAPSHOT_OUT, at, position, appended, at, at)


def _later(one: AudienceEntry, other: AudienceEntry) -> AudienceEntry:
    """Return the later of two entries about one audience, with what the earlier one knows since when; a copy."""
    earlier, later = sorted((one, other), key=_order)
    if later.rank == SNAPSHOT_IN and later.entered < earlier.at:  # its row did not know the earlier one
        if earlier.inside:
            return replace(later, since=earlier.since, entered=earlier.entered)
        return replace(later, since=later.at, entered=earlier.at)
    if later.rank == SNAPSHOT_OUT and not earlier.inside and earlier.at != NEVER:
        return replace(earlier, rank=SNAPSHOT_OUT, at=later.at)
    if later.rank == SNAPSHOT_OUT and later.position < 0:
        return replace(later, appended=earlier.appended, entered=earlier.at)
    return replace(later)


def _order(entry: AudienceEntry) -> tuple[EpochMillis, int, EpochMillis, int]:
    return entry.at, kind_of(entry.rank), entry.appended, entry.rank
