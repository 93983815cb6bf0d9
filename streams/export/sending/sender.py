"""The sender of one list: groups people who are due, makes requests, applies the answers. Shared by all partitions.

One request, in the order that makes a crash at any point harmless:

    1 the rows are read as their owner, and what needs no call is recorded; the next request does so meanwhile
    2 fields and options are created before a value uses them
    3 it waits for its slot; the lease is checked, then the call is made
    4 a sample is read where something is new; dead letters of what can never be accepted; receipts, then rows, as the
      owner, on the newest rows
    5 people who changed meanwhile are queued again

A crash before 3 has done nothing; between 3 and 4 the rows are still due, and are sent again by the next owner, as a
request of unknown outcome.
"""

import asyncio
import contextlib
import random
from collections.abc import Sequence

import structlog

from connectors.campaign_monitor.errors.exceptions import CampaignMonitorError
from connectors.campaign_monitor.limits.limiter import Priority
from schemas.envelope import EpochMillis
from streams.batches import BatchError
from streams.export.lists.fields import FieldTypeError, audience_fields, needs_of, used_fields
from streams.export.lists.removal_guard import RemovalGuard
from streams.export.lists.segments import ListSegments
from streams.export.rules.jobs import ListView
from streams.export.rules.outcome import Blocked, RefreshSchema, RetryLater, classify
from streams.export.rules.routing import RequestRoute, note_return
from streams.export.sending.connections import ListConnection, ListConnections, SenderContext
from streams.export.sending.outcomes import REFRESH_SECONDS, ListRows, apply_decision
from streams.export.sending.plan import FinalOutcome, PlannedWrite, WriteResult, authorization_of, group_by_route
from streams.export.sending.queue import QueuedBatch, QueuedPerson
from streams.export.sending.renames import is_rename_held_back
from streams.export.sending.samples import SampleReads
from streams.export.sending.slots import BatchPicker, InFlightRequest, RequestSlots
from streams.export.state import OpenList

log = structlog.get_logger(__name__)

DEFECT_WAIT_SECONDS = 10.0
# Between two looks whether a slot of the account, which other lists use too, has become free.
POLL_SECONDS = 0.05
# How long a worker may still own its partitions for a request to be worth starting: less than that, and the next owner
# may send something newer while our call is in flight.
MIN_LEASE_SECONDS = 1.0
# The circuit breaker's own probe interval applies.
NEXT_PROBE = float("inf")


