"""The sender's side of a backfill's calls, see `scan_calls.py`."""

from collections.abc import Collection, Mapping, Sequence

import structlog

from schemas.envelope import EpochMillis
from streams.batches import BatchError, decode_blob, encode_blob
from streams.export.recovery.receipts import HELD
from streams.export.rules.flat_import import FlatImport, import_request
from streams.export.rules.outcome import Delivered
from streams.export.rules.row import decode
from streams.export.sending.connections import SenderContext
from streams.export.sending.direct_queue import FlatAnswer, ScanCall
from streams.export.sending.direct_sends import DEFECT_WAIT_SECONDS, RecordsAnswers, needs_of_plan
from streams.export.sending.flat_calls import held_after, receipts_of
from streams.export.sending.imports import ImportAnswer, flat_answer, results_of
from streams.export.sending.plan import PlannedWrite, WriteResult, effects_of, was_added
from streams.export.sending.requests import ListRequests, RequestNeeds
from streams.export.sending.slots import InFlightRequest
from streams.export.sending.writer import ListWriter
from streams.export.state import OpenList, OwnedPartition

log = structlog.get_logger(__name__)


class ScanSends:
    """Makes the calls of backfills to one list, and writes what was simply accepted."""

    def __init__(self, opened: OpenList, context: SenderContext, making: ListRequests, answers: RecordsAnswers) -> None:
        self._opened = opened
        self._queue = opened.queue
        self._rows = context.rows
        self._table = context.runtime.rows
        self._owner = context.runtime.owner
        self._clock = context.runtime.clocks.monotonic
        self._making = making
        self._answers = answers

    async def send(self, call: ScanCall, request: InFlightRequest) -> None:
        """Make a call. Nobody of it is in a request after this."""

        def begin() -> bool:
            return all(self._queue.has_request(person.key) for person in call.queued)

        async def write(writer: ListWriter, keys: Mapping[str, str]) -> ImportAnswer | None:
            if keys != call.plan.keys:
                return None  # the fields were recreated meanwhile
            return await writer.write_import(import_request((p.entry for p in call.people), queue=call.route.queue))

        needs = RequestNeeds(call.authorization, needs_of_plan(call.plan), call.queued, call.listed, begin)
        try:
            made = await self._making.make(needs, request, write)
            if made is None:
                return
            if made.answer is None:
                self._making.retry(call.queued, 0.0)
            else:
                await self._record(call, made.answer, made.at, jobs_changed=made.jobs_changed)
        except BatchError as error:
            log.warning("rows could not be written", list_id=call.listed.list_id, error=str(error))
            self._making.retry(call.queued, 1.0, outcome_unknown=True)
        except Exception:
            log.exception("backfill call failed", list_id=call.listed.list_id, people=len(call.people))
            self._making.retry(call.queued, DEFECT_WAIT_SECONDS, outcome_unknown=True)

    async def _record(self, call: ScanCall, answer: ImportAnswer, at: EpochMillis, *, jobs_changed: bool) -> None:
        flat, decision = flat_answer(call.people, answer)
        if jobs_changed:  # everybody is looked at again
            for person in call.queued:
                self._queue.touch(person.key, self._clock(), live=False)
        owned = self._rows.owned(call.partition)
        if owned is None:
            self._queue.forget_partition(call.partition)
            return
        if jobs_changed or not isinstance(decision, Delivered) or flat.outcome_unknown:
            writes = self._planned(owned, call, {person.key for person in call.people})
            effects = effects_of(call.route, repeated=False)
            await self._answers.record(results_of(writes, answer, effects, confirms=False), at, len(call.people))
            return
        changed: set[bytes] = set()
        accepted = [person for person in call.people if person.key not in flat.refused]
        if accepted:
            changed = await self._owner.run_as_owner(
                owned.number, owned.generation, lambda: self._write(owned, call, accepted, flat, at)
            )
        now = self._clock()
        for person in call.queued:
            key = person.key[1]
            if key in flat.refused:
                self._queue.requeue(person, person.route)
            elif key not in changed:
                self._queue.done(person.key, now)
        results: list[WriteResult] = []
        unknown = sum(not person.known for person in accepted)
        for write in self._planned(owned, call, changed):
            added = flat.new >= len(accepted) or was_added(write, flat.new, unknown)
            results.append(WriteResult(write, Delivered(), write.person.key[1].decode(), added))
        if results:
            await self._answers.record(results, at, len(call.people))
        else:
            await self._answers.act_on(decision, (), call.authorization)

    async def _write(
        self, owned: OwnedPartition, call: ScanCall, people: Sequence[FlatImport], answer: FlatAnswer, at: EpochMillis
    ) -> set[bytes]:
        """Write receipts and rows; returns the keys of people who changed since the call was planned."""
        await self._rows.resync(owned)
        planned = dict(zip((person.key for person in call.people), call.stored, strict=True))
        keys = [person.key for person in people]
        rows = {
            key: blob
            for key, blob in zip(keys, self._table.read_blobs(owned.number, keys), strict=True)
            if blob is not None and blob == planned[key] and not self._queue.changed_in_request((owned.number, key))
        }
        receipts = receipts_of(owned.context, call.plan, people, answer, call.source, at)
        held = {person.key: held_after(person, call.listed.list_id) for person in people if person.key in rows}
        await self._rows.publish_encoded(
            owned,
            [
                (event_id, record._replace(headers=[(HELD, held[record.key])]))
                for event_id, record in receipts
                if record.key in held
            ],
        )
        written = [
            (person.key, encode_blob(person.value, decode_blob(rows[person.key])[1]))
            for person in people
            if person.key in rows
        ]
        await self._table.write_blobs(owned.number, owned.generation, written)
        owned.receipts.unwritten.clear()
        owned.receipts.people[call.listed.list_id] += sum(not person.had for person in people if person.key in rows)
        return {person.key for person in people if person.key not in rows}

    def _planned(self, owned: OwnedPartition, call: ScanCall, keys: Collection[bytes]) -> list[PlannedWrite]:
        """Return what was written of people, as the rules for everybody give it."""
        writes: list[PlannedWrite] = []
        for person, blob in zip(call.queued, call.stored, strict=True) if keys else ():
            if person.key[1] not in keys:
                continue
            write = self._rows.planned(owned, call.listed, person, decode(decode_blob(blob)[0] or b""))
            if write.state is None or write.route is None:
                self._making.retry([person], 0.0, outcome_unknown=True)
            else:
                writes.append(write)
        return writes
