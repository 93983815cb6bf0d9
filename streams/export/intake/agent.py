"""`audience-membership` -> the Memberships table: a script of effects, in the order that makes a crash harmless.

    1 names of audiences are published before rows that use them
    2 receipts that need no call are acknowledged, and the rows of former addresses are requested
    3 what cannot be used is kept as a dead letter, and what another partition's person did is published again there
      (by the table's write, before anything else of it)
    4 the rows are in the changelog, then in the store
    5 the senders wake up; nobody waits for Campaign Monitor, and the range may be committed

A crash anywhere before 4 replays the records: names and dead letters may come twice, receipts do not (they are read
back at takeover), and rows are not there yet.
"""

import asyncio
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice

from schemas.audience_delivery import Outcome
from schemas.membership_command import LEAVE, BeginTransfer, MembershipCommand, ReceiveTransfer, command_bytes
from streams.batches import Batch, BatchTable, Output
from streams.batches import Row as TableRow
from streams.export.intake.reading import ReadEvent, ReadPeople, read_people
from streams.export.lists.shared_state import SharedState
from streams.export.recovery.receipts import PendingReceipt
from streams.export.rules.arrivals import note_snapshot
from streams.export.rules.due import mark_changed
from streams.export.rules.immediate import immediate_receipts
from streams.export.rules.membership import MembershipEvent, RowTooLargeError, fold
from streams.export.rules.outstanding import record_outstanding, reset_positions
from streams.export.rules.row import MembershipRow, encode
from streams.export.rules.row import decode as decode_row
from streams.export.rules.settlement import Receipt
from streams.export.rules.tenures import begin_tenure, fold_tenure
from streams.export.rules.transfers import await_transfer, begin_transfer, late_event, redirected_to
from streams.export.sending.direct_calls import MIN_PEOPLE, DirectBatch, DirectCalls
from streams.export.sending.flat_calls import StoredMembership
from streams.export.sending.partition_rows import PartitionRows
from streams.export.sending.queue import IMPORT_LIMIT
from streams.export.state import ExportState, OwnedPartition
from streams.export.table import ExportRuntime


@dataclass(frozen=True, slots=True)
class IntakeContext:
    """What the agents on the Memberships table share."""

    state: ExportState
    runtime: ExportRuntime
    table: BatchTable[MembershipRow]
    shared: SharedState
    rows: PartitionRows

    def command(self, email: str, command: MembershipCommand) -> Output:
        """Return the record of a command to the owner of an address."""
        return Output(self.runtime.names["cm_membership-commands"], email.encode(), command_bytes(command))


@dataclass(slots=True)
class FoldEffects:
    """What folding a batch comes to, beside the rows."""

    receipts: list[PendingReceipt] = field(default_factory=list)
    transfers: list[Output] = field(default_factory=list)


