"""The rows' side of sending, run as the owner of one partition: what to send, and what the answers change.

    prepare          rows -> what each person needs; what needs no call is recorded at once
    record_outcomes  answers -> newest rows and receipts

Both end in the same two writes, in the order that makes a crash harmless: receipts, acknowledged; then rows.
"""

import asyncio
from collections.abc import Iterable, Sequence
from itertools import chain

import structlog

from schemas.envelope import EpochMillis
from schemas.membership_command import Renamed, command_bytes
from streams.batches import NotDelivered, Output
from streams.batches import Row as TableRow
from streams.export.metrics import count_receipts
from streams.export.recovery.receipts import PendingReceipt, ids_of, keys_of, output, unfolded
from streams.export.recovery.takeover import apply
from streams.export.rules.claims import allowed, has_claims, is_open
from streams.export.rules.desired import desired_subscriber
from streams.export.rules.due import mark_due, mark_settled
from streams.export.rules.immediate import add_not_exported
from streams.export.rules.jobs import ListView
from streams.export.rules.orders import (
    claimed_by_leaver,
    copy_of_held,
    is_moving,
    mark_done,
    note_exports,
    take_done,
    waits,
)
from streams.export.rules.routing import NO_CALL, record_late_calls, route_of
from streams.export.rules.row import Held, MembershipRow
from streams.export.rules.settlement import (
    Receipt,
    WrittenState,
    record_delivered,
    record_refused,
    record_unchanged,
    state_to_write,
)
from streams.export.sending.claims import ClaimExchange, is_held
from streams.export.sending.plan import FinalOutcome, PlannedWrite, note_waiting, without_call
from streams.export.sending.queue import QueuedPerson, RowKey
from streams.export.state import ExportState, OwnedPartition
from streams.export.table import ExportRuntime, publish_receipts

log = structlog.get_logger(__name__)

LATE_APPEND_SECONDS = 1.0  # what timed out may be in the socket of a broker that was paused, and be appended then


