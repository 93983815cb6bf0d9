"""Imports that a partition's owner makes of a batch before its rows are written: one durable write for each change.

Where many people of a batch need a plain import to one list, the row is not written as due first:

    1 a note in the checkpoint, acknowledged: up to this record of the source, calls to this list may have been made
    2 the calls, a thousand people each; the next thousand are folded meanwhile
    3 receipts, acknowledged; they hold no copy of the row
    4 rows, as they are after the call
    5 the range may be committed, when all of the batch is written

3 and 4 of one call after the other, beside 2 of the next ones: no call waits for the acknowledgement of another's rows.
A crash before 1 has done nothing. After it the records come again: whoever has no row yet is due with an outcome that
is not known (`note_repeated`), and who has a receipt gets no second sent. Whoever needs anything else, or has no answer
in time, or was not simply accepted, gets what every due row gets: the row is written, and the queue goes on with it.
So consumption waits for a list only while that answers at its usual pace, and no longer than `BATCH_SECONDS`.
"""

import asyncio
from collections.abc import Collection, Container, Sequence
from dataclasses import dataclass, field
from typing import Any

from streams.batches import Batch, kill_point
from streams.batches import Row as TableRow
from streams.export.recovery.takeover import SentRange, write_checkpoint
from streams.export.rules.orders import note_exports
from streams.export.rules.routing import RequestKind, RequestRoute, is_plain, is_plain_import
from streams.export.rules.row import MembershipRow
from streams.export.sending.direct_answers import DirectAnswers, OpenCall
from streams.export.sending.direct_queue import DirectCall, FlatRequest
from streams.export.sending.flat_calls import (
    FlatPlans,
    ReadsEvents,
    StoredMembership,
    group_flat,
)
from streams.export.sending.partition_rows import PartitionRows
from streams.export.sending.plan import PlannedWrite, authorization_of
from streams.export.sending.queue import QueuedPerson
from streams.export.state import ExportState, OpenList, OwnedPartition
from streams.export.table import CHECKPOINT_KEY, ExportRuntime, WritesBatch

after_note = kill_point("after-note")
# Fewer are sent with those of other partitions, by the queue.
MIN_PEOPLE = 100
ANSWER_SECONDS = 2.0
"""A call that takes longer goes on without the batch."""
BATCH_SECONDS = 10.0
"""For how long a batch may make calls."""
# Between two looks whether a batch that waits for its turn has waited too long.
ROOM_SECONDS = 0.5
MAX_UNWRITTEN = 4
"""Calls of a batch that are answered and not written: with more of them it makes no further ones."""


@dataclass(slots=True)
class _Group:
    """People of one list and authorization."""

    opened: OpenList
    writes: list[PlannedWrite] = field(default_factory=list)
    rows: dict[bytes, TableRow[MembershipRow]] = field(default_factory=dict)


class DirectCalls:
    """The direct calls of this worker's batches."""

    def __init__(
        self,
        state: ExportState,
        runtime: ExportRuntime,
        table: WritesBatch,
        rows: PartitionRows,
        max_row_bytes: int,
        min_people: int = MIN_PEOPLE,
    ) -> None:
        self.state = state
        self.runtime = runtime
        self.table = table
        self.rows = rows
        self.min_people = min_people
        self.plans = FlatPlans(state, max_row_bytes)

    def begin(self, owned: OwnedPartition, batch: Batch) -> "DirectBatch":
        """Return the calls of one batch."""
        return DirectBatch(self, owned, batch)


