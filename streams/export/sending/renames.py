"""Orders to rename: a subscriber of a former address is to have the person's present one.

One person at a time, and after the reads everything follows from what the list holds:

    only a former address is on it       PUT changes it in place: history and state go along
    both are                             neither can become the other: the present one is written next, and the row of
                                         the former one takes that off; here, where it was read from a field
    the person left under one of them    they are taken off under all, unless an entry later than that may bring them
                                         back (`sending/consent.py`)
    a former one bounced                 it is no refusal of the person: the present address is added

Orders are not carried out while a call without an answer may still be applied, here or of a predecessor; nor while the
row of the person's address waits for somebody else's, except where all wait for each other (a swap): then each address
is written as what it should hold. No subscriber is moved to an address before that one's order is reported: whoever had
the address would find somebody else's subscriber there, and take it along.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from connectors.campaign_monitor.client.entities import Subscriber
from streams.export.recovery.late_calls import SubscriberCalls, TakeOff, put
from streams.export.rules.codes import ACTIVE, BOUNCED, DELETED, UNCONFIRMED, UNSUBSCRIBED
from streams.export.rules.desired import DesiredSubscriber
from streams.export.rules.routing import AttemptState, RequestKind
from streams.export.rules.row import Held, open_orders
from streams.export.rules.settlement import WrittenState
from streams.export.rules.values import field_name
from streams.export.sending.consent import ListFacts, code_of, why_refused
from streams.export.sending.plan import PlannedWrite, subscriber_of, texts_of, without_audiences
from streams.export.sending.queue import SendQueue

LEFT_UNDER_ONE = "The person had left the list under one of their addresses, so they are off it under all"
RENAME_WAIT_SECONDS = 1.0
MAX_RENAME_WAITS = 5
"""So often a person waits for somebody else who leaves the address first; then all of them wait for each other."""
MAX_MOVE_WAIT_SECONDS = 60.0
MAX_MOVE_WAITS = 100
"""So often a subscriber is not moved, after that: longer than any call without an answer may be applied."""
MAX_CYCLE_WAITS = 12
"""So often a person waits for others who all have another one's address, after that: minutes."""

_OWN_ACTS = (UNSUBSCRIBED, DELETED)


@dataclass(frozen=True, slots=True)
class RenameOutcome:
    """What the list holds for the person now."""

    kind: Literal["written", "refused", "on the list", "not there", "waits"]
    """`written`: with all that is desired. `on the list`, `not there`: the present address is written next. `waits`:
    nothing was done, since whoever had the present address may be moved from it still."""
    both_on_list: bool = False
    absent: tuple[str, ...] = ()
    """While others wait: former addresses that are not on the list, so that nothing is to be moved from them."""
    code: int = 0
    message: str | None = None


def is_rename_held_back(write: PlannedWrite, queue: SendQueue, now: float, late_call_seconds: float) -> bool:
    """Whether orders have to wait; the person is then queued again."""
    attempt, held = write.person.attempt, write.held
    if write.route is None or write.route.kind is not RequestKind.RENAME or held is None:
        return False
    if attempt.outcome_unknown:
        attempt.outcome_unknown, attempt.unanswered = False, None
        attempt.rename_at = now + late_call_seconds
    elif held.lent and attempt.rename_waits < MAX_RENAME_WAITS and attempt.rename_at <= now:
        attempt.rename_waits += 1
        attempt.rename_at = now + RENAME_WAIT_SECONDS
    if attempt.rename_at > now:
        queue.retry_at(write.person, attempt.rename_at)
        return True
    return False


def move_wait(attempt: AttemptState) -> float:
    """Return for how many seconds a person waits who cannot be moved yet, longer each time."""
    attempt.rename_waits = max(attempt.rename_waits, MAX_RENAME_WAITS) + 1
    return min(RENAME_WAIT_SECONDS * 2.0 ** (attempt.rename_waits - MAX_RENAME_WAITS - 1), MAX_MOVE_WAIT_SECONDS)


