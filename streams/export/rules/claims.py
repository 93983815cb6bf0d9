"""Which of several people has an address on a list: jobs may read it from a field, which two people may share. Pure.

Addresses that the list may take for one (`address_key`) are one address here: what is claimed is its folded form, which
an address of small ASCII letters is itself. The row whose key that is decides, whoever owns its partition; nobody
else's call may write the address:

    exchange         a person whose address is another key claims it there (ASKED), and waits for the answer; who does
                     not want it any more gives it back (LEFT)
    receive_claim    the address's row keeps who claims it, in the order in which they came
    exchange         it grants the address to the first of them, and refuses the others, who wait for it; while its own
                     person has the address on the list, all are refused, and a grant is taken back (REVOKED)
    receive_answer   the person is sent, or refused; who has to give the address back does so between two calls

Each message holds all that it is about, and may come twice. A row is written before its messages are published, and due
until then: the next owner publishes one that was lost. An answer repeats the number of its claim, else it is ignored.
"""

from dataclasses import dataclass, field, replace
from typing import NamedTuple

from connectors.campaign_monitor.client.requests import address_key
from schemas.audience_delivery import Refusal
from schemas.envelope import EpochMillis
from schemas.membership_command import AnswerClaim, ClaimAddress
from streams.export.rules.address_claims import (
    ASKED,
    GRANTED,
    LEFT,
    REFUSED,
    REVOKED,
    AddressClaim,
    holder_of,
    remove_claim,
    state_of,
)
from streams.export.rules.desired import DesiredSubscriber
from streams.export.rules.due import mark_due
from streams.export.rules.orders import claimed_by_leaver, compared, forget_subscriber, late_until, own_orders
from streams.export.rules.routing import AttemptState, is_due
from streams.export.rules.row import Held, MembershipRow, UnansweredCalls

# A field with one default for everybody would make one row as large as all of them: later ones do not wait.
MAX_CLAIMANTS = 100


class ClaimMessage(NamedTuple):
    """A command, and the key whose owner it is for."""

    key: str
    command: ClaimAddress | AnswerClaim


@dataclass(slots=True)
class Exchanged:
    """What a row's claims come to."""

    changed: bool = False
    """The row has to be written before the messages are published."""
    messages: list[ClaimMessage] = field(default_factory=list)


class ClaimContext(NamedTuple):
    """The person of a row, and one list."""

    key: str
    list_id: str
    desired: DesiredSubscriber | None
    now: EpochMillis
    late_call_ms: int
    """For how long a call without an answer may be applied."""


def has_claims(row: MembershipRow, key: str, list_id: str, desired: DesiredSubscriber | None) -> bool:
    """Whether somebody's claim has to be looked at before the list is written for this person.

    Also who has no address, or is to leave under another one: a call without an answer may have been under the key.
    """
    known = list_id in row.claims or list_id in row.claimants or bool(own_orders(row.lists.get(list_id)))
    return known or (desired is not None and (desired.address != key or address_key(key) != key))


def is_open(row: MembershipRow) -> bool:
    """Whether the row waits for an answer, or has one to publish."""
    both = [*row.claims.values(), *row.claimants.values()]
    states = {claim.state for named in both for claim in named.values()}
    return not states.isdisjoint((ASKED, REVOKED, LEFT))


def allowed(row: MembershipRow, key: str, list_id: str, desired: DesiredSubscriber | None) -> DesiredSubscriber | None:
    """Return what may be written of what is desired; None: nothing before a claim is answered."""
    if desired is None:
        return None
    wanted, orders = _wanted(desired), own_orders(row.lists.get(list_id))
    if any(state_of(row.claims, list_id, former) != GRANTED for former in orders if former != key):
        return None
    taken = holder_of(row.claimants.get(list_id, {})) is not None
    if wanted is None:
        held = row.lists.get(list_id)
        address = compared(desired.address)
        free = not taken if address == key else state_of(row.claims, list_id, address) == GRANTED
        known = held is not None and held.address is not None
        return desired if desired.present or known or free else replace(desired, address=None)
    if wanted == key:
        return None if taken else desired
    state = state_of(row.claims, list_id, wanted)
    if state == REFUSED:
        return replace(desired, address=None, refused=Refusal.ADDRESS_IN_USE)
    return desired if state == GRANTED else None