class PartitionRows:
    """Reads and writes rows; each method runs as the owner of the partition that it is given, and raises BatchError."""

    def __init__(self, state: ExportState, runtime: ExportRuntime, late_call_seconds: float) -> None:
        """`late_call_seconds`: for how long Campaign Monitor may apply a call that got no answer."""
        self.late_call_seconds = late_call_seconds
        self._state = state
        self._rows = runtime.rows
        self._publisher = runtime.publisher
        self._stored_receipts = runtime.receipts
        self._commands_topic = runtime.names["cm_membership-commands"]
        self._wall = runtime.clocks.wall
        self._clock = runtime.clocks.monotonic
        self._claims = ClaimExchange(state, runtime, int(late_call_seconds * 1000))

    def owned(self, partition: int) -> OwnedPartition | None:
        """Return a partition that this worker owns; None when it does not."""
        return self._state.owned.get(partition)

    async def prepare(
        self, owned: OwnedPartition, listed: ListView, people: Sequence[QueuedPerson]
    ) -> list[PlannedWrite]:
        """Return what each of these people needs from the list; outcomes without a call are recorded before."""
        await self.resync(owned)
        rows = await self._rows.read(owned.number, [person.key[1] for person in people])
        writes = [self.planned(owned, listed, person, rows[person.key[1]].data) for person in people]
        if claiming := [write.person for write in writes if write.has_claims and listed.running]:
            changed = await self._claims.settle(owned, listed, claiming, rows)
            rows |= changed
            writes = [
                self.planned(owned, listed, write.person, rows[write.person.key[1]].data) if write.has_claims else write
                for write in writes
            ]
        reports = {key: take_done(row.data, listed.list_id) for key, row in rows.items()}
        local: list[tuple[TableRow[MembershipRow], list[Receipt]]] = []
        for write in writes:
            row = rows[write.person.key[1]]
            receipts = without_call(row.data, write) if listed.running else None
            if receipts is not None:
                write.done = True
                if mark_done(row.data, listed.list_id, None if write.state is None else write.person.attempt.renamed):
                    self._state.open[listed.list_id].touch(owned.number, row.key, self._clock())
                self._mark_late(row.data, listed.list_id, write.person, write.state)
                self._claims.look_again(owned.number, row, listed)
                add_not_exported(row.data, listed.list_id, receipts, self._state.exports)
                self._mark_due(owned.number, row, listed.list_id)
                local.append((row, receipts))
            elif note_waiting(row.data, listed.list_id, write, self.late_until()) or reports[row.key]:
                local.append((row, []))
        written = {row.key for row, _ in local}
        self._rows.give_back(owned.number, [row for key, row in rows.items() if key not in written])
        await self._publisher.publish_all(
            [
                Output(self._commands_topic, former.encode(), command_bytes(Renamed(listed.list_id, lent)))
                for former, lent in chain.from_iterable(reports.values())
            ]
        )
        await self.write(owned, local, self._wall())
        return writes

    async def record_outcomes(
        self, owned: OwnedPartition, list_id: str, outcomes: Sequence[FinalOutcome], accepted: EpochMillis
    ) -> set[RowKey]:
        """Apply final outcomes to the newest rows, and publish their receipts. Returns who is to be looked at again."""
        await self.resync(owned)
        rows = await self._rows.read(owned.number, [outcome.person.key[1] for outcome in outcomes])
        changed: list[tuple[TableRow[MembershipRow], list[Receipt]]] = []
        again: set[RowKey] = set()
        more_people = 0
        for outcome in outcomes:
            row = rows[outcome.person.key[1]]
            before = is_held(row.data, list_id)
            receipts = self.apply(owned, list_id, row, outcome, accepted)
            more_people += is_held(row.data, list_id) - before
            if outcome.unwritten or row.data.lists[list_id].orders:
                again.add(outcome.person.key)
                mark_due(row.data)
            changed.append((row, receipts))
        await self.write(owned, changed, accepted)
        owned.receipts.people[list_id] += more_people
        return again

    def late_until(self) -> EpochMillis:
        """Return until when a call that gets no answer now may be applied."""
        return self._wall() + int(self.late_call_seconds * 1000)

    async def mark_attempted(self, owned: OwnedPartition, listed: ListView, keys: Sequence[bytes]) -> None:
        """Record, before the call, for which jobs it may be made."""
        rows = await self._rows.read(owned.number, keys)
        unknown = [row for row in rows.values() if row.exists and note_exports(row.data, listed)]
        if unknown:
            await self._rows.write_rows(owned.number, owned.generation, unknown)

    async def resync(self, owned: OwnedPartition, *, always: bool = False) -> None:
        """If receipts may be ahead of their rows, or `always`: bring rows up to those after the checkpoint, and keep
        the receipts' ids. Before rows are read that are to be written."""
        if not owned.receipts.behind and not always:
            return
        if owned.receipts.outcome_unknown:
            await self._stored_receipts.end(owned.number)  # the broker answers again
            await asyncio.sleep(LATE_APPEND_SECONDS)
        end = await self._stored_receipts.end(owned.number)
        tail = await self._stored_receipts.read(owned.number, owned.checkpoint.receipts, end)
        if tail:
            rows = await self._rows.read(owned.number, keys_of(tail))
            changed = apply({key: row.data for key, row in rows.items()}, tail)
            behind = [row for key, row in rows.items() if key in changed]
            await self._rows.write_rows(owned.number, owned.generation, behind)
            log.info("receipts read", partition=owned.number, receipts=len(tail), rows=len(changed))
        owned.receipts.published |= ids_of(tail)
        owned.receipts.unfolded = unfolded(tail)
        owned.receipts.outcome_unknown = False
        owned.receipts.unwritten.clear()

    async def write(
        self,
        owned: OwnedPartition,
        changed: Sequence[tuple[TableRow[MembershipRow], list[Receipt]]],
        accepted: EpochMillis,
    ) -> None:
        """Write receipts, which the rows know of (`settle`), then rows."""
        if not changed:
            return
        pending: list[PendingReceipt] = []
        for row, receipts in changed:
            held, source = row.data.lists.get, row.data.source
            pending += [PendingReceipt(row.key, receipt, source, held(receipt.list_id)) for receipt in receipts]
        await self.publish_receipts(owned, pending, accepted)
        await self._rows.write_rows(owned.number, owned.generation, [row for row, _ in changed])
        owned.receipts.unwritten.clear()

    async def publish_receipts(
        self,
        owned: OwnedPartition,
        pending: Iterable[PendingReceipt],
        accepted: EpochMillis,
        folded_from: tuple[str, int] | None = None,
    ) -> list[str]:
        """Publish receipts, but none that the topic has already; returns the ids of all.

        `folded_from`: (topic, offset) of the last record of the batch that their rows follow with.
        """
        ids = ((owned.context.event_id(r.receipt.job_id, r.receipt.position, r.source), r) for r in pending)
        receipts = [(event_id, output(owned.context, r, accepted, folded_from)) for event_id, r in ids]
        await self.publish_encoded(owned, receipts)
        return [event_id for event_id, _ in receipts]

    async def publish_encoded(self, owned: OwnedPartition, receipts: Iterable[tuple[str, Output]]) -> None:
        """The same, with their ids and records."""
        published, unwritten = owned.receipts.published, owned.receipts.unwritten
        new = {key: record for key, record in receipts if key not in published and key not in unwritten}
        if not new:
            return
        try:
            async with owned.publishing:
                await publish_receipts(self._publisher, owned.number, list(new.values()))
        except (NotDelivered, asyncio.CancelledError):
            owned.receipts.outcome_unknown = True
            raise
        unwritten.update(new)
        count_receipts([record.value for record in new.values()])

    def planned(
        self, owned: OwnedPartition, listed: ListView, person: QueuedPerson, row: MembershipRow
    ) -> PlannedWrite:
        """Return what a person needs from the list."""
        key = person.key[1]
        held = row.lists.get(listed.list_id)
        desired = None
        if person.attempt.found_due:
            person.attempt.found_due = False
            person.attempt.outcome_unknown = listed.list_id not in row.settled
        if row.leaving:
            self._state.freeze(owned.number, key)
        waiting = waits(row, listed.list_id)
        claims = waiting and claimed_by_leaver(row, listed.list_id) is not None
        if not waiting:
            opened = self._state.open.get(listed.list_id)
            blocked = opened.blocked if opened is not None else ()
            desired = desired_subscriber(row, key.decode(), listed, held, self._state.names.option_of, blocked)
            email = key.decode()
            if claims := has_claims(row, email, listed.list_id, desired):
                permitted = allowed(row, email, listed.list_id, desired)
                waiting, desired = desired is not None and permitted is None, permitted
        if desired is None:
            return PlannedWrite(person, waits=waiting, has_claims=claims)
        state = state_to_write(key, owned.number, row, listed, desired, person.attempts + 1)
        appended = max((entry.appended for entry in row.audiences.values()), default=0)
        route = route_of(held, desired, person.attempt)
        if route is NO_CALL and held is not None and held.late is not None and held.late.over_at <= self._wall():
            person.attempt.recheck = True
            route = route_of(held, desired, person.attempt)
        return PlannedWrite(person, state, route, held and copy_of_held(held), appended, has_claims=claims)

    def apply(
        self,
        owned: OwnedPartition,
        list_id: str,
        row: TableRow[MembershipRow],
        outcome: FinalOutcome,
        accepted: EpochMillis,
    ) -> list[Receipt]:
        """Record a final outcome in a row, in place, and return the receipts."""
        mark_done(row.data, list_id, outcome.person.attempt.renamed)
        if outcome.unwritten:
            receipts = []
            row.data.lists.setdefault(list_id, Held()).address = outcome.address
        elif outcome.refusal is not None:
            gone = accepted if outcome.gone else 0
            receipts = record_refused(
                row.data, outcome.state, outcome.refusal, outcome.code, outcome.message, outcome.address, gone=gone
            )
        elif outcome.person.attempt.recheck and not outcome.state.desired.present and not outcome.removed:
            receipts = record_unchanged(row.data, outcome.state)
        else:
            receipts = record_delivered(
                row.data,
                outcome.state,
                outcome.address,
                added=outcome.added,
                removed=accepted if outcome.removed else 0,
                gone=outcome.gone,
                message=outcome.message,
            )
        self._mark_late(row.data, list_id, outcome.person, outcome.state)
        self._claims.look_again(owned.number, row, self._state.listed(list_id))
        add_not_exported(row.data, list_id, receipts, self._state.exports)
        self._mark_due(owned.number, row, list_id)
        return receipts

    def _mark_due(self, partition: int, row: TableRow[MembershipRow], list_id: str) -> None:
        """Keep the mark while a receipt is outstanding, another queue has the person, or this one reads them again."""
        key, opened = (partition, row.key), self._state.open.get(list_id)
        if opened is not None and opened.queue.changed_in_request(key):
            row.data.due = True
        else:
            due = is_moving(row.data) or is_open(row.data) or bool(row.data.outstanding)
            mark_settled(row.data, list_id, due=due or self._state.is_due_elsewhere(row.data, key, list_id))

    def _mark_late(self, row: MembershipRow, list_id: str, person: QueuedPerson, state: WrittenState | None) -> None:
        """Keep the mark of calls that may be applied late until they are over, and the list was looked at then."""
        held = row.lists.get(list_id)
        if held is not None:
            record_late_calls(held, person.attempt, state.desired if state else None, self.late_until())
