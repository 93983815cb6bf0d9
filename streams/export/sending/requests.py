"""One request of a list: what has to be there before it, its slot, the call; and what happens when it is not made.

Nothing is known of rows here: the answers go back to who asked.
"""

import random
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Generic, NamedTuple, TypeVar

from connectors.campaign_monitor.errors.exceptions import CampaignMonitorError
from connectors.campaign_monitor.limits.limiter import Priority
from schemas.envelope import EpochMillis
from streams.export.lists.fields import FieldNeed, FieldTypeError, audience_fields, used_fields
from streams.export.lists.segments import ListSegments
from streams.export.rules.jobs import ListView
from streams.export.rules.outcome import Blocked, RefreshSchema, RetryLater, classify
from streams.export.sending.connections import ListConnection, ListConnections, SenderContext
from streams.export.sending.outcomes import REFRESH_SECONDS
from streams.export.sending.queue import QueuedPerson
from streams.export.sending.slots import InFlightRequest, RequestSlots
from streams.export.sending.writer import ListWriter
from streams.export.state import OpenList

R = TypeVar("R")

# How long a worker may still own its partitions for a request to be worth starting: less than that, and the next owner
# may send something newer while our call is in flight.
MIN_LEASE_SECONDS = 1.0
# The circuit breaker's own probe interval applies.
NEXT_PROBE = float("inf")


class Made(NamedTuple, Generic[R]):
    """A request that was made."""

    answer: R
    at: EpochMillis
    jobs_changed: bool
    """The list's jobs are not those any more for which it was made."""
    connection: ListConnection


class RequestNeeds(NamedTuple):
    """What a request needs beside its slot."""

    authorization: str
    fields: Mapping[str, FieldNeed]
    people: Sequence[QueuedPerson]
    """Who goes back to the queue when it is not made."""
    listed: ListView | None
    begin: Callable[[], bool]
    """Called right before the call; False: it is not wanted any more."""


class ListRequests:
    """Makes the requests of one list. People of a request that is not made go back to the queue."""

    def __init__(
        self,
        opened: OpenList,
        context: SenderContext,
        segments: ListSegments,
        connections: ListConnections,
        slots: RequestSlots,
    ) -> None:
        self._list_id = opened.list_id
        self._queue = opened.queue
        self._breaker = opened.breaker
        self._wake = opened.wake
        self._state = context.state
        self._owner = context.runtime.owner
        self._clocks = context.runtime.clocks
        self._segments = segments
        self._connections = connections
        self._slots = slots

    async def make(
        self,
        needs: RequestNeeds,
        request: InFlightRequest,
        call: Callable[[ListWriter, Mapping[str, str]], Awaitable[R]],
    ) -> Made[R] | None:
        """Make a request when its turn comes; None: it was not made.

        `call` gets the keys of the fields by plain name. Raises what it raises.
        """
        people, listed = needs.people, needs.listed
        connection = self._connections.get(needs.authorization)
        if connection is None:
            why = f"there is no credential of {needs.authorization}"
            await self.block(Blocked("account", why), people, needs.authorization)
            return None
        try:
            keys = await self._keys(needs.fields, connection)
        except FieldTypeError as fault:
            await self.block(Blocked("list", str(fault), NEXT_PROBE), people)
            return None
        except CampaignMonitorError as error:
            await self._fields_failed(error, people, needs.authorization)
            return None
        async with self._slots.slot(request):
            if self._owner.lease_seconds() < MIN_LEASE_SECONDS:
                self.retry(people, MIN_LEASE_SECONDS)
                return None
            if self._breaker.is_open(self._now()) or self._jobs_changed(listed) or not needs.begin():
                self.retry(people, 0.0)
                return None
            priority: Priority = "live" if request.live else "background"
            answer = await call(connection.writers[priority], keys)
            accepted = self._clocks.wall()
        self._wake.set()
        return Made(answer, accepted, self._jobs_changed(listed), connection)

    def retry(self, people: Sequence[QueuedPerson], after: float, *, outcome_unknown: bool = False) -> None:
        """Send to these people again after so many seconds."""
        now = self._now()
        for person in people:
            if self._queue.has_request(person.key):
                person.attempt.outcome_unknown = person.attempt.outcome_unknown or outcome_unknown
                self._queue.retry_at(person, now + after)

    async def block(self, blocked: Blocked, people: Sequence[QueuedPerson], authorization: str | None = None) -> None:
        """Wait for somebody to repair the list or the account."""
        await self._connections.block(blocked, authorization, self._now())
        for person in people:
            self._queue.retry_at(person, self._now())
        self._wake.set()

    def _now(self) -> float:
        return self._clocks.monotonic()

    def _jobs_changed(self, listed: ListView | None) -> bool:
        current = self._state.listed(self._list_id)
        return listed is None or current is None or listed.revision != current.revision

    async def _keys(self, needs: Mapping[str, FieldNeed], connection: ListConnection) -> dict[str, str]:
        """Return the keys of the fields that are written; fields and options are created before a value uses them."""
        listed, names = self._state.listed(self._list_id), self._state.names
        if listed is None:
            return {}
        audiences = audience_fields(listed, names)
        for plain in needs.keys() & audiences.keys():
            needs[plain].options.update(audiences[plain].options)
        fields = self._connections.fields
        keys = await fields.ensure(connection.apis["live"], needs, used_fields(listed, audiences))
        self._segments.use(connection.apis["background"])
        self._segments.refresh(listed, names, fields)
        return keys

    async def _fields_failed(
        self, error: CampaignMonitorError, people: Sequence[QueuedPerson], authorization: str
    ) -> None:
        """Fields could not be read or created."""
        match classify(error.verdict, self._breaker.failures + 1, random.random()):
            case Blocked() as blocked:
                await self.block(blocked, people, authorization)
            case RetryLater() as retry:
                self._connections.fail(retry, authorization, self._now())
                self.retry(people, retry.after)
            case RefreshSchema():
                self._connections.expire_fields()
                self.retry(people, REFRESH_SECONDS)
            case _:
                why = f"the list's fields could not be created: {error}"
                await self.block(Blocked("list", why, NEXT_PROBE), people)
