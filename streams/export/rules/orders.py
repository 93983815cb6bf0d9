"""What lists hold when a person's address changes: orders to rename, and who may write to an address. Pure.

A subscriber belongs to the row of their address. Whoever leaves takes an order along; the row of the former address
writes nothing until the order is reported (`Held.lent`), and then only what a look at the list shows to be needed.
"""

from collections.abc import Mapping
from dataclasses import replace

from connectors.campaign_monitor.client.requests import address_key
from schemas.envelope import EpochMillis
from streams.export.rules.address_claims import AddressArrival, KnownSubscriber, RenameOrder, holder_of
from streams.export.rules.codes import DELETED
from streams.export.rules.desired import Membership, membership_of, was_exported
from streams.export.rules.due import mark_due
from streams.export.rules.jobs import JobView, ListView
from streams.export.rules.row import NEVER, DeliveredPart, Held, MembershipRow, UnansweredCalls, open_orders


def _is_lent(held: Held, key: str, *, taken: bool) -> bool:
    """Whether whoever leaves may be on the list under this row's address: then an order for it goes along.

    `taken`: somebody else was granted the address, and the list holds it for them.
    """
    return not taken and not held.lent and held.address in (None, key) and not (held.removed and held.address is None)


def held_of_leaver(held: Held, key: str, at: EpochMillis, *, taken: bool) -> Held:
    """Return what whoever leaves takes along of a list: their consent, and the orders for all addresses they had."""
    held = _known_as(held, _told_apart(held, at).before)
    orders = {former: order._replace(since=at) for former, order in held.orders.items() if order.since < at}
    if _is_lent(held, key, taken=taken):
        orders[key] = RenameOrder(at, at)
    address = None if held.address == key else held.address  # a job may write to another address than the row's
    return replace(
        held,
        delivered=_unanswered(held),
        address=address,
        seen=-1,
        digest="",
        late=None,
        orders=orders,
        lent=0,
        arrival=None,
    )


def held_of_next(held: Held, key: str, at: EpochMillis, *, taken: bool) -> Held:
    """Return what stays: which changes have receipts, what may still happen to the address, and later orders."""
    orders = {former: order for former, order in held.orders.items() if order.since >= at}
    apart = _told_apart(held, at)
    lent = at if _is_lent(_known_as(held, apart.before), key, taken=taken) else held.lent
    left = apart._replace(before=KnownSubscriber()) if apart.at >= at else None
    stays = Held(_unwritten(held), seen=held.seen, late=held.late, orders=orders, lent=lent, arrival=left)
    return _known_as(stays, apart.came)


def _told_apart(held: Held, at: EpochMillis) -> AddressArrival:
    """Return what is known of whoever leaves then, and of who came since: nobody, as far as is known."""
    if held.arrival is not None and held.arrival.at >= at:
        return held.arrival
    return AddressArrival(NEVER, _known(held), KnownSubscriber())


def _known(held: Held) -> KnownSubscriber:
    consent = held.code, held.used_entry, held.removed, held.last_removed
    return KnownSubscriber(held.address, tuple(held.audiences), *consent, held.chosen)


def _known_as(held: Held, known: KnownSubscriber) -> Held:
    return replace(held, **{**known._asdict(), "audiences": list(known.audiences)})