def exchange(row: MembershipRow, context: ClaimContext, attempt: AttemptState) -> Exchanged:
    """Ask for what the person is to have, give back what they are not to have, and answer who asks. In place.

    Run while no call includes the person. All is published again where it is not known whether it was.
    """
    result = Exchanged()
    _claim(row, context, attempt, result)
    _answer(row, context, attempt, result)
    return result


def drop_left(row: MembershipRow) -> bool:
    """Forget claims whose end was published. False: there is none."""
    found = [(list_id, name) for list_id, named in row.claims.items() for name in named if named[name].state == LEFT]
    for list_id, name in found:
        remove_claim(row.claims, list_id, name)
    return bool(found)


def end_claims(row: MembershipRow, key: str, now: EpochMillis, successor: str | None = None) -> list[ClaimMessage]:
    """Drop all claims of a person who is erased, or has another key now, and return the messages about them."""
    messages = [
        ClaimMessage(address, ClaimAddress(list_id, key, max(now, claim.number + 1), False, successor))
        for list_id, named in row.claims.items()
        for address, claim in named.items()
    ]
    row.claims = {}
    return messages


def receive_claim(row: MembershipRow, key: str, claim: ClaimAddress) -> Exchanged:
    """Keep who claims the address, or that they do not any more. In place; answered by `exchange`, or here again."""
    claimants = row.claimants.get(claim.list_id, {})
    known = claimants.get(claim.by)
    if known is not None and claim.number <= known.number:
        again = claim.wants and claim.number == known.number and known.state != ASKED
        return Exchanged(False, [_answered(key, claim.list_id, claim.by, known)] if again else [])
    if claim.wants and known is None and len(claimants) >= MAX_CLAIMANTS:
        return Exchanged(False, [_answered(key, claim.list_id, claim.by, AddressClaim(claim.number, REFUSED))])
    if not claim.wants and known is None:
        return Exchanged()
    for by, other in claimants.items() if claim.removed else ():
        claimants[by] = other._replace(removed=max(other.removed, claim.removed))
    if claim.wants:
        removed = 0 if known is None else known.removed
        row.claimants.setdefault(claim.list_id, {})[claim.by] = AddressClaim(claim.number, ASKED, removed)
    elif claim.successor is None or claim.successor in claimants or claim.successor == key:
        remove_claim(row.claimants, claim.list_id, claim.by)
    else:
        row.claimants[claim.list_id] = {
            claim.successor if by == claim.by else by: AddressClaim(0, ASKED) if by == claim.by else other
            for by, other in claimants.items()
        }
    mark_due(row)
    return Exchanged(True)


def receive_answer(row: MembershipRow, key: str, answer: AnswerClaim) -> Exchanged:
    """Record what became of a claim, in place. A grant of what is not claimed is given back."""
    claim = row.claims.get(answer.list_id, {}).get(answer.address)
    if claim is None and answer.state == GRANTED:
        back = ClaimAddress(answer.list_id, key, answer.number + 1, False)
        return Exchanged(False, [ClaimMessage(answer.address, back)])
    if claim is None or claim.number != answer.number or answer.state <= claim.state:
        return Exchanged()
    row.claims[answer.list_id][answer.address] = claim._replace(state=answer.state)
    if answer.removed:
        held = row.lists.setdefault(answer.list_id, Held())
        held.removed = max(held.removed, answer.removed)
    mark_due(row)
    return Exchanged(True)


def _claim(row: MembershipRow, context: ClaimContext, attempt: AttemptState, result: Exchanged) -> None:
    key, list_id, desired, now, _ = context
    held = row.lists.get(list_id)
    wanted = None if desired is None else _wanted(desired)
    exported = desired is not None and (desired.present or is_due(held, desired))
    in_use = compared(held.address) if held is not None and exported else None
    orders = [former for former in own_orders(held) if exported and former != key]
    for address, claim in list(row.claims.get(list_id, {}).items()):
        if claim.state in (GRANTED, REVOKED):
            _record_late_call(held, address, context, attempt, result)
        may_be_applied = late_until(held, address)
        to_end = address in orders and claim.state != REFUSED  # else it is somebody else's subscriber
        needed = claim.state != LEFT and (address in (wanted, in_use) or to_end)
        keeps = needed or (claim.state == GRANTED and may_be_applied > 0)
        if now < may_be_applied if claim.state == REVOKED else keeps:
            if claim.state == GRANTED and address == wanted and held is not None and desired is not None:
                result.changed = _send_again(held, desired.address) or result.changed
            if attempt.outcome_unknown or claim.state == REFUSED:  # perhaps too many waited
                result.messages.append(ClaimMessage(address, ClaimAddress(list_id, key, claim.number)))
            continue
        forget_subscriber(held, address)
        removed = held.removed if held is not None and claim.state == GRANTED else 0
        _write_claim(row, context, address, max(now, claim.number + 1), result, removed, asks=address == wanted)
    for new in dict.fromkeys((wanted, *orders)):
        if new is not None and new != key and new not in row.claims.get(list_id, {}):
            _write_claim(row, context, new, now, result)


