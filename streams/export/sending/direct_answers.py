"""What the answers of direct calls mean for a batch's rows; see `direct_calls.py`."""

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from streams.batches import Batch
from streams.batches import Row as TableRow
from streams.export.recovery.receipts import PendingReceipt
from streams.export.rules.due import mark_due
from streams.export.rules.row import MembershipRow
from streams.export.sending.claims import is_held
from streams.export.sending.direct_queue import NOT_MADE, DirectAnswer, DirectCall, FlatRequest
from streams.export.sending.flat_calls import Returned, receipts_of, stored_of, written_rows
from streams.export.sending.outcomes import outcome_of
from streams.export.sending.partition_rows import PartitionRows
from streams.export.sending.plan import PlannedWrite
from streams.export.sending.queue import QueuedPerson
from streams.export.state import ExportState, OpenList, OwnedPartition
from streams.export.table import Clocks, WritesBatch


@dataclass(slots=True)
class OpenCall:
    """A call, its rows, and until when the batch waits for its answer."""

    opened: OpenList
    call: DirectCall
    rows: dict[bytes, TableRow[MembershipRow]]
    until: float
    blobs: dict[bytes, bytes] = field(default_factory=dict)
    """Of a flat call, instead: the rows of those who have one."""


@dataclass(slots=True)
class UnsentRows:
    """Rows that are to be written as due."""

    rows: list[TableRow[MembershipRow]] = field(default_factory=list)
    in_queue: set[bytes] = field(default_factory=set)
    """Keys of people who are in a request, or wait in the queue, already."""
    unknown: set[bytes] = field(default_factory=set)
    """Keys of people with a call whose outcome is not known."""


