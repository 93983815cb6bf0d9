"""One call as a unit: its rows, what each of them needs, and the desired subscriber in Campaign Monitor's terms.

Pure translation, by the keys that the list's fields have.

The removal guard: a job whose removals would take away too large a share of its people waits for a person. A broken
audience upstream looks like everybody leaving at once. Removals are counted over a window, against the people that the
list held when it began; below a minimum nothing is stopped, so small lists stay usable. Counted by each worker over its
own partitions, which are an even sample of all people.
"""

from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from connectors.campaign_monitor.client.entities import Subscriber
from connectors.campaign_monitor.client.requests import Autoresponders, FieldWrite, SubscriberWrite, address_key
from schemas.audience_delivery import Refusal
from streams.export.rules.desired import DesiredSubscriber
from streams.export.rules.routing import RequestKind, RequestRoute
from streams.export.rules.row import Held
from streams.export.rules.settlement import WrittenState
from streams.export.rules.values import field_name, kept
from streams.export.sending.queue import QueuedPerson, SendQueue
from streams.export.settings import ExportSettings
from streams.export.state import ExportState

# How often a removal that is held back is tried again; a confirmed job is looked at once anyway.
RETRY_SECONDS = 15.0


class RemovalGuard:
    """Counts one list's removals."""

    def __init__(self, list_id: str, state: ExportState, settings: ExportSettings) -> None:
        self._list_id = list_id
        self._state = state
        self._window = settings.guard_window_seconds
        self._minimum = settings.guard_minimum
        self._removals: deque[float] = deque()
        self._holding = False
        self._warning: str | None = None

    def wait_seconds(self, person: QueuedPerson, now: float) -> float | None:
        """Return after how many seconds a removal may be tried again, or None when it may go.

        Counts each person once.
        """
        share = self._share()
        if share is None or person.removal_counted:
            self._holding = self._holding and share is not None
            return None
        while self._removals and self._removals[0] < now - self._window:
            self._removals.popleft()
        removed = len(self._removals)
        people = self._state.people_on(self._list_id) + removed
        if removed + 1 <= self._minimum or removed + 1 <= share * people:
            self._removals.append(now)
            person.removal_counted = True
            self._holding = False
            return None
        if not self._holding:
            self._holding = True
            self._warning = (
                f"{removed} of {people} people were removed within {self._window / 3600:g} h, and more wait: more than "
                f"the share of {share:.0%} that the job allows. Look at the audiences, then confirm the removals"
            )
        return RETRY_SECONDS

    def take_warning(self) -> str | None:
        """Return, once, what a person has to do since removals began to be held back; None when there is nothing."""
        warning, self._warning = self._warning, None
        return warning

    def _share(self) -> float | None:
        """The smallest share among the running jobs that have not been confirmed; None: nothing is guarded."""
        listed = self._state.listed(self._list_id)
        if listed is None:
            return None
        shares = [view.job.removal_guard for view in listed.running if not view.job.removals_confirmed]
        smallest = min(shares, default=1.0)
        return None if smallest >= 1.0 else smallest


FieldKeys = Mapping[str, str]
"""Custom field's plain name (see `field_name`) -> its bracketed key."""


@dataclass(slots=True)
class PlannedWrite:
    """A person as read for a request. Without `state` no running job of the list concerns them."""

    person: QueuedPerson
    state: WrittenState | None = None
    route: RequestRoute | None = None
    held: Held | None = None
    """What the list held when the row was read."""
    done: bool = False
    """No call was needed, and the row records that already."""


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


class GroupedWrites(NamedTuple):
    """The writes of one request, and its route; none: no request is needed."""

    writes: list[PlannedWrite]
    route: RequestRoute | None


def group_by_route(writes: Sequence[PlannedWrite], queue: SendQueue, guard: RemovalGuard, now: float) -> GroupedWrites:
    """Return the next request; people who need no call are removed from the queue, the others are queued again.

    The first write that needs a call determines the route; writes with the same one join it, but no address twice: an
    import that holds one twice is refused as a whole, and which of two would win is not known. Removals that the
    guard holds back wait.
    """
    group: list[PlannedWrite] = []
    addresses: set[str] = set()
    route: RequestRoute | None = None
    for write in writes:
        person, state = write.person, write.state
        if write.done or write.route is None or state is None:
            queue.done(person.key, now)
            continue
        if not state.desired.present and (after := guard.wait_seconds(person, now)) is not None:
            queue.retry_at(person, now + after)
            continue
        own = {
            address_key(address) for address in (state.desired.address, write.held and write.held.address) if address
        }
        full = route is not None and route.kind is not RequestKind.IMPORT
        if full or (route is not None and route != write.route) or own & addresses:
            queue.requeue(person, write.route)
            continue
        route = write.route
        addresses |= own
        group.append(write)
    return GroupedWrites(group, route)


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


def matches(subscriber: Subscriber, desired: DesiredSubscriber) -> bool:
    """Whether a subscriber, as it was read, is what was desired: fields and options, not the state."""
    found: dict[str, set[str]] = {}
    for name, text in subscriber.custom_fields:
        found.setdefault(field_name(name), set()).add(text)
    for name, options in desired.options:
        if found.get(field_name(name), set()) != set(options):
            return False
    return all(kept(value.data_type, value.texts, found.get(field_name(value.field), ())) for value in desired.values)


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