def receive_held(mine: Held, key: str, at: EpochMillis, held: Held) -> list[tuple[str, EpochMillis]]:
    """Merge what somebody takes along of a list, in place.

    Returns orders, (former address, when they left it), that a newer one for the same address replaces: a transfer that
    was repeated left them.
    """
    orders = {former: order._replace(since=at) for former, order in held.orders.items()}
    if mine.arrival is None:
        mine.arrival = AddressArrival(at, _known(mine), _known(held))
    if mine.address is None:
        mine.address, mine.audiences, mine.chosen = held.address, held.audiences, held.chosen
        mine.code = mine.code or held.code
        mine.removed = max(mine.removed, held.removed)
        mine.last_removed = max(mine.last_removed, held.last_removed)
    elif held.address is not None and held.address != mine.address:
        orders[held.address] = RenameOrder(at, 0)
    if (back := orders.pop(key, None)) is not None:  # they have the address again that they had before
        _report(mine, back.lent, key, taken=False)
    replaced: list[tuple[str, EpochMillis]] = []
    for former, order in orders.items():
        older, newer = sorted((mine.orders.get(former, order), order), key=lambda known: known.lent)
        mine.orders[former] = newer
        if older.lent != newer.lent:
            replaced.append((former, older.lent))
    mine.used_entry = max(mine.used_entry, held.used_entry)
    came, mine.delivered = _unanswered(held), _unwritten(mine)
    for job, part in came.items():
        known = mine.delivered.setdefault(job, part)
        known.exported = known.exported or part.exported
    mine.digest = ""
    return replaced


def renamed(row: MembershipRow, key: str, list_id: str, lent: EpochMillis) -> None:
    """Record that an order for this row's address is carried out: the address is this row's alone again."""
    taken = holder_of(row.claimants.get(list_id, {})) is not None
    _report(row.lists.setdefault(list_id, Held()), lent, key, taken=taken)
    mark_due(row)


def _report(held: Held, lent: EpochMillis, key: str, *, taken: bool) -> None:
    if held.lent == lent:
        held.lent = 0
    held.delivered, held.digest = _unwritten(held), ""
    held.address, held.audiences = None, []
    if not taken and address_key(key) == key:  # else it may be somebody else's: see `rules/claims.py`
        # What it holds is not known: only a look shows that, also where the job writes to another address.
        held.late = UnansweredCalls(0, addresses=(key,)).and_(held.late)


def mark_for_resend(row: MembershipRow, list_id: str, missing: EpochMillis = 0) -> bool:
    """Drop what is recorded about a list's content for the person, so that it is sent again. False: nothing was.

    `missing`: when the list did not know them; who was delivered before was deleted for good since then.
    """
    held = row.lists.get(list_id)
    if held is None:
        return False
    if missing and held.address is not None and held.code == 0:
        held.code = DELETED
        row.own_acts[list_id] = max(missing, row.own_acts.get(list_id, NEVER))
    for part in held.delivered.values():
        part.digest = ""
    held.digest = ""
    if held.address is None or held.code:  # the list may hold them all the same: only a look shows that
        held.late = UnansweredCalls(0).and_(held.late)
    mark_due(row)
    return True


def _unanswered(held: Held) -> dict[str, DeliveredPart]:
    """Return the parts without their content and without positions, which are those of another partition."""
    return {job: DeliveredPart("", -1, exported=part.exported) for job, part in held.delivered.items()}


def _unwritten(held: Held) -> dict[str, DeliveredPart]:
    """Return the parts without their content: which changes have receipts stays known."""
    return {job: replace(part, digest="") for job, part in held.delivered.items()}


def mark_done(row: MembershipRow, list_id: str, orders: Mapping[str, RenameOrder] | None) -> bool:
    """Record, in place, orders that were carried out; None: all, since no job exports the person. True: some are."""
    held = row.lists.get(list_id)
    if held is None:
        return False
    held.orders |= {
        former: order._replace(done=True)
        for former, order in held.orders.items()
        if orders is None or orders.get(former) == order
    }
    return len(open_orders(held)) < len(held.orders)


def take_done(row: MembershipRow, list_id: str) -> list[tuple[str, EpochMillis]]:
    """Take orders that were carried out off the row, in place: (former address, when they left it)."""
    held = row.lists.get(list_id)
    if held is None:
        return []
    done = [(former, order.lent) for former, order in held.orders.items() if order.done]
    for former, _ in done:
        del held.orders[former]
    return done


def waits(row: MembershipRow, list_id: str) -> bool:
    """Whether nothing may be sent to the list: a transfer comes or goes, or an order for the address is under way."""
    held = row.lists.get(list_id)
    return bool(row.awaits or row.leaving or (held is not None and held.lent and not open_orders(held)))


