"""One call as a unit: its rows, what each of them needs, and the desired subscriber in Campaign Monitor's terms.

Pure translation, by the keys that the list's fields have.
"""

from collections.abc import Callable, Container, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import NamedTuple

import orjson

from connectors.campaign_monitor.client.entities import Subscriber
from connectors.campaign_monitor.client.requests import Autoresponders, FieldWrite, SubscriberWrite, address_key
from connectors.campaign_monitor.events import digest, event_key
from schemas.audience_delivery import Refusal
from schemas.envelope import EpochMillis, rfc3339
from streams.batches import Output
from streams.export.rules.codes import REFUSALS
from streams.export.rules.desired import DesiredSubscriber
from streams.export.rules.dropped import differs
from streams.export.rules.flat_import import FieldKeys
from streams.export.rules.jobs import ExitPolicy
from streams.export.rules.orders import note_unknown
from streams.export.rules.outcome import SendDecision
from streams.export.rules.routing import RequestKind, RequestRoute
from streams.export.rules.row import Held, MembershipRow
from streams.export.rules.settlement import (
    NOT_KNOWN_AS_NEW,
    Receipt,
    WrittenState,
    record_refused,
    record_unchanged,
)
from streams.export.rules.values import field_name
from streams.export.sending.queue import QueuedPerson, RowKey, SendQueue

# How often a removal that is held back is tried again; a confirmed job is looked at once anyway.
HELD_BACK_SECONDS = 15.0

_LINK = "waits for confirmation: they have to follow the link of the mail"
ADDED_WAITS = f"Added, {_LINK}"
STILL_WAITS = f"Written, {_LINK}"
PERHAPS_WAITS = f"{NOT_KNOWN_AS_NEW}; who is new {_LINK}"


@dataclass(slots=True)
class PlannedWrite:
    """A person as read for a request. Without `state` no running job of the list concerns them."""

    person: QueuedPerson
    state: WrittenState | None = None
    route: RequestRoute | None = None
    held: Held | None = None
    """What the list held when the row was read."""
    appended: EpochMillis = 0
    """When the last change of the person's audiences was appended to its topic."""
    done: bool = False
    """No call was needed, and the row records that already."""
    waits: bool = False
    """Nothing is sent before another row's owner has answered: the row stays due."""
    has_claims: bool = False
    """The list may hold the person under somebody else's address, or somebody else under theirs."""


@dataclass(frozen=True, slots=True)
class FinalOutcome:
    """A final answer about one person: accepted, or refused for a reason."""

    state: WrittenState
    person: QueuedPerson
    address: str | None = None
    """The subscriber's address on the list now; None: not on the list."""
    added: bool | None = None
    removed: bool = False
    """The person was active, and was taken off the list."""
    refusal: Refusal | None = None
    code: int | None = None
    message: str | None = None
    gone: bool = False
    """The list does not know the person any more, who was on it."""
    unwritten: bool = False
    """Only the orders to rename were carried out: what the list should hold is written next."""


@dataclass(frozen=True, slots=True)
class WriteResult:
    """What came back about one person."""

    write: PlannedWrite
    decision: SendDecision
    address: str | None = None
    added: bool | None = None
    not_applied: bool = False
    """The subscriber was read: what the request of unknown outcome should have written is not there."""
    removed: bool = False
    """The person was active, and was taken off the list."""
    message: str | None = None
    """A sentence for the receipt."""
    both_on_list: bool = False
    """The person was on it under the present address and a former one."""


class GroupedWrites(NamedTuple):
    """The writes of one request, and its route; none: no request is needed."""

    writes: list[PlannedWrite]
    route: RequestRoute | None


def group_by_route(
    writes: Sequence[PlannedWrite],
    queue: SendQueue,
    held_back: Container[RowKey],
    wait_until: Callable[[str, float], float | None],
    now: float,
) -> GroupedWrites:
    """Return the next request; people who need no call are removed from the queue, the others are queued again.

    The first write that needs a call determines the route; writes with the same one join it, but no address twice: an
    import that holds one twice is refused as a whole, and which of two would win is not known. All have one
    authorization. Who is held back waits, and people whose authorization cannot be used now (`wait_until`).
    """
    group: list[PlannedWrite] = []
    addresses: set[str] = set()
    route: RequestRoute | None = None
    sender = ""
    for write in writes:
        person, state = write.person, write.state
        if write.done or write.route is None or state is None:
            queue.done(person.key, now)
            continue
        if person.key in held_back:
            queue.retry_at(person, now + HELD_BACK_SECONDS)
            continue
        authorization = state.desired.authorization
        if not group and (until := wait_until(authorization, now)) is not None:
            queue.retry_at(person, until)
            continue
        own = {
            address_key(address) for address in (state.desired.address, write.held and write.held.address) if address
        }
        full = route is not None and route.kind is not RequestKind.IMPORT
        if full or (group and (route, sender) != (write.route, authorization)) or own & addresses:
            queue.requeue(person, write.route)
            continue
        route, sender = write.route, authorization
        addresses |= own
        group.append(write)
    return GroupedWrites(group, route)


