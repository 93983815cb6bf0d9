"""Which call brings a list to what it should hold for one person. Pure.

Only CHECK_CONSENT makes anybody active again who left, and is refused for that (204 to 208): it is for one person, who
has entered an audience, and first reads when they left.

    nothing differs                           NO_CALL
    no usable address                         REFUSE           no call either; or CLEAR_AUDIENCES under the former one
    desired, may be added                     IMPORT           up to 1,000 people a call, who share the same flags
    desired, on the list under another one    UPDATE           PUT with the old address, so nobody is added twice
    desired, must not be added                UPDATE           PUT never adds (203), and refuses nobody: read before
    left the last audience                    UPDATE           the field is cleared; leaving never adds, imports may
    left, and the job removes such people     REMOVE           the field is cleared, then unsubscribe or delete
    outcome unknown, mails might go twice     VERIFY           read the subscriber before anything is repeated
    refused, waits for their confirmation     UPDATE           PUT keeps the values up to date, and confirms nothing
    refused, an entry may count               CHECK_CONSENT    compare it with when they left, resubscribe or refuse
    refused before, and something changed     CHECK_CONSENT    the list may not know them any more: an import would add
    the same, where a PUT would not refuse    CHECK_CONSENT
    refused, but the list holds old options   CLEAR_AUDIENCES  PUT removes what is no longer true, and adds nothing
    on the list under a former address        RENAME           PUT with that one; where both are on the list, neither
    calls without an answer are over          IMPORT           again, without mails and without resubscribing
    the same, left, refused or moved          LOOK_AGAIN       read every address, and take back what a call brought
"""

import enum
from collections.abc import Mapping
from dataclasses import dataclass, field

from schemas.envelope import EpochMillis
from streams.export.rules.address_claims import AddressClaims, RenameOrder
from streams.export.rules.codes import BOUNCED, INACTIVE, SUPPRESSED, UNCONFIRMED
from streams.export.rules.desired import DesiredSubscriber
from streams.export.rules.row import Held, MembershipRow, UnansweredCalls, open_orders


class RequestKind(enum.Enum):
    """What kind of request a person needs."""

    NO_CALL = "no call"
    REFUSE = "refuse"
    IMPORT = "import"
    UPDATE = "update"
    REMOVE = "remove"
    VERIFY = "verify"
    CHECK_CONSENT = "check consent"
    CLEAR_AUDIENCES = "clear audiences"
    LOOK_AGAIN = "look again"
    RENAME = "rename"


@dataclass(frozen=True, slots=True)
class RequestRoute:
    """A kind of request and its flags. People with equal routes may share one import."""

    kind: RequestKind
    resubscribe: bool = False
    queue: bool = False
    restart: bool = False


@dataclass(slots=True)
class AttemptState:
    """What a worker knows about one person and list beyond the row; after a crash every outcome counts as unknown."""

    outcome_unknown: bool = False
    """A request may have been applied whose answer was lost."""
    found_due: bool = False
    """The row was due when its partition was taken over: the outcome is unknown unless the row says otherwise."""
    refused_code: int = 0
    """Code of the refusal that an import gave for the desired state."""
    address_moved: bool = False
    """The former address is not on the list any more (203), or the new one is on it already (201)."""
    unanswered: UnansweredCalls | None = None
    """The calls that got no answer, as far as this worker made them."""
    recheck: bool = False
    """Calls without an answer are over: whatever the row believes, the list is brought to what it should hold."""
    renamed: Mapping[str, RenameOrder] = field(default_factory=dict)
    """Orders that were carried out: they are reported with the outcome."""
    both_on_list: bool = False
    """The new address was on the list already, and a former one, too."""
    rename_at: float = 0.0
    """Orders are not carried out before: a call without an answer may be applied until then, or another row's order."""
    rename_waits: int = 0
    """How often the person waited for another row's order."""
    not_applied: bool = False
    """The subscriber was read: what the request of unknown outcome should have written is not there."""
    return_lost_at: float | None = None
    """When a call that may make the person active got no answer, in monotonic seconds; None: none that is known."""
    return_waits: bool = False
    """Such a call may be applied still: there is no second one before that is over."""
    removing: bool = False
    """The subscriber was read, and was active, before a removal whose answer may have been lost."""


