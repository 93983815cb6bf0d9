"""Calls without an answer, once they are over: what they brought to the list is taken back, or brought up to date.

A call may be applied minutes after its client has ended it, and then it overwrites newer ones: it adds somebody who was
removed, makes somebody active who left, writes old values, or gives a subscriber an earlier address again. So every
address of such calls is read after `EXPORT_LATE_CALL_SECONDS`. Somebody who simply should be on the list is not read,
but imported again with a thousand others (`rules/routing.py`).
"""

from collections.abc import Awaitable, Callable, Mapping
from typing import NamedTuple, Protocol

from connectors.campaign_monitor.client.entities import Subscriber
from connectors.campaign_monitor.client.requests import SubscriberWrite
from connectors.campaign_monitor.errors.exceptions import CampaignMonitorError
from streams.export.rules.codes import DELETED, INACTIVE, NOT_ON_LIST, code_of_state
from streams.export.rules.desired import DesiredSubscriber
from streams.export.rules.jobs import ExitPolicy
from streams.export.rules.outcome import AddressTaken, Delivered, NotOnList, SubscriberRejected, classify
from streams.export.rules.routing import is_gone
from streams.export.rules.row import Held, UnansweredCalls
from streams.export.rules.values import field_name
from streams.export.sending.consent import is_undated
from streams.export.sending.plan import PlannedWrite, matches, subscriber_of, without_audiences


class SubscriberCalls(Protocol):
    """The calls about single subscribers."""

    async def find(self, list_id: str, email: str) -> Subscriber | None: ...
    async def update(self, list_id: str, email: str, subscriber: SubscriberWrite) -> object: ...


TakeOff = Callable[[str, ExitPolicy], Awaitable[None]]
"""Takes an address off the list: unsubscribe or delete."""


class Looked(NamedTuple):
    """What the list holds now."""

    decision: Delivered | SubscriberRejected
    address: str | None = None
    """The subscriber's address; None: not on the list."""
    removed: bool = False
    """Somebody active was taken off the list."""


async def look_again(
    calls: SubscriberCalls, take_off: TakeOff, list_id: str, write: PlannedWrite, keys: Mapping[str, str]
) -> Looked | None:
    """Read every address that a late call may have brought, and repair. None: the person has to be imported.

    Nobody who left is made active. Raises CampaignMonitorError.
    """
    if write.state is None:
        raise ValueError("a write without content cannot be compared")
    desired, held = write.state.desired, write.held or Held()
    late = held.late or UnansweredCalls(0)
    wanted = desired.address if desired.present and desired.refused is None else None
    addresses = dict.fromkeys((wanted, desired.address, held.address, *late.addresses))
    found = {address: await calls.find(list_id, address) for address in addresses if address}
    kept = {address: _kept(desired, known=address == held.address) for address in found}
    stale = [
        address
        for address, there in found.items()
        if there is not None and _has_audiences(there, desired, kept[address])
    ]
    ours = [address for address in stale if _is_on_list(found[address])]
    if wanted is None:
        for address in stale:
            how = desired.on_exit if address in ours and not desired.present else "keep"
            await _end(calls, take_off, list_id, address, how, without_audiences(desired, kept[address], address, keys))
        if desired.present:  # no usable address
            return Looked(SubscriberRejected(0, ""), held.address)
        return Looked(Delivered(), held.address, removed=bool(ours) and desired.on_exit != "keep")
    there = found[wanted]
    if there is None and ours:  # a late PUT gave the subscriber an earlier address again
        await calls.update(list_id, ours[0], subscriber_of(desired, wanted, keys))
        return Looked(Delivered(), wanted)
    for address in stale:
        if address != wanted:
            cleared = without_audiences(desired, kept[address], address, keys)
            await _end(calls, take_off, list_id, address, "keep", cleared)
    code = held.code
    if is_gone(held, desired) and not any(found.values()):
        return Looked(SubscriberRejected(DELETED, "", is_undated(desired, held)))
    if there is None:
        return Looked(SubscriberRejected(code or NOT_ON_LIST, "")) if code in INACTIVE or not desired.may_add else None
    if left := code_of_state(there.state):
        if _has_audiences(there, desired, _options(desired)):
            held_now = frozenset(text for _, text in there.custom_fields)
            await put(calls, list_id, wanted, without_audiences(desired, held_now, wanted, keys))
        return Looked(SubscriberRejected(left, ""))
    if code in INACTIVE and late.resubscribes:  # a late call made somebody active again who left after it
        await take_off(wanted, "unsubscribe")
        return Looked(SubscriberRejected(code, ""))
    if not matches(there, desired):
        await calls.update(list_id, wanted, subscriber_of(desired, wanted, keys))
    return Looked(Delivered(), wanted)


async def put(calls: SubscriberCalls, list_id: str, address: str, content: SubscriberWrite) -> bool:
    """Update a subscriber, or change their address in place.

    False: that is not possible, since others have changed the list meanwhile, or the subscriber is deleted.
    """
    try:
        await calls.update(list_id, address, content)
    except CampaignMonitorError as error:
        if isinstance(classify(error.verdict, 1, 0.0), NotOnList | AddressTaken):
            return False
        raise
    return True


async def _end(
    calls: SubscriberCalls, take_off: TakeOff, list_id: str, address: str, how: ExitPolicy, cleared: SubscriberWrite
) -> None:
    """End a subscriber that a late call brought: by the jobs' exit rule, where nobody exports the person."""
    if await put(calls, list_id, address, cleared) and how != "keep":
        await take_off(address, how)


def _has_audiences(there: Subscriber, desired: DesiredSubscriber, kept: frozenset[str]) -> bool:
    """Whether somebody has audiences that a person who left would not have; also who is not active any more, as they
    would have them again with a sign-up."""
    names = {field_name(name) for name, _ in desired.options}
    texts = {text for name, text in there.custom_fields if field_name(name) in names}
    return bool(texts - kept)


def _is_on_list(there: Subscriber | None) -> bool:
    """Whether somebody is active, or may confirm to be."""
    return there is not None and there.state.casefold() in ("active", "unconfirmed")


def _kept(desired: DesiredSubscriber, *, known: bool) -> frozenset[str]:
    """Options that stay: those of stopped jobs when nobody else exports the person; all that are true of who has no
    address any more, under the one that is `known` to be on the list."""
    if desired.present and (desired.refused is None or not known):
        return frozenset()
    return _options(desired)


def _options(desired: DesiredSubscriber) -> frozenset[str]:
    return frozenset(text for _, options in desired.options for text in options)
