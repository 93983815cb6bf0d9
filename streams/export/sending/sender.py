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
from collections.abc import Coroutine, Mapping, Sequence

import structlog

from schemas.envelope import EpochMillis
from streams.batches import BatchError
from streams.export.lists.removal_guard import RemovalGuard
from streams.export.lists.segments import ListSegments
from streams.export.rules.jobs import ListView
from streams.export.rules.outcome import Blocked, RefreshSchema, RetryLater, SendDecision
from streams.export.rules.routing import RequestRoute, note_return
from streams.export.sending.connections import ListConnections, SenderContext
from streams.export.sending.direct_sends import DEFECT_WAIT_SECONDS, DirectSends, needs_of_writes
from streams.export.sending.outcomes import ListRows, apply_decision
from streams.export.sending.plan import FinalOutcome, PlannedWrite, WriteResult, authorization_of, group_by_route
from streams.export.sending.queue import QueuedBatch, QueuedPerson
from streams.export.sending.renames import is_rename_held_back
from streams.export.sending.requests import ListRequests, RequestNeeds
from streams.export.sending.samples import SampleReads
from streams.export.sending.scan_sends import ScanSends
from streams.export.sending.slots import BatchPicker, InFlightRequest, RequestSlots
from streams.export.sending.writer import ListWriter
from streams.export.state import OpenList

log = structlog.get_logger(__name__)

# Between two looks whether a slot of the account, which other lists use too, has become free.
POLL_SECONDS = 0.05


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
        self._clocks = context.runtime.clocks
        self._blocked = context.blocked
        self._rows = ListRows(opened, context.rows, context.runtime, context.refused_records)
        self._guard = guard
        self._slots = RequestSlots(max_requests)
        self._making = ListRequests(opened, context, segments, connections, self._slots)
        self._picker = BatchPicker(opened, self._slots, connections)
        self._direct = DirectSends(opened, context, self._making, connections, samples, self)
        self._scanned = ScanSends(opened, context, self._making, self)
        self._late = context.rows.late_call_seconds
        self._requests: dict[asyncio.Task[None], InFlightRequest] = {}
        self._direct_turn = False

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
            while self._start_next():
                pass
            await self._sleep()

    def _start_next(self) -> bool:
        """Start the next request. False: none.

        Live changes of the queue and calls that owners wait for take turns where both wait; then a backfill.
        """
        if self._direct_turn and self._start_direct():
            self._direct_turn = False
            return True
        backfill = not self.opened.direct.waiting
        batch = self._picker.next_batch(self._now(), self._requests.values(), backfill=backfill)
        if batch is None:
            return not self.queue.ready(True) and (self._start_direct() or self._start_scanned())
        self._direct_turn = True
        request = InFlightRequest(batch.live)
        self._start(self._send(batch, request), request)
        return True

    def _start_direct(self) -> bool:
        direct = self.opened.direct
        taken = direct.waiting and self._picker.may_take_direct(self._now(), self._requests.values())
        call = direct.take() if taken else None
        if call is not None:
            request = InFlightRequest(live=True)
            self._start(self._direct.send(call, request), request)
        return call is not None

    def _start_scanned(self) -> bool:
        direct, now = self.opened.direct, self._now()
        if direct.scanned and not self.opened.takes_direct(now):
            self.opened.give_back_scanned()
        if direct.waiting or not direct.scanned or not self._picker.may_take_scanned(now, self._requests.values()):
            return False
        request = InFlightRequest(live=False)
        self._start(self._scanned.send(direct.take_scanned(), request), request)
        return True

    def _start(self, sending: Coroutine[None, None, None], request: InFlightRequest) -> None:
        task = asyncio.create_task(sending)
        self._requests[task] = request
        task.add_done_callback(self._ended)

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
        if self.queue.ready(True) or self.queue.ready(False) or self._has_direct():
            pause = self.connections.pause_left()
            times.append(max(now + pause, now + POLL_SECONDS, retry_at))
        timeout = max(0.0, min(times) - now) if times else None
        with contextlib.suppress(TimeoutError):  # not wait_for: in Python 3.11 it may swallow a cancellation
            async with asyncio.timeout(timeout):
                await self._wake.wait()

    def _has_direct(self) -> bool:
        return self.opened.direct.waiting or self.opened.direct.scanned

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
            self._making.retry(people, 1.0, outcome_unknown=True)
        except Exception:
            # A defect of ours must not keep these people in flight for ever, nor stop the others.
            log.exception("request failed", list_id=self.list_id, people=len(people))
            self._making.retry(people, DEFECT_WAIT_SECONDS, outcome_unknown=True)

    async def _request(
        self, writes: Sequence[PlannedWrite], route: RequestRoute, request: InFlightRequest, listed: ListView | None
    ) -> None:
        people = [write.person for write in writes]

        def begin() -> bool:
            """Whether no partition moved while the request waited for its slot."""
            return all(self.queue.has_request(person.key) for person in people)

        async def call(writer: ListWriter, keys: Mapping[str, str]) -> Sequence[WriteResult]:
            if route.resubscribe:
                for write in writes:
                    note_return(write.held, write.person.attempt, self._now(), self._clocks.wall(), self._late)
            return await writer.write(route, writes, keys)

        needs = RequestNeeds(authorization_of(writes), needs_of_writes(writes), people, listed, begin)
        made = await self._making.make(needs, request, call)  # 2, 3
        if made is None:
            return
        if made.jobs_changed:
            for person in people:  # sent for jobs that have changed meanwhile: read the rows again
                self.queue.touch(person.key, self._now(), live=person.live)
        await self._direct.look_at_sample(made.answer, made.connection)
        await self.record(made.answer, made.at, len(writes))  # 4, 5

    # -- answers

    async def record(self, results: Sequence[WriteResult], accepted: EpochMillis, together: int) -> None:
        """Record what came back. `together`: how many people the request included."""
        now = self._now()
        outcomes: list[FinalOutcome] = []
        worst: RetryLater | Blocked | None = None
        for result in results:
            applied = apply_decision(result, together, self.queue, now)
            if isinstance(applied, FinalOutcome):
                outcomes.append(applied)
            elif isinstance(applied, RefreshSchema):
                self.connections.expire_fields()
            elif isinstance(applied, Blocked) or (isinstance(applied, RetryLater) and not isinstance(worst, Blocked)):
                worst = applied
        if results:
            waiting = [result.write.person for result in results if isinstance(result.decision, Blocked)]
            await self.act_on(worst, waiting, authorization_of([result.write for result in results]))
        await self._rows.record(outcomes, accepted)

    async def act_on(self, decision: SendDecision | None, waiting: Sequence[QueuedPerson], authorization: str) -> None:
        """Do what an answer means for the list. `waiting`: who waits with it when it is blocked."""
        if isinstance(decision, Blocked):
            await self._making.block(decision, waiting, authorization)
        elif isinstance(decision, RetryLater) and decision.scope != "person":
            self.connections.fail(decision, authorization, self._now())
        elif isinstance(decision, RefreshSchema):
            self.connections.expire_fields()
        else:
            await self.connections.resumed(authorization, self._guard.attention)