NO_CALL = RequestRoute(RequestKind.NO_CALL)


def is_due(held: Held | None, desired: DesiredSubscriber) -> bool:
    """Whether some running job's part differs from what was delivered, or a refusal may be retried as a resubscribe."""
    if held is None or open_orders(held):
        return True
    for job, digest in desired.digests.items():
        part = held.delivered.get(job)
        if part is None or part.digest != digest:
            return True
    return held.code in INACTIVE and desired.resubscribe


def route_of(held: Held | None, desired: DesiredSubscriber, attempt: AttemptState) -> RequestRoute:
    """Return the call that is next for this person.

    While the outcome of an earlier request is unknown, that nothing differs from the row proves nothing: it is sent.
    """
    if not is_due(held, desired) and not attempt.outcome_unknown:
        return _recheck(held, desired, attempt) if attempt.recheck and held is not None else NO_CALL
    if held is not None and open_orders(held) and not attempt.renamed:
        return RequestRoute(RequestKind.RENAME)
    if desired.present:
        return _presence(held, desired, attempt)
    route = _absence(held, desired, attempt)
    return _recheck(held, desired, attempt) if route is NO_CALL and attempt.recheck and held is not None else route


def _recheck(held: Held, desired: DesiredSubscriber, attempt: AttemptState) -> RequestRoute:
    """Write again what the list should hold, without mails, where that is all; else read before anything is written."""
    if attempt.refused_code == UNCONFIRMED and desired.present and desired.refused is None:
        return RequestRoute(RequestKind.UPDATE)
    if attempt.refused_code in INACTIVE:
        return RequestRoute(RequestKind.CLEAR_AUDIENCES if stale_audiences(held, desired) else RequestKind.REFUSE)
    addresses = {*(held.late.addresses if held.late is not None else ()), held.address, desired.address}
    if desired.present and desired.refused is None and held.code == 0 and desired.may_add and len(addresses) == 1:
        return RequestRoute(RequestKind.IMPORT)
    return RequestRoute(RequestKind.LOOK_AGAIN)


def _presence(held: Held | None, desired: DesiredSubscriber, attempt: AttemptState) -> RequestRoute:
    if desired.refused is not None:
        known = held is not None and held.address is not None
        clear = known and (stale_audiences(held, desired) or attempt.outcome_unknown)
        return RequestRoute(RequestKind.CLEAR_AUDIENCES if clear else RequestKind.REFUSE)
    check = RequestRoute(RequestKind.CHECK_CONSENT, True, desired.queue, desired.restart)
    if attempt.refused_code == UNCONFIRMED:
        return RequestRoute(RequestKind.UPDATE)
    if attempt.refused_code in INACTIVE:
        if may_return(held, desired):
            return check
        clear = stale_audiences(held, desired) or attempt.outcome_unknown
        return RequestRoute(RequestKind.CLEAR_AUDIENCES if clear else RequestKind.REFUSE)
    if was_refused(held, desired):
        return check if may_return(held, desired) else RequestRoute(RequestKind.CHECK_CONSENT)
    mails = desired.queue or desired.restart
    if attempt.outcome_unknown and mails and not attempt.not_applied:
        return RequestRoute(RequestKind.VERIFY)
    if moves(held, desired, attempt) or not desired.may_add:
        return check if may_return(held, desired) else RequestRoute(RequestKind.UPDATE)
    return RequestRoute(RequestKind.IMPORT, queue=desired.queue)