class DirectAnswers:
    """Writes what was answered, inside the owner's task, and keeps what is to be written at the end of the batch."""

    def __init__(
        self,
        owned: OwnedPartition,
        batch: Batch,
        state: ExportState,
        clocks: Clocks,
        table: WritesBatch,
        rows: PartitionRows,
    ) -> None:
        self._owned = owned
        self._batch = batch
        self._state = state
        self._clock = clocks.monotonic
        self._table = table
        self._rows = rows
        self._settling: asyncio.Task[None] | None = None
        self.open: list[OpenCall] = []
        """Calls that are not answered, or not written."""
        self.unsent = UnsentRows()
        self.returned: list[Returned] = []
        """What the owner is to fold, and to give to `keep_returned`."""

    def keep_returned(self, folded: Iterable[TableRow[MembershipRow]], returned: Returned) -> None:
        """Keep rows that were folded after all; their people are due, or wait for the call that includes them."""
        rows, call = list(folded), returned.under_way
        self.unsent.rows += rows
        keys = [row.key for row in rows]
        if returned.outcome_unknown:
            self.unsent.unknown.update(keys)
        if call is None:
            return
        writes: list[PlannedWrite] = []
        for row in rows:
            person = QueuedPerson((self._batch.partition, row.key), live=True, since=self._clock())
            write = self._rows.planned(self._owned, call.listed, person, row.data)
            if write.state is not None:
                writes.append(write)
                returned.opened.queue.adopt(person)
        call.writes = writes
        self.unsent.in_queue.update(write.person.key[1] for write in writes)
        call.handed_over.set_result(None)

    def unanswered(self) -> list[OpenCall]:
        """Return the calls that have no answer yet."""
        return [sent for sent in self.open if not sent.call.answer.done()]

    def unwritten(self) -> int:
        """Return how many calls are answered and not written."""
        return len(self.open) - len(self.unanswered())

    def settle_beside(self) -> "list[asyncio.Future[Any]]":
        """Write what is answered, one call after the other, in a task of its own: calls are planned and made meanwhile.

        Returns what can be waited for. Raises what the last such task raised.
        """
        if self._settling is not None and self._settling.done():
            settling, self._settling = self._settling, None
            settling.result()
        if self._settling is None and self.unwritten():
            self._settling = asyncio.create_task(self._settle_answered())
        waiting: list[asyncio.Future[Any]] = [sent.call.answer for sent in self.unanswered()]
        return waiting if self._settling is None else [*waiting, self._settling]

    async def settled(self) -> None:
        """Wait until nothing is being written. Raises what that raises."""
        if self._settling is not None:
            await self._settling
            self._settling = None

    async def end(self, *, cancel: bool) -> None:
        """Wait until nothing is being written, whatever comes of it. `cancel`: at once."""
        if self._settling is not None:
            if cancel:
                self._settling.cancel()
            await asyncio.gather(self._settling, return_exceptions=True)

    async def _settle_answered(self) -> None:
        while sent := next((sent for sent in self.open if sent.call.answer.done()), None):
            answer = sent.call.answer.result()
            if sent.call.flat is not None:
                await self.settle_flat(sent, sent.call.flat, answer)
            else:
                await self.settle(sent, answer)
            self.open.remove(sent)

    async def settle(self, sent: OpenCall, answer: DirectAnswer) -> None:
        """Write what an answer means: receipts, then rows. The others of the call are written at the end, as due."""
        list_id, more_people = sent.opened.list_id, 0
        written: list[TableRow[MembershipRow]] = []
        pending: list[PendingReceipt] = []
        for result in answer.accepted:
            row, state = sent.rows.pop(result.write.person.key[1]), result.write.state
            assert state is not None  # noqa: S101 - see `_planned`
            outcome = outcome_of(state, result)
            before = is_held(row.data, list_id)
            receipts = self._rows.apply(self._owned, list_id, row, outcome, answer.at)
            if sent.call.changed:
                mark_due(row.data)
            more_people += is_held(row.data, list_id) - before
            pending += [PendingReceipt(row.key, receipt, row.data.source, None) for receipt in receipts]
            written.append(row)
        batch = self._batch
        ids = await self._rows.publish_receipts(self._owned, pending, answer.at, (batch.topic, batch.last))  # 3
        await self._table.write(self._batch, written)  # 4
        self._owned.receipts.unwritten.difference_update(ids)
        self._owned.receipts.people[list_id] += more_people
        if sent.call.changed:
            for row in written:
                self._state.touch(self._batch.partition, row.key, row.data, self._clock())
        self._keep_unsent(sent, in_queue=answer is not NOT_MADE, unknown=sent.call.begun and answer is NOT_MADE)

    async def settle_flat(self, sent: OpenCall, flat: FlatRequest, answer: DirectAnswer) -> None:
        """The same for people of the common kind: nothing of them was folded, all of it is in the bytes."""
        owned, batch, opened = self._owned, self._batch, sent.opened
        made = answer is not NOT_MADE
        refused = answer.flat.refused if made else {person.key for person in flat.people}
        accepted = [person for person in flat.people if person.key not in refused] if refused else flat.people
        receipts = receipts_of(owned.context, flat.plan, accepted, answer.flat, batch.source.topic_id, answer.at)
        await self._rows.publish_encoded(owned, receipts)  # 3
        rows = written_rows(accepted, sent.blobs, batch.source, batch.last)
        await self._table.write_blobs(batch.partition, batch.generation, rows, batch)  # 4
        owned.receipts.unwritten.difference_update(event_id for event_id, _ in receipts)
        owned.receipts.people[opened.list_id] += sum(not person.had for person in accepted)
        if sent.call.changed:
            for person in accepted:
                opened.touch(batch.partition, person.key, self._clock())
        if refused:
            others = stored_of((person for person in flat.people if person.key in refused), sent.blobs)
            unknown = answer.flat.outcome_unknown if made else sent.call.begun
            self.returned.append(Returned(others, unknown, None, opened))

    def hand_over(self, sent: OpenCall) -> None:
        """An answer took too long: everybody in the call is the queue's from here on."""
        self.open.remove(sent)
        sent.opened.direct.close(self._clock())
        under_way = sent.call.give_up()
        if sent.call.flat is not None:
            rows, call = stored_of(sent.call.flat.people, sent.blobs), sent.call if under_way else None
            self.returned.append(Returned(rows, outcome_unknown=False, under_way=call, opened=sent.opened))
            return
        if under_way:
            for write in sent.call.writes:
                sent.opened.queue.adopt(write.person)
        self._keep_unsent(sent, in_queue=under_way, unknown=False)

    def _keep_unsent(self, sent: OpenCall, *, in_queue: bool, unknown: bool) -> None:
        self.unsent.rows += sent.rows.values()
        if in_queue:
            self.unsent.in_queue |= sent.rows.keys()
        if unknown:
            self.unsent.unknown |= sent.rows.keys()