class ListSender:
    """Sends one list's people."""

    def __init__(
        self,
        opened: OpenList,
        context: SenderContext,
        segments: ListSegments,
        guard: RemovalGuard,
        connections: ListConnections,
        samples: SampleReads,
        max_requests: int = 4,
    ) -> None:
        self.opened = opened
        self.list_id = opened.list_id
        self.queue = opened.queue
        self.segments = segments
        self.connections = connections
        self.samples = samples
        self._breaker = opened.breaker
        self._wake = opened.wake
        self._state = context.state
        self._owner = context.runtime.owner
        self._clocks = context.runtime.clocks
        self._blocked = context.blocked
        self._rows = ListRows(opened, context.rows, context.runtime, context.refused_records)
        self._guard = guard
        self._slots = RequestSlots(max_requests)
        self._picker = BatchPicker(opened, self._slots, connections)
        self._late = context.rows.late_call_seconds
        self._requests: dict[asyncio.Task[None], InFlightRequest] = {}

    # -- from outside

    def retry_now(self) -> None:
        """A job, an authorization or the list was changed by a person: try at once."""
        self._breaker.reset()
        self.opened.blocked.reset()
        self.connections.expire_fields()
        self.queue.release_all(self._clocks.monotonic())
        self._wake.set()

    async def report_guard(self) -> None:
        """Show on the jobs that removals wait for a person; after the confirmation that is gone."""
        if self._breaker.blocked is None and not self._guard.is_shown():
            await self._blocked.report(self.list_id, self._guard.attention)

    @property
    def idle(self) -> bool:
        """Whether nobody waits and nothing is under way."""
        return not len(self.queue) and not self._requests and not self.segments.busy

    # -- the loop

    async def run(self) -> None:
        """Send until cancelled; requests that are under way then go on."""
        while True:
            self._wake.clear()
            while (batch := self._picker.next_batch(self._now(), self._requests.values())) is not None:
                request = InFlightRequest(batch.live)
                task = asyncio.create_task(self._send(batch, request))
                self._requests[task] = request
                task.add_done_callback(self._ended)
            await self._sleep()

    async def cancel_requests(self) -> None:
        """End the requests that are under way, answers or not."""
        for task in list(self._requests):
            task.cancel()
        await asyncio.gather(*self._requests, return_exceptions=True)

    def _now(self) -> float:
        return self._clocks.monotonic()

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._requests.pop(task, None)
        self._wake.set()

    async def _sleep(self) -> None:
        now = self._now()
        retry_at = self._breaker.retry_at
        times = [retry_at] if now < retry_at else []
        if (at := self.queue.next_time()) is not None:
            times.append(max(at, retry_at))
        if self.queue.ready(True) or self.queue.ready(False):
            pause = self.connections.pause_left()
            times.append(max(now + pause, now + POLL_SECONDS, retry_at))
        timeout = max(0.0, min(times) - now) if times else None
        with contextlib.suppress(TimeoutError):  # not wait_for: in Python 3.11 it may swallow a cancellation
            async with asyncio.timeout(timeout):
                await self._wake.wait()

    # -- one request

    async def _send(self, batch: QueuedBatch, request: InFlightRequest) -> None:
        people = list(batch.people)
        try:
            listed = self._state.listed(self.list_id)
            writes = await self._rows.prepare(people, listed)  # 1
            writes = [write for write in writes if not is_rename_held_back(write, self.queue, self._now(), self._late)]
            held_back = await self._guard.held_back(writes)
            group, route = group_by_route(writes, self.queue, held_back, self.connections.wait_until, self._now())
            await self.connections.show_waiting(writes)
            if held_back:
                await self.report_guard()
            if not group or route is None:
                return
            await self._request(group, route, request, listed)
        except BatchError as error:
            log.warning("rows could not be written", list_id=self.list_id, error=str(error))
            self._retry(people, 1.0, outcome_unknown=True)
        except Exception:
            # A defect of ours must not keep these people in flight for ever, nor stop the others.
            log.exception("request failed", list_id=self.list_id, people=len(people))
            self._retry(people, DEFECT_WAIT_SECONDS, outcome_unknown=True)

    async def _request(
        self, writes: Sequence[PlannedWrite], route: RequestRoute, request: InFlightRequest, listed: ListView | None
    ) -> None:
        people = [write.person for write in writes]
        authorization = authorization_of(writes)
        connection = self.connections.get(authorization)
        if connection is None:
            await self._block(Blocked("account", f"there is no credential of {authorization}"), people, authorization)
            return
        try:
            keys = await self._keys(writes, connection)  # 2
        except FieldTypeError as fault:
            await self._block(Blocked("list", str(fault), NEXT_PROBE), people)
            return
        except CampaignMonitorError as error:
            await self._fields_failed(error, people, authorization)
            return
        async with self._slots.slot(request):
            if self._owner.lease_seconds() < MIN_LEASE_SECONDS:
                self._retry(people, MIN_LEASE_SECONDS)
                return
            if self._outdated(people, listed):
                self._retry(people, 0.0)
                return
            if route.resubscribe:
                for write in writes:
                    note_return(write.held, write.person.attempt, self._now(), self._clocks.wall(), self._late)
            priority: Priority = "live" if request.live else "background"
            results = await connection.writers[priority].write(route, writes, keys)  # 3
            accepted = self._clocks.wall()
        self._wake.set()
        if self._jobs_changed(listed):
            for person in people:  # sent for jobs that have changed meanwhile: read the rows again
                self.queue.touch(person.key, self._now(), live=person.live)
        await self.samples.check(results, connection.writers["live"], self.connections.expire_fields)
        await self._record_outcomes(results, accepted)  # 4, 5

    def _outdated(self, people: Sequence[QueuedPerson], listed: ListView | None) -> bool:
        """Whether failures began, a partition moved or jobs changed while the request waited for its slot."""
        moved = not all(self.queue.has_request(person.key) for person in people)
        return moved or self._breaker.is_open(self._now()) or self._jobs_changed(listed)

    def _jobs_changed(self, listed: ListView | None) -> bool:
        current = self._state.listed(self.list_id)
        return listed is None or current is None or listed.revision != current.revision

    async def _keys(self, writes: Sequence[PlannedWrite], connection: ListConnection) -> dict[str, str]:
        needs = needs_of(write.state.desired for write in writes if write.state is not None)
        listed, names = self._state.listed(self.list_id), self._state.names
        if listed is None:
            return {}
        audiences = audience_fields(listed, names)
        for plain in needs.keys() & audiences.keys():
            needs[plain].options |= audiences[plain].options
        fields = self.connections.fields
        keys = await fields.ensure(connection.apis["live"], needs, used_fields(listed, audiences))
        self.segments.use(connection.apis["background"])
        self.segments.refresh(listed, names, fields)
        return keys

    # -- answers

    async def _record_outcomes(self, results: Sequence[WriteResult], accepted: EpochMillis) -> None:
        now = self._now()
        outcomes: list[FinalOutcome] = []
        worst: RetryLater | Blocked | None = None
        for result in results:
            applied = apply_decision(result, len(results), self.queue, now)
            if isinstance(applied, FinalOutcome):
                outcomes.append(applied)
            elif isinstance(applied, RefreshSchema):
                self.connections.expire_fields()
            elif isinstance(applied, Blocked) or (isinstance(applied, RetryLater) and not isinstance(worst, Blocked)):
                worst = applied
        authorization = authorization_of([result.write for result in results])
        if isinstance(worst, Blocked):
            waiting = [result.write.person for result in results if isinstance(result.decision, Blocked)]
            await self._block(worst, waiting, authorization)
        elif worst is not None and worst.scope != "person":
            self.connections.fail(worst, authorization, now)
        elif results:
            await self.connections.resumed(authorization, self._guard.attention)
        await self._rows.record(outcomes, accepted)

    # -- failures

    def _retry(self, people: Sequence[QueuedPerson], after: float, *, outcome_unknown: bool = False) -> None:
        now = self._now()
        for person in people:
            if self.queue.has_request(person.key):
                person.attempt.outcome_unknown = person.attempt.outcome_unknown or outcome_unknown
                self.queue.retry_at(person, now + after)

    async def _fields_failed(
        self, error: CampaignMonitorError, people: Sequence[QueuedPerson], authorization: str
    ) -> None:
        """Fields could not be read or created."""
        match classify(error.verdict, self._breaker.failures + 1, random.random()):
            case Blocked() as blocked:
                await self._block(blocked, people, authorization)
            case RetryLater() as retry:
                self.connections.fail(retry, authorization, self._now())
                self._retry(people, retry.after)
            case RefreshSchema():
                self.connections.expire_fields()
                self._retry(people, REFRESH_SECONDS)
            case _:
                why = f"the list's fields could not be created: {error}"
                await self._block(Blocked("list", why, NEXT_PROBE), people)

    async def _block(self, blocked: Blocked, people: Sequence[QueuedPerson], authorization: str | None = None) -> None:
        await self.connections.block(blocked, authorization, self._now())
        for person in people:
            self.queue.retry_at(person, self._now())
        self._wake.set()