def was_refused(held: Held | None, desired: DesiredSubscriber) -> bool:
    """Whether the person left the list, as far as is known: who was deleted for good since then would be added.

    The suppression list refuses whoever the list does not know, too; and a bounce is an address's.
    """
    if held is None or (held.code == BOUNCED and held.address != desired.address):
        return False
    return held.code in INACTIVE and held.code != SUPPRESSED


def is_gone(held: Held | None, desired: DesiredSubscriber) -> bool:
    """Whether somebody was deleted for good, where the list does not know them: only an entry adds them again."""
    was_there = held is not None and held.address is not None and held.code != SUPPRESSED
    return was_refused(held, desired) or (was_there and not desired.entered)


def may_return(held: Held | None, desired: DesiredSubscriber) -> bool:
    """Whether somebody who is not active may be made active again, if they left before they entered."""
    return desired.resubscribe or (held is not None and held.removed > 0)


def _absence(held: Held | None, desired: DesiredSubscriber, attempt: AttemptState) -> RequestRoute:
    known = held is not None and held.address is not None
    if not known and not attempt.outcome_unknown:
        return NO_CALL
    if not known and desired.address is None:
        return NO_CALL
    if desired.on_exit != "keep":
        return RequestRoute(RequestKind.REMOVE)
    return RequestRoute(RequestKind.UPDATE)


def moves(held: Held | None, desired: DesiredSubscriber, attempt: AttemptState) -> bool:
    """Whether the subscriber is on the list under another address, which is to be changed in place."""
    return (
        held is not None
        and held.address is not None
        and desired.address not in (None, held.address)
        and desired.present
        and not attempt.address_moved
    )


def stale_audiences(held: Held | None, desired: DesiredSubscriber) -> bool:
    """Whether the list's field still holds audiences that are no longer desired."""
    return held is not None and not set(held.audiences) <= set(desired.audiences)


def note_return(held: Held | None, attempt: AttemptState, now: float, wall: EpochMillis, late_seconds: float) -> None:
    """Note whether an earlier call that makes the person active may be applied still.

    A second one would hide it: they could leave in between, and the first one would bring them back, unseen. `now` is
    monotonic. A predecessor's calls count from when this worker first finds them.
    """
    if attempt.outcome_unknown and attempt.unanswered is None and attempt.return_lost_at is None:
        attempt.return_lost_at = now
    lost, late = attempt.return_lost_at, None if held is None else held.late
    attempt.return_waits = (lost is not None and now < lost + late_seconds) or (
        late is not None and late.resubscribes and wall < late.over_at
    )


def record_late_calls(
    held: Held, attempt: AttemptState, desired: DesiredSubscriber | None, over_at: EpochMillis
) -> None:
    """Record the calls of a request that got no answer; or, once they were compared with the list, that they are over.

    Of a predecessor's calls nothing is known: they may hold every address, and whatever flag is desired. `desired`:
    None when no job wants anything of the person any more.
    """
    if attempt.outcome_unknown and desired is not None:
        addresses = tuple(sorted({address for address in (held.address, desired.address) if address}))
        unknown = attempt.unanswered or UnansweredCalls(0, desired.resubscribe, addresses)
        held.late = UnansweredCalls(over_at).and_(unknown).and_(held.late)
    elif attempt.recheck:
        held.late = None


def is_plain(row: MembershipRow) -> bool:
    """Whether a due row has one list's worth of news and no history that asks for care."""
    claims: tuple[AddressClaims, AddressClaims] = (row.claims, row.claimants)
    moved = row.former_addresses or row.awaits or row.leaving or row.moves or row.tenures
    return row.due and not (row.pending or row.own_acts or row.answered or moved or any(claims))


def is_plain_import(held: Held | None, desired: DesiredSubscriber, route: RequestRoute) -> bool:
    """Whether a list takes somebody as it takes everybody: who did not leave it, and has no other address there."""
    known = held is None or not (held.code or held.late or held.orders or held.lent or held.chosen or held.removed)
    return known and desired.present and route.kind is RequestKind.IMPORT