def _write_claim(
    row: MembershipRow,
    context: ClaimContext,
    address: str,
    number: int,
    result: Exchanged,
    removed: EpochMillis = 0,
    *,
    asks: bool = True,
) -> None:
    state = ASKED if asks else LEFT
    row.claims.setdefault(context.list_id, {})[address] = AddressClaim(number, state)
    claim = ClaimAddress(context.list_id, context.key, number, state == ASKED, removed=removed)
    result.messages.append(ClaimMessage(address, claim))
    result.changed = True


def _answer(row: MembershipRow, context: ClaimContext, attempt: AttemptState, result: Exchanged) -> None:
    key, list_id, desired, *_ = context
    claimants, held = row.claimants.get(list_id, {}), row.lists.get(list_id)
    holder = holder_of(claimants)
    elsewhere = any(claim.state == GRANTED for claim in row.claims.get(list_id, {}).values())
    if holder is None and (claimants or not elsewhere):
        _record_late_call(held, key, context, attempt, result)
    if not claimants:
        return
    leaver = claimed_by_leaver(row, list_id)
    own = _is_own(held, desired, key) and (leaver is None or (desired is not None and desired.present))
    if not own and holder is None:
        holder = leaver or next(iter(claimants))
        first = claimants[holder]
        claimants[holder] = first._replace(removed=max(first.removed, 0 if held is None else held.removed))
        forget_subscriber(held, key)
    for by, claim in claimants.items():
        held_state = REVOKED if own or claim.state == REVOKED else GRANTED
        state = held_state if by == holder else REFUSED
        if state == claim.state and not attempt.outcome_unknown:
            continue
        result.changed = result.changed or state != claim.state
        claimants[by] = answered = claim._replace(state=state)
        result.messages.append(_answered(key, list_id, by, answered))


def _send_again(held: Held, address: str | None) -> bool:
    """Let somebody who was refused, or gave the address back, be sent. False: they were, or are to be anyway."""
    settled = [part for part in held.delivered.values() if part.digest]
    if held.address == address or held.code > 0:
        return False
    for part in settled:
        part.digest = ""
    return bool(settled)


def _record_late_call(
    held: Held | None, address: str, context: ClaimContext, attempt: AttemptState, result: Exchanged
) -> None:
    """Keep an address that a call without an answer may write until that is over."""
    if not attempt.outcome_unknown or held is None:
        return
    desired = context.desired
    may_be: tuple[str | None, ...] = (held.address, None if desired is None else desired.address, address)
    written = may_be if attempt.unanswered is None else attempt.unanswered.addresses
    if of_this := tuple(sorted({known for known in written if known is not None and address_key(known) == address})):
        resubscribes = desired is not None and desired.resubscribe
        held.late = UnansweredCalls(context.now + context.late_call_ms, resubscribes, of_this).and_(held.late)
        result.changed = True


def _is_own(held: Held | None, desired: DesiredSubscriber | None, key: str) -> bool:
    """Whether the person whose key the address is has it on the list, is to have it, or may have been written."""
    if held is not None and late_until(held, key):
        return True
    if desired is None:
        return False
    if desired.present:
        return _wanted(desired) == key or (held is not None and compared(held.address) == key)
    return held is not None and is_due(held, desired)


def _wanted(desired: DesiredSubscriber) -> str | None:
    return compared(desired.address) if desired.present and desired.refused is None else None


def _answered(address: str, list_id: str, by: str, claim: AddressClaim) -> ClaimMessage:
    return ClaimMessage(by, AnswerClaim(list_id, address, claim.number, claim.state, claim.removed))