def authorization_of(writes: Sequence[PlannedWrite]) -> str:
    """Return the authorization of a request's writes, which is the same for all."""
    return next((write.state.desired.authorization for write in writes if write.state is not None), "")


def subscriber_of(desired: DesiredSubscriber, address: str, keys: FieldKeys) -> SubscriberWrite:
    """Return the subscriber to write.

    A select-many field is replaced as a whole, so each of its options is there; without any it is cleared. A value
    that upstream cleared is cleared; what upstream never sent is not sent and stays as it is.
    """
    fields = tuple(_fields(desired, keys))
    return SubscriberWrite(email=address, name=desired.name, custom_fields=fields, consent_to_track=desired.consent)


def without_audiences(
    desired: DesiredSubscriber, kept: Iterable[str], address: str, keys: FieldKeys
) -> SubscriberWrite:
    """Return a write that leaves only the `kept` options of the audiences fields, and changes nothing else."""
    options = frozenset(kept)
    entries: list[FieldWrite] = []
    for name, desired_options in desired.options:
        entries += _options(keys[field_name(name)], [text for text in desired_options if text in options])
    return SubscriberWrite(email=address, custom_fields=tuple(entries))


def effects_of(route: RequestRoute, *, repeated: bool) -> Autoresponders:
    """Return the call's flags. The repeat of an unknown outcome goes without those that send mails again."""
    return Autoresponders(
        resubscribe=route.resubscribe, queue=route.queue and not repeated, restart=route.restart and not repeated
    )


def was_added(write: PlannedWrite, new: int, unknown: int) -> bool | None:
    """Whether an accepted import added this person to the list; None: that does not follow from its count.

    `new`: how many it reports as new; `unknown`: how many of the accepted people were not known to be on the list.
    """
    if new == 0 or not is_unknown(write):
        return False
    return True if new == unknown else None


def waits_for_confirmation(added: bool | None, effects: Autoresponders) -> str | None:
    """Return what the receipt of an import to a confirmed opt-in list says of it; None: they are active."""
    if effects.resubscribe:
        return STILL_WAITS
    return PERHAPS_WAITS if added is None else ADDED_WAITS if added else None


def is_unknown(write: PlannedWrite) -> bool:
    """Whether the person is not known to be on the list."""
    return write.held is None or write.held.address is None


def removal_record(topic: str, list_id: str, address: str, how: ExitPolicy, at: EpochMillis) -> Output:
    """Return the record for `cm_activity` that announces a removal: it has the key and the kind of its deactivate."""
    text = rfc3339(datetime.fromtimestamp(at / 1000, UTC))
    announced = {
        "schema_version": 1,
        "event_id": digest(f"removal\x1f{how}\x1f{list_id}\x1f{address}\x1f{text}").hex(),
        "at": text,
        "event": "deactivate",
        "email": address,
        "status": how,
        "source": "export",
        "echo": True,
        "list_id": list_id,
    }
    return Output(topic, event_key(address).encode(), orjson.dumps(announced))


def matches(subscriber: Subscriber, desired: DesiredSubscriber) -> bool:
    """Whether a subscriber, as it was read, is what was desired: fields and options, not the state."""
    return not differs(desired, texts_of(subscriber), frozenset())


def texts_of(subscriber: Subscriber) -> dict[str, set[str]]:
    """Return a subscriber's texts by plain field name."""
    found: dict[str, set[str]] = {}
    for name, text in subscriber.custom_fields:
        if text:
            found.setdefault(field_name(name), set()).add(text)
    return found


def _fields(desired: DesiredSubscriber, keys: FieldKeys) -> Iterable[FieldWrite]:
    for name, options in desired.options:
        yield from _options(keys[field_name(name)], options)
    for value in desired.values:
        key = keys[field_name(value.field)]
        if not value.texts:
            yield FieldWrite(key, clear=True)
        for text in value.texts:
            yield FieldWrite(key, text)


def _options(key: str, options: Iterable[str]) -> list[FieldWrite]:
    return [FieldWrite(key, text) for text in options] or [FieldWrite(key, clear=True)]


def note_waiting(row: MembershipRow, list_id: str, write: PlannedWrite, over_at: EpochMillis) -> bool:
    """Record, in place, a call of unknown outcome about somebody who has to wait: they leave the queue. False: none."""
    return write.waits and write.person.attempt.outcome_unknown and note_unknown(row, list_id, over_at)


def without_call(row: MembershipRow, write: PlannedWrite) -> list[Receipt] | None:
    """Record, in place, the outcome of a person who needs no call, and return the receipts; None: a call is needed."""
    if write.state is None or write.route is None:
        return None if write.waits else []
    if write.route.kind not in (RequestKind.NO_CALL, RequestKind.REFUSE):
        return None
    desired, held = write.state.desired, row.lists.get(write.state.list_id)
    if desired.present and desired.refused is not None:
        return record_refused(row, write.state, desired.refused, None)
    code = write.person.attempt.refused_code or (0 if held is None else held.code)
    if desired.present and code > 0:
        return record_refused(row, write.state, REFUSALS.get(code, Refusal.INVALID), code)
    return record_unchanged(row, write.state)