def is_moving(row: MembershipRow) -> bool:
    """Whether a transfer or an order is under way: the row is due until it is not."""
    return bool(row.awaits or row.leaving) or any(held.lent or held.orders for held in row.lists.values())


def mark_answered(row: MembershipRow, list_id: str, job_id: str, position: int) -> None:
    """Record, in place, that a position has its receipt though others before it may wait for theirs."""
    delivered = row.lists.setdefault(list_id, Held()).delivered
    known = delivered.setdefault(job_id, DeliveredPart("", -1))
    known.also = (*known.also, position)


def note_export(row: MembershipRow, view: JobView) -> bool:
    """Record, in place, that a request may be made for the job; False: that is known, or it does not export them.

    The next owner, which does not know of the request, reads it: also when the jobs have changed by then.
    """
    held = row.lists.setdefault(view.job.list_id, Held())
    if not view.running or was_exported(view, held) or membership_of(row, view)[0] is not Membership.PRESENT:
        return False
    return note_call(row, view.job.list_id, view.id)


def note_call(row: MembershipRow, list_id: str, job_id: str) -> bool:
    """Record the same, in place, of a request that certainly included the person; False: that is known."""
    part = row.lists.setdefault(list_id, Held()).delivered.setdefault(job_id, DeliveredPart("", -1))
    was_noted, part.exported = part.exported, True
    return not was_noted


def note_exports(row: MembershipRow, listed: ListView) -> bool:
    """Record the same for every job of a list. False: nothing was new."""
    noted = [note_export(row, view) for view in listed.running]
    return any(noted)


def own_orders(held: Held | None) -> dict[str, str]:
    """Return the former addresses, by their claimed form, that no row waits for: the person claims them until then."""
    if held is None or not held.orders:
        return {}
    return {address_key(address): address for address in open_orders(held) if not held.orders[address].lent}


def leaver_to(row: MembershipRow, list_id: str) -> str | None:
    """Return the present address of who left this one, while their order for it is awaited."""
    held = row.lists.get(list_id)
    lent = 0 if held is None or row.awaits or row.leaving else held.lent
    return next((to for to, at in row.moves if lent and at == lent), None)


def claimed_by_leaver(row: MembershipRow, list_id: str) -> str | None:
    """Return who claims the address that they left, while their order for it is awaited: both would wait for ever."""
    to = leaver_to(row, list_id)
    return to if to in row.claimants.get(list_id, {}) else None


def compared(address: str | None) -> str | None:
    """Return the form under which an address is claimed: one for all that a list may take for one."""
    return None if address is None else address_key(address)


def late_until(held: Held | None, address: str) -> EpochMillis:
    """Return when calls that write the address, as it is compared, can no longer be applied; 0: there are none."""
    if held is None or held.late is None or address not in map(address_key, held.late.addresses):
        return 0
    return held.late.over_at


def forget_subscriber(held: Held | None, address: str) -> None:
    """Record, in place, that the subscriber under this address, as it is compared, is somebody else's from here on."""
    if held is None:
        return
    if compared(held.address) == address:
        held.address, held.audiences, held.digest = None, [], ""
    if (former := own_orders(held).get(address)) is not None:
        del held.orders[former]
    if late_until(held, address) and held.late is not None:
        others = tuple(other for other in held.late.addresses if address_key(other) != address)
        held.late = replace(held.late, addresses=others) if others else None


def note_unknown(row: MembershipRow, list_id: str, over_at: EpochMillis) -> bool:
    """Record, in place, a call of unknown outcome about somebody who may not be sent now. False: there was none."""
    held = row.lists.get(list_id)
    if held is None:
        return False
    held.late = UnansweredCalls(over_at, resubscribes=True).and_(held.late)
    return True


def copy_of_held(held: Held) -> Held:
    """Return what a list holds, to be kept while the row goes on changing."""
    delivered = {job: replace(part) for job, part in held.delivered.items()}
    return replace(held, delivered=delivered, audiences=list(held.audiences), orders=dict(held.orders))
