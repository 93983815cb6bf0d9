"""Sends a row to the person's new address, as the owner of its partition, once no call of ours can change the old one.

    receipts for what was still to be sent, then the row to the new address, both acknowledged; then what is left

A crash in between repeats it: the new address's owner knows what it has received.
"""

from schemas.audience_delivery import Outcome
from schemas.envelope import EpochMillis
from schemas.membership_command import MembershipCommand, ReceiveTransfer, command_bytes
from streams.batches import Output
from streams.batches import Row as TableRow
from streams.export.recovery.receipts import PendingReceipt
from streams.export.rules.claims import end_claims
from streams.export.rules.orders import copy_of_held, mark_answered, note_unknown
from streams.export.rules.outstanding import left_over, settle
from streams.export.rules.row import MembershipRow, encode
from streams.export.rules.settlement import Receipt, pending_answers
from streams.export.rules.transfers import AddressChange, has_earlier_holder, leaver, next_to_leave, transfer_out
from streams.export.sending.partition_rows import PartitionRows
from streams.export.state import ExportState, OwnedPartition
from streams.export.table import ExportRuntime

RETRY_MS = 20
EARLIER_SECONDS = 15.0
"""By so much the record of an earlier change of address may come, in another partition, after that of a later one."""


def late_calls_over_at(row: MembershipRow) -> EpochMillis:
    """Return when no call without an answer can be applied any more to what the lists hold for the row; 0: now."""
    return max((held.late.over_at for held in row.lists.values() if held.late is not None), default=0)


class RowTransfers:
    """Transfers rows, one at a time for each."""

    def __init__(self, state: ExportState, runtime: ExportRuntime, rows: PartitionRows) -> None:
        self._state = state
        self._table = runtime.rows
        self._publisher = runtime.publisher
        self._commands_topic = runtime.names["cm_membership-commands"]
        self._clocks = runtime.clocks
        self._rows = rows
        self._waiting: dict[tuple[int, bytes, AddressChange], float] = {}

    async def transfer(self, owned: OwnedPartition, key: bytes) -> EpochMillis:
        """Transfer the next who leaves. Returns after how many milliseconds to try again; 0: done, or nobody leaves.

        Runs as the partition's owner. Raises what reading, publishing and writing raise (`BatchError`).
        """
        await self._rows.resync(owned)
        row = (await self._table.read(owned.number, [key]))[key]
        # Nothing is awaited between this and the note below: a request that was made before would not be noted.
        if any(opened.queue.has_request((owned.number, key)) for opened in self._state.open.values()):
            return RETRY_MS  # picked while this waited for the partition and the row
        move = next_to_leave(row.data)
        if move is None:
            return 0
        if has_earlier_holder(row.data, move[1]):
            first = self._waiting.setdefault((owned.number, key, move), self._clocks.monotonic())
            if self._clocks.monotonic() < first + EARLIER_SECONDS:
                return RETRY_MS * 10
        self._waiting.pop((owned.number, key, move), None)
        unknown = self._note_unknown_calls(owned, key, row.data)
        over_at, now = late_calls_over_at(row.data), self._clocks.wall()
        if over_at > now:
            if unknown:
                await self._table.write_rows(owned.number, owned.generation, [row])
            return over_at - now + 1
        await self._move(owned, row, move)
        if row.data.due:
            self._state.touch(owned.number, key, row.data, self._clocks.monotonic())
        return 1 if row.data.leaving else 0

    async def _move(self, owned: OwnedPartition, row: TableRow[MembershipRow], move: AddressChange) -> None:
        (to, at), key, now = move, row.key.decode(), self._clocks.wall()
        await self._rows.publish_receipts(owned, self._superseded(row.key, row.data, to, at), now)
        command = ReceiveTransfer(key, at, encode(transfer_out(row.data, key)))
        claims = [self._command(message.key, message.command) for message in end_claims(row.data, key, now, to)]
        await self._publisher.publish_all([*claims, self._command(to, command)])
        await self._table.write_rows(owned.number, owned.generation, [row])
        owned.receipts.unwritten.clear()

    def _command(self, key: str, command: MembershipCommand) -> Output:
        return Output(self._commands_topic, key.encode(), command_bytes(command))

    def _superseded(self, key: bytes, row: MembershipRow, to: str, at: EpochMillis) -> list[PendingReceipt]:
        """Return receipts of what was still to be sent, and record in the row, and with them, that they are given."""
        leaving, pending = leaver(row, at), []
        for listed in self._state.exports.lists.values():
            for answer in pending_answers(leaving, listed):
                mark_answered(row, listed.list_id, answer.job_id, answer.position)
                receipt = Receipt(
                    answer.job_id,
                    listed.list_id,
                    answer.position,
                    Outcome.SUPERSEDED,
                    answer.appended,
                    message=f"now {to}",
                )
                pending.append(PendingReceipt(key, receipt, row.source, copy_of_held(row.lists[listed.list_id])))
        given = [answered.receipt for answered in pending]
        settle(row, given)
        for receipt in left_over(leaving, given, Outcome.SUPERSEDED, f"now {to}"):
            mark_answered(row, receipt.list_id, receipt.job_id, receipt.position)  # a stopped job may run again
            pending.append(PendingReceipt(key, receipt, row.source, copy_of_held(row.lists[receipt.list_id])))
        return pending

    def _note_unknown_calls(self, owned: OwnedPartition, key: bytes, row: MembershipRow) -> bool:
        """Record, in place, calls whose outcome only a queue knows to be unknown. The person waits in none any more."""
        noted = False
        for opened in self._state.open.values():
            person = owned.number, key
            if opened.queue.has_unknown_outcome(person) and not opened.queue.has_request(person):
                noted |= note_unknown(row, opened.list_id, self._rows.late_until())
                opened.queue.drop(person)
        return noted