class AudienceAgent:
    """Folds membership records into rows."""

    def __init__(
        self,
        context: IntakeContext,
        *,
        max_row_bytes: int,
        import_size: int = IMPORT_LIMIT,
        min_people: int = MIN_PEOPLE,
    ) -> None:
        """`min_people`: fewer of a part are not sent before their rows are written."""
        self._context = context
        self._state = context.state
        self._publisher = context.runtime.publisher
        self._clocks = context.runtime.clocks
        self._table = context.table
        self._rows = context.rows
        self._max_row_bytes = max_row_bytes
        self._import_size = import_size
        self._direct = DirectCalls(
            context.state, context.runtime, context.table, context.rows, max_row_bytes, min_people
        )
        self._topic = context.runtime.names["audience-membership"]

    async def __call__(self, batch: Batch) -> None:
        """Work through one batch of one partition."""
        owned = self._state.partition(batch.partition)
        await self._rows.resync(owned)
        people = read_people(batch, self._state.names, self._direct.min_people)
        await self._context.shared.learn_names(people.names())  # 1
        direct = self._direct.begin(owned, batch)
        try:
            for part in _parts(people, self._import_size):
                await self._send_part(batch, owned, people, part, direct)
            await direct.finish()
            await self._fold_returned(batch, owned, people, direct)
        except asyncio.CancelledError:
            await direct.cancel()
            raise
        except BaseException:
            await direct.abandon()
            raise
        unsent = direct.unsent
        await self._table.write(batch, unsent.rows)  # 3, 4
        owned.receipts.unwritten.clear()
        owned.receipts.folded(batch.topic, batch.last)
        for row in unsent.rows:
            if row.data.due and row.key not in unsent.in_queue:
                unknown = row.key in unsent.unknown
                self._state.touch(
                    batch.partition, row.key, row.data, self._clocks.monotonic(), outcome_unknown=unknown
                )  # 5

    async def _send_part(
        self,
        batch: Batch,
        owned: OwnedPartition,
        people: ReadPeople,
        part: Sequence[bytes],
        direct: DirectBatch,
    ) -> None:
        """Begin the calls that need nothing else, and fold the events of all others; their rows are kept for later."""
        stored = zip(part, self._table.read_blobs(batch.partition, part), strict=True)
        others = await direct.send_flat(list(stored), people)
        folded, was_due = await self._fold_all(batch, owned, people, others, direct)
        await direct.send(folded, was_due)
        await self._fold_returned(batch, owned, people, direct)

    async def _fold_returned(
        self, batch: Batch, owned: OwnedPartition, people: ReadPeople, direct: DirectBatch
    ) -> None:
        """Fold the events of people whose call did not end as usual."""
        while direct.returned:
            returned = direct.returned[0]
            folded, _ = await self._fold_all(batch, owned, people, returned.rows, direct)
            direct.returned.pop(0)
            direct.keep_returned(folded, returned)

    async def _fold_all(
        self,
        batch: Batch,
        owned: OwnedPartition,
        people: ReadPeople,
        stored: Sequence[StoredMembership],
        direct: DirectBatch,
    ) -> tuple[list[TableRow[MembershipRow]], set[bytes]]:
        """Fold the events of some rows; returns those that changed, and the keys of those that were due before."""
        effects = FoldEffects()
        folded: list[TableRow[MembershipRow]] = []
        was_due: set[bytes] = set()
        for key, blob in stored:
            known = self._table.decoded(batch.partition, key, blob)
            if known.data.due:
                was_due.add(key)
            reads = people.reads(key)
            row = self._fold(batch, owned, known, reads, effects)
            if row is not None:
                position = row.position(batch.source)
                direct.note_repeated(row, next(r.record.offset for r in reads if r.record.offset > position))
                folded.append(row)
        folded_from = (batch.topic, batch.last)
        await self._rows.publish_receipts(owned, effects.receipts, self._clocks.wall(), folded_from)  # 2
        if effects.transfers:
            await self._publisher.publish_all(effects.transfers)
        return folded, was_due

    def _fold(
        self,
        batch: Batch,
        owned: OwnedPartition,
        row: TableRow[MembershipRow],
        reads: Sequence[ReadEvent],
        effects: FoldEffects,
    ) -> TableRow[MembershipRow] | None:
        """Fold a person's events, in place; None when all of them were folded before (a replay)."""
        position = row.position(batch.source)
        fresh = [read for read in reads if read.record.offset > position]
        if not fresh:
            return None
        reset_positions(row.data, batch.source.topic_id)
        was_due, settled = row.data.due, row.data.settled
        near_limit = row.size + sum(read.size for read in fresh) > self._max_row_bytes // 2
        for read in fresh:
            event = read.event
            if event.leaves_to is not None:
                begin_transfer(row.data, event.leaves_to, event.at)
                continue
            if event.previous is not None:
                self._begin_arrival(row.data, event, effects)
            if (move := redirected_to(row.data, event)) is not None:
                to, at = move
                transfer = ReceiveTransfer(row.key.decode(), at, encode(late_event(event)))
                effects.transfers.append(self._context.command(to, transfer))
                receipts = self._receipts_of_redirected(event, to)
                effects.receipts += [PendingReceipt(row.key, receipt, row.data.source, None) for receipt in receipts]
                continue
            before = encode(row.data) if near_limit else b""
            try:
                receipts = self._apply(owned, row, event)
                if near_limit and len(encode(row.data)) > self._max_row_bytes:
                    row.data = decode_row(before)
                    raise RowTooLargeError(f"the person's row would exceed {self._max_row_bytes} bytes")
            except RowTooLargeError as fault:
                batch.refuse(read.record, str(fault), stage="fold")
                continue
            effects.receipts += [PendingReceipt(row.key, receipt, row.data.source, None) for receipt in receipts]
        mark_changed(row.data, self._state.stopped_lists(row.data), was_due=was_due, settled=settled)
        return row

    def _begin_arrival(self, row: MembershipRow, event: MembershipEvent, effects: FoldEffects) -> None:
        """Ask the owner of a person's former address for its row; who moved on since then is followed by it."""
        former = event.previous or ""
        if redirected_to(row, event) is None:
            begin_tenure(row, event.at)
            if not await_transfer(row, former, event.at):
                return
        begin = command_bytes(BeginTransfer(event.email, event.at))
        effects.transfers.append(Output(self._topic, former.encode(), begin, [(LEAVE, b"")]))

    def _receipts_of_redirected(self, event: MembershipEvent, to: str) -> list[Receipt]:
        """Return receipts of a late event about somebody whose row is under another address now."""
        named = [change.audience for change in event.changes] or sorted(event.snapshot or ())
        jobs = {view.id: view for audience in named for view in self._state.exports.of(audience)}
        return [
            Receipt(view.id, view.job.list_id, event.position, Outcome.SUPERSEDED, event.appended, message=f"now {to}")
            for view in jobs.values()
        ]

    def _apply(self, owned: OwnedPartition, row: TableRow[MembershipRow], event: MembershipEvent) -> list[Receipt]:
        source, exports, result = row.data.source, self._state.exports, fold(row.data, event)
        fold_tenure(row.data, event)
        note_snapshot(row.data, event)

        def already_sent(job_id: str, position: int) -> bool:
            return owned.already_sent(source, job_id, position)

        has_request = self._state.has_request(owned.number, row.key)
        receipts = immediate_receipts(row.data, event, result, exports, has_request, already_sent)
        record_outstanding(row.data, event, result, exports, receipts, already_sent)
        return receipts


def _parts(keys: Iterable[bytes], size: int) -> Iterator[list[bytes]]:
    """Cut keys into lists of a size."""
    left = iter(keys)
    while part := list(islice(left, size)):
        yield part
