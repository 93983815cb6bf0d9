"""Which of several people has an address on a list: jobs may read it from a field, which two people may share. Pure.

The row whose key the address is decides, whoever owns its partition; nobody else's call may write the address:

    exchange         a person whose address is another key claims it there (ASKED), and waits for the answer; who does
                     not want it any more gives it back (LEFT)
    receive_claim    the address's row keeps who claims it, in the order in which they came
    exchange         it grants the address to the first of them, and refuses the others, who wait for it; while its own
                     person has the address on the list, all are refused, and a grant is taken back (REVOKED)
    receive_answer   the person is sent, or refused; who has to give the address back does so between two calls

Each message holds all that it is about, and may come twice. A row is written before its messages are published, and
due until then: so a message that was lost is published again by the next owner. An answer repeats the number of its
claim; one to an earlier claim is ignored.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import NamedTuple

from schemas.audience_delivery import Refusal
from schemas.envelope import EpochMillis
from schemas.membership_command import AnswerClaim, ClaimAddress
from streams.export.rules.address_claims import ASKED, GRANTED, LEFT, REFUSED, REVOKED, AddressClaim, remove_claim
from streams.export.rules.desired import DesiredSubscriber
from streams.export.rules.routing import AttemptState, is_due, record_late_calls
from streams.export.rules.row import Held, MembershipRow

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
    """Whether somebody's claim has to be looked at before the list is written for this person."""
    if list_id in row.claims or list_id in row.claimants:
        return True
    return desired is not None and _wanted(desired) not in (None, key)


def is_open(row: MembershipRow) -> bool:
    """Whether the row waits for an answer, or has one to publish."""
    if not row.claims and not row.claimants:
        return False
    states = {
        claim.state for claims in (row.claims, row.claimants) for named in claims.values() for claim in named.values()
    }
    return not states.isdisjoint((ASKED, REVOKED, LEFT))


def allowed(row: MembershipRow, key: str, list_id: str, desired: DesiredSubscriber | None) -> DesiredSubscriber | None:
    """Return what may be written of what is desired; None: nothing before a claim is answered."""
    if desired is None:
        return None
    wanted = _wanted(desired)
    taken = _holder(row.claimants.get(list_id, {})) is not None
    if wanted is None:
        held = row.lists.get(list_id)
        free = not taken if desired.address == key else _state(row, list_id, desired.address) == GRANTED
        known = held is not None and held.address is not None
        return desired if desired.present or known or free else replace(desired, address=None)
    if wanted == key:
        return None if taken else desired
    state = _state(row, list_id, wanted)
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
    row.due = True
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
    held = row.lists.get(answer.list_id)
    if held is None and answer.removed:
        held = row.lists[answer.list_id] = Held()
    if held is not None:
        held.removed = max(held.removed, answer.removed)
        for part in held.delivered.values():
            part.digest = ""
    row.due = True
    return Exchanged(True)


def _claim(row: MembershipRow, context: ClaimContext, attempt: AttemptState, result: Exchanged) -> None:
    key, list_id, desired, now, late_call_ms = context
    held = row.lists.get(list_id)
    wanted = None if desired is None else _wanted(desired)
    exported = desired is not None and (desired.present or is_due(held, desired))
    in_use = held.address if held is not None and exported else None
    for address, claim in list(row.claims.get(list_id, {}).items()):
        if claim.state == REVOKED and attempt.outcome_unknown and held is not None and desired is not None:
            record_late_calls(held, attempt, desired, now + late_call_ms)
            attempt.outcome_unknown = False
            result.changed = True
        may_be_applied = _late_until(held, address)
        if claim.state == REVOKED:
            keeps = now < may_be_applied
        else:
            granted = claim.state == GRANTED and (attempt.outcome_unknown or may_be_applied > 0)
            keeps = granted or (claim.state != LEFT and address in (wanted, in_use))
        if keeps:
            if attempt.outcome_unknown:
                result.messages.append(ClaimMessage(address, ClaimAddress(list_id, key, claim.number)))
            continue
        _forget_subscriber(held, address)
        removed = held.removed if held is not None and claim.state == GRANTED else 0
        _write_claim(row, context, address, max(now, claim.number + 1), wanted, result, removed)
    if wanted not in (None, key) and wanted not in row.claims.get(list_id, {}):
        _write_claim(row, context, wanted or "", now, wanted, result)


def _write_claim(
    row: MembershipRow,
    context: ClaimContext,
    address: str,
    number: int,
    wanted: str | None,
    result: Exchanged,
    removed: EpochMillis = 0,
) -> None:
    state = ASKED if address == wanted else LEFT
    row.claims.setdefault(context.list_id, {})[address] = AddressClaim(number, state)
    claim = ClaimAddress(context.list_id, context.key, number, state == ASKED, removed=removed)
    result.messages.append(ClaimMessage(address, claim))
    result.changed = True


def _answer(row: MembershipRow, context: ClaimContext, attempt: AttemptState, result: Exchanged) -> None:
    key, list_id, desired, _, _ = context
    claimants = row.claimants.get(list_id)
    if not claimants:
        return
    held = row.lists.get(list_id)
    own, holder = _is_own(held, desired, key), _holder(claimants)
    if not own and holder is None:
        holder, first = next(iter(claimants.items()))
        claimants[holder] = first._replace(removed=max(first.removed, 0 if held is None else held.removed))
        _forget_subscriber(held, key)
    for by, claim in claimants.items():
        held_state = REVOKED if own or claim.state == REVOKED else GRANTED
        state = held_state if by == holder else REFUSED
        if state == claim.state and not attempt.outcome_unknown:
            continue
        result.changed = result.changed or state != claim.state
        claimants[by] = answered = claim._replace(state=state)
        result.messages.append(_answered(key, list_id, by, answered))


def _is_own(held: Held | None, desired: DesiredSubscriber | None, key: str) -> bool:
    """Whether the person whose key the address is has it on the list, is to have it, or may have been written."""
    if held is not None and _late_until(held, key):
        return True
    if desired is None:
        return False
    if desired.present:
        return _wanted(desired) == key or (held is not None and held.address == key)
    return held is not None and is_due(held, desired)


def _wanted(desired: DesiredSubscriber) -> str | None:
    return desired.address if desired.present and desired.refused is None else None


def _holder(claimants: Mapping[str, AddressClaim]) -> str | None:
    return next((by for by, claim in claimants.items() if claim.state in (GRANTED, REVOKED)), None)


def _state(row: MembershipRow, list_id: str, address: str | None) -> int:
    claim = row.claims.get(list_id, {}).get(address or "")
    return ASKED if claim is None else claim.state


def _late_until(held: Held | None, address: str) -> EpochMillis:
    """Return when calls that write the address can no longer be applied; 0: there are none."""
    if held is None or held.late is None or address not in held.late.addresses:
        return 0
    return held.late.over_at


def _forget_subscriber(held: Held | None, address: str) -> None:
    """The subscriber under this address is somebody else's from here on."""
    if held is None:
        return
    if held.address == address:
        held.address, held.audiences, held.digest = None, [], ""
    if held.late is not None and address in held.late.addresses:
        others = tuple(other for other in held.late.addresses if other != address)
        held.late = replace(held.late, addresses=others) if others else None


def _answered(address: str, list_id: str, by: str, claim: AddressClaim) -> ClaimMessage:
    return ClaimMessage(by, AnswerClaim(list_id, address, claim.number, claim.state, claim.removed))