class DirectBatch:
    """The direct calls of one batch, inside its owner's task."""

    def __init__(self, calls: DirectCalls, owned: OwnedPartition, batch: Batch) -> None:
        self._calls = calls
        self._state = calls.state
        self._rows = calls.rows
        self._clock = calls.runtime.clocks.monotonic
        self._owned = owned
        self._batch = batch
        self._until = self._clock() + BATCH_SECONDS
        self._noted: set[str] = set()
        source = batch.source.topic_id
        self._repeated = {list_id: sent.upto for list_id, sent in owned.sent.items() if sent.source == source}
        """By list: up to where calls may have been made before this attempt."""
        self._after = max(self._repeated.values(), default=-1)
        self._answers = DirectAnswers(owned, batch, calls.state, calls.runtime.clocks, calls.table, calls.rows)
        self.unsent = self._answers.unsent
        self.returned = self._answers.returned
        self.keep_returned = self._answers.keep_returned

    async def send_flat(self, stored: Sequence[StoredMembership], read: ReadsEvents) -> Sequence[StoredMembership]:
        """Begin calls for people of the common kind, whose events are not folded yet; returns the others' rows."""
        now, batch = self._clock(), self._batch
        if len(stored) < self._calls.min_people or now >= self._until:
            return stored
        groups, others = group_flat(stored, read, self._calls.plans, batch.source, batch.partition, self._after, now)
        for group in groups:
            if len(group.people) < self._calls.min_people or not await self._has_room(group.opened):
                others += group.stored()
                continue
            await self._noted_or_released(group.opened)
            job = group.plan.view.job
            route = RequestRoute(RequestKind.IMPORT, queue=job.queue_autoresponders)
            flat = FlatRequest(group.plan, group.people)
            call = DirectCall(group.plan.listed, job.authorization_id, route, flat=flat)
            self._put(group.opened, call, {}, group.blobs)
        return others

    def note_repeated(self, row: TableRow[MembershipRow], first: int) -> None:
        """Note in a row, in place, calls that may have been made for its new records, the first of which is `first`."""
        for list_id, upto in self._repeated.items():
            listed = self._state.listed(list_id)
            if first <= upto and listed is not None:
                note_exports(row.data, listed)
                row.data.settled = tuple(known for known in row.data.settled if known != list_id)
                if row.data.due:
                    self.unsent.unknown.add(row.key)

    async def send(self, rows: Sequence[TableRow[MembershipRow]], was_due: Container[bytes]) -> None:
        """Begin calls for those of the rows, which were folded just now, that need no more than a plain import.

        At most as many as one call takes. `was_due`: keys of rows that were due before; something may be on its way.
        """
        groups: dict[tuple[str, str], _Group] = {}
        now = self._clock()
        if len(rows) < self._calls.min_people:  # no list's are enough: nobody is planned twice
            self.unsent.rows += rows
            self._answers.settle_beside()
            return
        for row in rows:
            planned = None if row.key in was_due or now >= self._until else self._planned(row, now)
            if planned is None:
                self.unsent.rows.append(row)
                continue
            opened, write, authorization = planned
            group = groups.setdefault((opened.list_id, authorization), _Group(opened))
            group.writes.append(write)
            group.rows[row.key] = row
        for group in groups.values():
            if len(group.writes) >= self._calls.min_people and await self._has_room(group.opened):
                await self._begin(group)
            else:
                self.unsent.rows += group.rows.values()
        self._answers.settle_beside()

    async def finish(self) -> None:
        """Wait for the answers, each until its time is over."""
        answers = self._answers
        while answers.open:
            await self._wait((), min((sent.until for sent in answers.unanswered()), default=float("inf")))
            for sent in [sent for sent in answers.unanswered() if self._clock() >= sent.until]:
                answers.hand_over(sent)
        await answers.settled()

    async def abandon(self) -> None:
        """The batch failed, and comes again: nobody records what is answered from here on. Waits for calls under way,
        so that no second one is made beside them."""
        self._drop()
        await self._answers.end(cancel=False)
        under_way = [sent.call.answer for sent in self._answers.unanswered() if sent.call.begun]
        if under_way:
            await asyncio.wait(under_way)

    async def cancel(self) -> None:
        """The batch ends, and its partition is not ours any more."""
        self._drop()
        await self._answers.end(cancel=True)

    def _drop(self) -> None:
        for returned in self.returned:
            if returned.under_way is not None:
                returned.under_way.dropped = True
                returned.under_way.handed_over.cancel()
        for sent in self._answers.open:
            sent.call.dropped = True
            sent.call.give_up()

    def _planned(self, row: TableRow[MembershipRow], now: float) -> tuple[OpenList, PlannedWrite, str] | None:
        """Return the list, the import and its authorization; None: the person needs something else."""
        key = (self._batch.partition, row.key)
        if row.key in self.unsent.unknown or not is_plain(row.data):
            return None
        opened = self._state.only_list_of(*key, row.data)
        listed = None if opened is None else self._state.listed(opened.list_id)
        if opened is None or listed is None or not opened.takes_direct(now):
            return None
        if self._state.is_due_elsewhere(row.data, key, opened.list_id):
            return None
        write = self._rows.planned(self._owned, listed, QueuedPerson(key, live=True, since=now), row.data)
        if write.state is None or write.route is None or write.has_claims:
            return None
        desired = write.state.desired
        return (opened, write, desired.authorization) if is_plain_import(write.held, desired, write.route) else None

    async def _has_room(self, opened: OpenList) -> bool:
        """Wait until the list takes another call; False: not in time."""
        while self._answers.unwritten() > MAX_UNWRITTEN and self._in_time(opened):
            await self._wait(())
        acquired = asyncio.ensure_future(opened.direct.room.acquire())
        try:
            while not acquired.done() and self._in_time(opened):
                await self._wait({acquired})
        except BaseException:
            if not acquired.cancel():
                opened.direct.room.release()
            raise
        return acquired.done() or not acquired.cancel()

    def _in_time(self, opened: OpenList) -> bool:
        now = self._clock()
        return now < self._until and opened.direct.is_open(now)

    async def _begin(self, group: _Group) -> None:
        opened, route = group.opened, group.writes[0].route
        listed = self._state.listed(opened.list_id)
        if listed is None or route is None:
            opened.direct.room.release()
            self.unsent.rows += group.rows.values()
            return
        await self._noted_or_released(opened)
        self._put(opened, DirectCall(listed, authorization_of(group.writes), route, group.writes), group.rows)

    async def _noted_or_released(self, opened: OpenList) -> None:
        try:
            if opened.list_id not in self._noted:
                await self._answers.settled()  # a partition's rows are written one after the other
                await self._note(opened.list_id)  # 1
        except BaseException:
            opened.direct.room.release()
            raise

    def _put(
        self,
        opened: OpenList,
        call: DirectCall,
        rows: dict[bytes, TableRow[MembershipRow]],
        blobs: dict[bytes, bytes] | None = None,
    ) -> None:
        self._answers.open.append(OpenCall(opened, call, rows, self._clock() + ANSWER_SECONDS, blobs or {}))
        opened.direct.put(call)
        opened.wake.set()  # 2

    async def _note(self, list_id: str) -> None:
        table, owned, source = self._calls.runtime.rows, self._owned, self._batch.source.topic_id
        before = owned.sent.get(list_id)
        upto = self._batch.last
        if before is not None and before.source == source:
            upto = max(upto, before.upto)
        owned.sent[list_id] = owned.checkpoint.sent[list_id] = SentRange(source, upto)
        row = (await table.read(owned.number, [CHECKPOINT_KEY]))[CHECKPOINT_KEY]
        write_checkpoint(row.data, owned.checkpoint)
        await table.write_rows(owned.number, owned.generation, [row])
        self._noted.add(list_id)
        after_note()

    async def _wait(self, more: "Collection[asyncio.Future[Any]]", until: float = float("inf")) -> None:
        """Wait a while for an answer, for what is being written, or for something more."""
        timeout = min(ROOM_SECONDS, max(0.0, until - self._clock()))
        waiting = {*more, *self._answers.settle_beside()}
        await asyncio.wait(waiting, timeout=timeout, return_when=asyncio.FIRST_COMPLETED)
