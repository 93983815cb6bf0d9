"""A person's e-mail address changed, or the person is erased: what happens to the rows of all their addresses. Pure.

Rows live by address, so a transfer takes two rows, perhaps of two workers, and three steps that may each be repeated:

    await_transfer    the new address's row waits (`awaits_transfer`): nothing of it is sent before it has the old one
    begin_transfer    the old address's row is frozen (`moving_to`), until no request includes it any more
    transfer_out      it goes to the new address, and an empty row is left
    receive_transfer  the new row merges it: what the list holds under the old address is then changed in place

What happens at the old address afterwards, by event time, is about the person who has it now.
"""

from dataclasses import replace

from schemas.envelope import EpochMillis
from streams.export.rules.membership import MembershipEvent, fold
from streams.export.rules.row import DeliveredPart, MembershipRow


def await_transfer(row: MembershipRow, former: str, at: EpochMillis) -> bool:
    """Record that the person had another address before. False when that row has been received already."""
    if former in row.former_addresses and row.former_addresses[former] >= at:
        return False
    row.awaits_transfer = former
    row.due = True
    return True


def begin_transfer(row: MembershipRow, to: str, at: EpochMillis) -> None:
    """Freeze the row until it is transferred. Idempotent: a repetition after the transfer is ignored."""
    if row.moved_to is not None and row.moved_to[1] >= at:
        return
    row.moving_to = (to, at)
    row.due = True


def transfer_out(row: MembershipRow) -> MembershipRow:
    """Return what goes to the new address, and leave an empty row behind."""
    transferred = MembershipRow(
        row.audiences, row.fields, row.lists, snapshot_at=row.snapshot_at, source=row.source, own_acts=row.own_acts
    )
    row.audiences, row.fields, row.lists, row.own_acts = {}, {}, {}, {}
    row.pending = []
    row.snapshot_at = MembershipRow().snapshot_at
    row.moving_to, row.moved_to = None, row.moving_to
    row.due = False
    return transferred


def receive_transfer(row: MembershipRow, former: str, at: EpochMillis, transferred: MembershipRow) -> bool:
    """Merge a transferred row, in place.

    False when what its lists hold was merged before: a repetition, or a late event that was redirected.
    """
    known = former in row.former_addresses and row.former_addresses[former] >= at
    row.due = True
    if row.awaits_transfer == former:
        row.awaits_transfer = None
    for audience, entry in transferred.audiences.items():
        mine = row.audiences.get(audience)
        if mine is None or (mine.at, mine.rank) < (entry.at, entry.rank):
            # Its changes have their receipts from the old address: they have no position here.
            row.audiences[audience] = replace(entry, position=-1)
    for name, (value, valid_from) in transferred.fields.items():
        if name not in row.fields or row.fields[name][1] < valid_from:
            row.fields[name] = (value, valid_from)
    row.snapshot_at = max(row.snapshot_at, transferred.snapshot_at)
    if known:
        return False
    row.former_addresses[former] = at
    for list_id, left_at in transferred.own_acts.items():
        row.own_acts[list_id] = max(left_at, row.own_acts.get(list_id, left_at))
    for list_id, held in transferred.lists.items():
        mine_held = row.lists.get(list_id)
        delivered = {job: DeliveredPart("", -1) for job in held.delivered}
        if mine_held is not None:
            delivered |= {job: DeliveredPart("", part.answered) for job, part in mine_held.delivered.items()}
        seen = -1 if mine_held is None else mine_held.seen
        if held.address is not None or mine_held is None:
            row.lists[list_id] = replace(held, delivered=delivered, seen=seen, digest="")
        else:
            mine_held.delivered = delivered
    return True


def redirect_late_event(row: MembershipRow, event: MembershipEvent) -> MembershipRow | None:
    """Return what a late event states about somebody who moved to another address, as a row to be transferred.

    None when the event is about this row.
    """
    if row.moved_to is None or event.at > row.moved_to[1]:
        return None
    transferred = MembershipRow()
    fold(transferred, event)
    return transferred


def erase(row: MembershipRow, at: EpochMillis) -> tuple[str, ...]:
    """Empty the row, in place, and return the person's other addresses, whose owners have to erase them, too.

    What is left is the time: changes of audiences dated up to then are stale, and do not bring the person back.
    Erasing an empty row returns nothing, so that addresses that point at each other come to an end. What their lists
    hold is not changed by this; upstream, where audiences come from, has to forget the person, too.
    """
    ahead = (target[0] for target in (row.moving_to, row.moved_to) if target is not None)
    awaited = [row.awaits_transfer] if row.awaits_transfer else []
    others = dict.fromkeys([*row.former_addresses, *awaited, *ahead])
    empty = MembershipRow(snapshot_at=max(row.snapshot_at, at), source=row.source)
    for name in MembershipRow.__slots__:
        setattr(row, name, getattr(empty, name))
    return tuple(others)