async def rename(
    calls: SubscriberCalls,
    take_off: TakeOff,
    list_id: str,
    write: PlannedWrite,
    keys: Mapping[str, str],
    facts: ListFacts,
) -> RenameOutcome:
    """Carry the person's orders out. Raises CampaignMonitorError."""
    if write.state is None or write.held is None:
        raise ValueError("a write without orders cannot rename")
    desired, held = write.state.desired, write.held
    own = desired.address
    if own is None:
        return RenameOutcome("not there")
    found = {address: await calls.find(list_id, address) for address in dict.fromkeys((own, *open_orders(held)))}
    there = {address: subscriber for address, subscriber in found.items() if subscriber is not None}
    if any(_is_same(there, own, former) for former in there):
        del there[own]  # a look-alike: the list takes both addresses for one
    if _waits(write.person.attempt.rename_waits, write.state, held, there):
        return RenameOutcome("waits", absent=tuple(former for former in open_orders(held) if former not in there))
    code, reason = await _refusal(there, desired, held, facts)
    content = without_audiences(desired, (), own, keys) if reason else subscriber_of(desired, own, keys)
    moved = None
    if own not in there:
        moved = next((address for address in there if code_of(there[address], 0) != BOUNCED), None)
        if moved is not None and not await put(calls, list_id, moved, content):
            moved = None
    both = moved is None and own in there and len(there) > 1
    if reason is not None:
        for address, subscriber in there.items():
            on_list = code_of(subscriber, 0) in (ACTIVE, UNCONFIRMED)  # who did not confirm yet could
            if address != moved and (on_list or _has_audiences(subscriber, desired)):
                await put(calls, list_id, address, without_audiences(desired, (), address, keys))
            if address != moved and on_list:
                await take_off(address, "unsubscribe")
        return RenameOutcome("refused", both, code=code, message=f"{LEFT_UNDER_ONE}. {reason}")
    for address in there.keys() - {own, moved}:
        if not held.orders[address].lent:  # no other row takes this one off
            left = await put(calls, list_id, address, without_audiences(desired, (), address, keys))
            if left and desired.on_exit != "keep" and code_of(there[address], 0) in (ACTIVE, UNCONFIRMED):
                await take_off(address, desired.on_exit)
    if moved is not None:
        active = code_of(there[moved], 0) == ACTIVE
        return RenameOutcome("written" if active and desired.present else "on the list")
    return RenameOutcome("on the list" if own in there else "not there", both)


def _waits(waits: int, state: WrittenState, held: Held, there: Mapping[str, Subscriber]) -> bool:
    """Whether a subscriber is to be moved to the address, from which somebody else is still to be moved.

    Two who swap do not wait: neither can be moved, and each address is written as what it should hold.
    """
    own = state.desired.address
    former = there.keys() - {own}
    if not held.lent or not former or (own in there and state.next_of_former in former):
        return False
    return waits < MAX_RENAME_WAITS + (MAX_CYCLE_WAITS if own in there else MAX_MOVE_WAITS)


def _is_same(there: Mapping[str, Subscriber], own: str, former: str) -> bool:
    """Whether a former address, read in another spelling, gave the subscriber of the present one."""
    return former != own and own in there and there[own].email == there[former].email


async def _refusal(
    there: Mapping[str, Subscriber], desired: DesiredSubscriber, held: Held, facts: ListFacts
) -> tuple[int, str | None]:
    """Return the code and the reason for which the person is not on the list under any address; None: they may be."""
    for address, subscriber in there.items():
        code = code_of(subscriber, 0)
        if code in _OWN_ACTS:
            reason = await why_refused(subscriber, code, address, desired, held, facts)
            if reason is not None:
                return code, reason
    return 0, None


def _has_audiences(subscriber: Subscriber, desired: DesiredSubscriber) -> bool:
    """Whether the subscriber has audiences; also who is deleted has them again with a sign-up."""
    texts = texts_of(subscriber)
    return any(texts.get(field_name(name)) for name, _ in desired.options)
