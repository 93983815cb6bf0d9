"""One request of a list: what has to be there before it, its slot, the call; and what happens when it is not made.

Nothing is known of rows here: the answers go back to who asked.
"""

import random
from collections.abc import Callable, Sequence
from typing import NamedTuple

from connectors.campaign_monitor.errors.exceptions import CampaignMonitorError
from connectors.campaign_monitor.limits.limiter import Priority
from schemas.envelope import EpochMillis
from streams.export.lists.fields import FieldTypeError, audience_fields, needs_of, used_fields
from streams.export.lists.segments import ListSegments
from streams.export.rules.jobs import ListView
from streams.export.rules.outcome import Blocked, RefreshSchema, RetryLater, classify
from streams.export.rules.routing import RequestRoute, note_return
from streams.export.sending.connections import ListConnection, ListConnections, SenderContext
from streams.export.sending.outcomes import REFRESH_SECONDS
from streams.export.sending.plan import PlannedWrite, WriteResult, authorization_of
from streams.export.sending.queue import QueuedPerson
from streams.export.sending.slots import InFlightRequest, RequestSlots
from streams.export.state import OpenList

# How long a worker may still own its partitions for a request to be worth starting: less than that, and the next owner
# may send something newer while our call is in flight.
MIN_LEASE_SECONDS = 1.0
# The circuit breaker's own probe interval applies.
NEXT_PROBE = float("inf")


class Answers(NamedTuple):
    """What came back for each person of a request."""

    results: Sequence[WriteResult]
    at: EpochMillis
    jobs_changed: bool
    """The list's jobs are not those any more for which it was made."""
    connection: ListConnection


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
        self._late = context.rows.late_call_seconds
        self._segments = segments
        self._connections = connections
        self._slots = slots

    async def make(
        self,
        writes: Sequence[PlannedWrite],
        route: RequestRoute,
        request: InFlightRequest,
        listed: ListView | None,
        begin: Callable[[], bool],
    ) -> Answers | None:
        """Make a request when its turn comes; None: it was not made.

        `begin`: called right before the call; False: it is not wanted any more. Raises BatchError.
        """
        people = [write.person for write in writes]
        authorization = authorization_of(writes)
        connection = self._connections.get(authorization)
        if connection is None:
            await self.block(Blocked("account", f"there is no credential of {authorization}"), people, authorization)
            return None
        try:
            keys = await self._keys(writes, connection)
        except FieldTypeError as fault:
            await self.block(Blocked("list", str(fault), NEXT_PROBE), people)
            return None
        except CampaignMonitorError as error:
            await self._fields_failed(error, people, authorization)
            return None
        async with self._slots.slot(request):
            if self._owner.lease_seconds() < MIN_LEASE_SECONDS:
                self.retry(people, MIN_LEASE_SECONDS)
                return None
            if self._breaker.is_open(self._now()) or self._jobs_changed(listed) or not begin():
                self.retry(people, 0.0)
                return None
            if route.resubscribe:
                for write in writes:
                    note_return(write.held, write.person.attempt, self._now(), self._clocks.wall(), self._late)
            priority: Priority = "live" if request.live else "background"
            results = await connection.writers[priority].write(route, writes, keys)
            accepted = self._clocks.wall()
        self._wake.set()
        return Answers(results, accepted, self._jobs_changed(listed), connection)

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

    async def _keys(self, writes: Sequence[PlannedWrite], connection: ListConnection) -> dict[str, str]:
        """Return the keys of the fields that are written; fields and options are created before a value uses them."""
        needs = needs_of(write.state.desired for write in writes if write.state is not None)
        listed, names = self._state.listed(self._list_id), self._state.names
        if listed is None:
            return {}
        audiences = audience_fields(listed, names)
        for plain in needs.keys() & audiences.keys():
            needs[plain].options |= audiences[plain].options
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
