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

from dataclasses import dataclass, field, replace

from schemas.envelope import EpochMillis
from streams.export.rules.address_claims import holder_of
from streams.export.rules.due import mark_due
from streams.export.rules.membership import MembershipEvent, SupersededChange, fold
from streams.export.rules.orders import held_of_leaver, held_of_next, receive_held
from streams.export.rules.row import FIELDS_CHANGED, NEVER, Held, MembershipRow, PendingChange
from streams.export.rules.tenures import begin_tenure, merge, part_of, tenure_at

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
    came = max((since for since, _ in row.tenures if since < at), default=NEVER)
    return any(since < came and (tenure.audiences or tenure.fields) for since, tenure in row.tenures)


def leaver(row: MembershipRow, at: EpochMillis) -> MembershipRow:
    """Return what belongs to whoever leaves at that time, and which changes wait for receipts or have them; a copy."""
    gone = part_of(row, (tenure for since, tenure in row.tenures if since < at))
    stays, theirs = _changes_of_next(row, at)
    return replace(
        gone,
        lists=row.lists,
        pending=[change for change in row.pending if change not in stays],
        own_acts=dict(row.own_acts),
        source=row.source,
        outstanding=[change for change in row.outstanding if change[2] not in theirs],
        answered=row.answered,
    )


def _changes_of_next(row: MembershipRow, at: EpochMillis) -> tuple[list[PendingChange], set[int]]:
    """Return what is pending about whoever comes after `at`, and the positions of all that is answered with them."""
    later = [(since, tenure) for since, tenure in row.tenures if since >= at]
    pending = [change for change in row.pending if change.rank >= FIELDS_CHANGED and later and change.at >= later[0][0]]
    kept = part_of(row, (tenure for _, tenure in later))
    answered = {change.position for change in pending} | {entry.position for entry in kept.audiences.values()}
    return pending, answered | {tenure.awaited_at[0] for _, tenure in later if tenure.awaited_at is not None}


def transfer_out(row: MembershipRow, key: str) -> MembershipRow:
    """Return what goes to the new address of the first to leave, and keep only what belongs to the next holder."""
    _, at = move = row.leaving.pop(0)
    transferred, (row.pending, _) = leaver(row, at), _changes_of_next(row, at)
    row.outstanding = [change for change in row.outstanding if change not in transferred.outstanding]
    transferred.pending, transferred.outstanding, transferred.answered = [], [], {}
    row.tenures = [(NEVER, MembershipRow()), *((since, tenure) for since, tenure in row.tenures if since >= at)]
    kept = part_of(row, (tenure for _, tenure in row.tenures))
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
    row.awaited_at = next((tenure.awaited_at for _, tenure in reversed(row.tenures) if tenure.awaited_at), None)
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
    replaced = merge(row, transferred)
    if row.tenures:
        merge(tenure_at(row, at), transferred)
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
