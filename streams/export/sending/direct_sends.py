"""The sender's side of direct calls: imports that a partition's owner waits for, see `direct_calls.py`."""

from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

import structlog

from schemas.envelope import EpochMillis
from streams.export.lists.fields import FieldNeed, audience_fields, needs_of, used_fields
from streams.export.rules.flat_import import FlatPlan, import_request
from streams.export.rules.outcome import SendDecision
from streams.export.rules.values import field_name
from streams.export.sending.connections import ListConnection, ListConnections, SenderContext
from streams.export.sending.direct_queue import DirectAnswer, DirectCall, FlatRequest, KnownList
from streams.export.sending.imports import ImportAnswer, flat_answer, results_of
from streams.export.sending.outcomes import is_accepted
from streams.export.sending.plan import PlannedWrite, WriteResult, effects_of
from streams.export.sending.queue import QueuedPerson
from streams.export.sending.requests import ListRequests, RequestNeeds
from streams.export.sending.samples import SampleReads
from streams.export.sending.slots import InFlightRequest
from streams.export.sending.writer import ListWriter
from streams.export.state import OpenList

log = structlog.get_logger(__name__)

DEFECT_WAIT_SECONDS = 10.0


class RecordsAnswers(Protocol):
    """The list's sender, for everybody who was not simply accepted."""

    async def record(self, results: Sequence[WriteResult], accepted: EpochMillis, together: int) -> None:
        """Record what came back. `together`: how many people the request included."""
        ...

    async def act_on(self, decision: SendDecision | None, waiting: Sequence[QueuedPerson], authorization: str) -> None:
        """Do what an answer means for the list. `waiting`: who waits with it when it is blocked."""
        ...


class DirectSends:
    """Makes the direct calls of one list."""

    def __init__(
        self,
        opened: OpenList,
        context: SenderContext,
        making: ListRequests,
        connections: ListConnections,
        samples: SampleReads,
        answers: RecordsAnswers,
    ) -> None:
        self._list_id = opened.list_id
        self._queue = opened.queue
        self._direct = opened.direct
        self._wake = opened.wake
        self._state = context.state
        self._clock = context.runtime.clocks.monotonic
        self._making = making
        self._connections = connections
        self._samples = samples
        self._answers = answers

    async def send(self, call: DirectCall, request: InFlightRequest) -> None:
        """Make a direct call. Who was not simply accepted is in the queue from here on, as after any request."""

        def begin() -> bool:
            call.begun = not call.withdrawn
            return call.begun

        try:
            if call.flat is not None:
                await self._send_flat(call, call.flat, request, begin)
            else:
                await self._send_planned(call, request, begin)
        except Exception:
            log.exception("direct call failed", list_id=self._list_id, people=len(call))
            people = [write.person for write in call.writes]
            self._making.retry(people, DEFECT_WAIT_SECONDS, outcome_unknown=True)
        finally:
            self._direct.end(call)
            self._wake.set()

    async def look_at_sample(self, results: Sequence[WriteResult], connection: ListConnection) -> None:
        """Read somebody back where something is new, and keep what is known of the list."""
        await self._samples.check(results, connection.writers["live"], self._connections.expire_fields)
        fields, listed = self._connections.fields, self._state.listed(self._list_id)
        if listed is not None:
            used = used_fields(listed, audience_fields(listed, self._state.names))
            keys = {name: key for name in used if (key := fields.key_of(name)) is not None}
            self._direct.know(KnownList(keys, self._samples.kept, fields.confirmed_opt_in))

    async def _send_planned(self, call: DirectCall, request: InFlightRequest, begin: Callable[[], bool]) -> None:
        async def write(writer: ListWriter, keys: Mapping[str, str]) -> Sequence[WriteResult]:
            return await writer.write(call.route, call.writes, keys)

        needs = RequestNeeds(call.authorization, needs_of_writes(call.writes), (), call.listed, begin)
        made = await self._making.make(needs, request, write)
        if made is None:
            return
        await self.look_at_sample(made.answer, made.connection)
        if call.dropped:
            return
        accepted = [result for result in made.answer if is_accepted(result) and not call.withdrawn]
        others = [result for result in made.answer if call.withdrawn or not is_accepted(result)]
        if not call.withdrawn:  # else the owner has done it
            for result in others:
                self._queue.adopt(result.write.person)
        call.changed = made.jobs_changed
        call.finish(DirectAnswer(accepted, made.at))
        await self._record(call, others, made.at)
        if not others:
            await self._answers.act_on(None, (), call.authorization)

    async def _send_flat(
        self, call: DirectCall, flat: FlatRequest, request: InFlightRequest, begin: Callable[[], bool]
    ) -> None:
        async def write(writer: ListWriter, keys: Mapping[str, str]) -> ImportAnswer | None:
            if keys != flat.plan.keys:
                call.begun = False
                return None  # the fields were recreated meanwhile
            return await writer.write_import(import_request(flat.entries(), queue=call.route.queue))

        needs = RequestNeeds(call.authorization, needs_of_plan(flat.plan), (), call.listed, begin)
        made = await self._making.make(needs, request, write)
        if made is None or made.answer is None or call.dropped:
            return
        call.changed = made.jobs_changed
        if call.withdrawn:
            await call.handed_over
            results = results_of(call.writes, made.answer, effects_of(call.route, repeated=False), confirms=False)
            await self._record(call, results, made.at)
            return
        answer, decision = flat_answer(flat.people, made.answer)
        call.finish(DirectAnswer((), made.at, answer))
        await self._answers.act_on(decision, (), call.authorization)

    async def _record(self, call: DirectCall, results: Sequence[WriteResult], accepted: EpochMillis) -> None:
        if call.changed:
            for result in results:
                self._queue.touch(result.write.person.key, self._clock())
        await self._answers.record(results, accepted, len(call))


def needs_of_writes(writes: Sequence[PlannedWrite]) -> dict[str, FieldNeed]:
    """Return the fields that a request uses. Raises FieldTypeError."""
    return needs_of(write.state.desired for write in writes if write.state is not None)


def needs_of_plan(plan: FlatPlan) -> dict[str, FieldNeed]:
    """Return the same for people of the common kind."""
    job = plan.view.job
    needs = [FieldNeed(job.custom_field_name, "MultiSelectMany")]
    needs += [FieldNeed(mapping.custom_field, mapping.data_type) for mapping in job.field_mappings]
    return {field_name(need.name): need for need in needs}
