"""`cm_membership-commands` and `cm_activity` -> the Memberships table: what else changes a row than its own events."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NamedTuple

import structlog

from schemas.audience_delivery import Outcome
from schemas.cm_activity import CmActivity
from schemas.identity import normalise_email
from schemas.membership_command import (
    AnswerClaim,
    ClaimAddress,
    Erase,
    MembershipCommand,
    Readdress,
    ReceiveTransfer,
    Renamed,
    Resend,
    read_command,
)
from streams.batches import Batch, Output
from streams.batches import Row as TableRow
from streams.export.intake.agent import IntakeContext
from streams.export.intake.decode import not_ahead
from streams.export.recovery.receipts import PendingReceipt
from streams.export.rules.arrivals import receipts_of_arrived
from streams.export.rules.claims import Exchanged, end_claims, receive_answer, receive_claim
from streams.export.rules.desired import address_of
from streams.export.rules.immediate import receipts_of_superseded
from streams.export.rules.membership import SupersededChange
from streams.export.rules.orders import mark_for_resend, renamed
from streams.export.rules.outstanding import left_over, settle
from streams.export.rules.own_addresses import claimants_of, forget_refused, readdress, reported_by
from streams.export.rules.reported import Drift, record_activity
from streams.export.rules.row import MembershipRow, decode
from streams.export.rules.settlement import Receipt, pending_answers
from streams.export.rules.transfers import erase, onward, receive_transfer

log = structlog.get_logger(__name__)

ChangeMembership = Callable[[MembershipRow], bool]
"""Changes a row; False leaves it as it was."""

RETRY_SECONDS = 0.05
"""An erasure is published again so much later while a request still includes the person."""


class RowChange(NamedTuple):
    """A change that a record asks for."""

    key: bytes
    offset: int
    change: ChangeMembership


@dataclass(slots=True)
class ChangeEffects:
    """What changes come to, beside the rows."""

    outputs: list[Output] = field(default_factory=list)
    receipts: list[PendingReceipt] = field(default_factory=list)
    retried: bool = False
    """A command was published again, to be carried out later."""


class RowChanges:
    """Two agents on one table: both decode, change rows, write them, and wake the senders."""

    def __init__(self, context: IntakeContext) -> None:
        self._context = context
        self._state = context.state
        self._table = context.table
        self._rows = context.rows
        self._clocks = context.runtime.clocks

    async def commands(self, batch: Batch) -> None:
        """Carry out commands."""
        changes: list[RowChange] = []
        effects = ChangeEffects()
        for record in batch.records:
            key = record.key or b""
            if not batch.holds(key):
                batch.move(record, key)
                continue
            try:
                key.decode()
                change = self._change_of(batch.partition, key, read_command(record.value), effects)
            except ValueError as fault:
                batch.refuse(record, str(fault), stage="schema")
                continue
            changes.append(RowChange(key, record.offset, change))
        await self._apply(batch, changes, effects)

    async def activity(self, batch: Batch) -> None:
        """Compare what webhooks report with what the list was recorded to hold. Everything else is ignored.

        What belongs into another partition is published again there by the profile aggregator, whose input this is.
        """
        changes: list[RowChange] = []
        effects = ChangeEffects()
        for record in batch.records:
            if b'"webhook"' not in (record.value or b""):
                continue
            try:
                activity = not_ahead(CmActivity.from_bytes(record.value or b""), record.timestamp)
            except (ValueError, OverflowError):  # of the contract, or of the record's timestamp
                continue  # the profile aggregator, whose input this is, keeps it as a dead letter
            email = normalise_email(activity.email)
            if email is None or activity.source != "webhook" or activity.list_id is None:
                continue
            key = email.encode()
            if batch.holds(key):
                changes.append(RowChange(key, record.offset, self._compared(activity)))
                if (moved := reported_by(activity, email)) is not None and self._state.listed(moved.list_id):
                    effects.outputs.append(self._context.command(moved.former, moved))
        await self._apply(batch, changes, effects)

    def _change_of(
        self, partition: int, key: bytes, command: MembershipCommand, effects: ChangeEffects
    ) -> ChangeMembership:
        """Return what a command does to its row. Raises ValueError for a transferred row that cannot be read."""
        match command:
            case Erase():
                return self._erased(partition, key, command, effects)
            case ReceiveTransfer(former=former, at=at, transferred_row=transferred_row):
                try:
                    transferred = decode(transferred_row)
                except Exception as fault:
                    raise ValueError(f"no command: {fault!r}") from None

                def receive(row: MembershipRow) -> bool:
                    if (move := onward(row, at)) is not None:
                        further = ReceiveTransfer(former, move[1], transferred_row)
                        effects.outputs.append(self._context.command(move[0], further))
                        return False
                    received = receive_transfer(row, key.decode(), former, at, transferred)
                    for superseded in received.superseded:
                        effects.receipts += self._superseded(partition, key, row, superseded)
                    effects.receipts += self._arrived(partition, key, row)
                    for list_id, address, lent in received.unneeded:
                        effects.outputs.append(self._context.command(address, Renamed(list_id, lent)))
                    return True

                return receive
            case Renamed(list_id=list_id, lent=lent):

                def end(row: MembershipRow) -> bool:
                    renamed(row, key.decode(), list_id, lent)
                    return True

                return end
            case Resend(list_id=list_id, missing=missing):
                return lambda row: mark_for_resend(row, list_id, missing)
            case Readdress():
                return lambda row: self._readdressed(row, key.decode(), command, effects)
            case ClaimAddress():
                return lambda row: self._answered(receive_claim(row, key.decode(), command), effects)
            case AnswerClaim():

                def answer(row: MembershipRow) -> bool:
                    result = receive_answer(row, key.decode(), command)
                    if result.changed:
                        forget_refused(row, command)
                    return self._answered(result, effects)

                return answer
            case _:
                raise ValueError("do: leave is a record of audience-membership")

    def _answered(self, result: Exchanged, effects: ChangeEffects) -> bool:
        effects.outputs += [self._context.command(message.key, message.command) for message in result.messages]
        return result.changed

    def _arrived(self, partition: int, key: bytes, row: MembershipRow) -> list[PendingReceipt]:
        owned, source = self._state.partition(partition), row.source
        receipts = receipts_of_arrived(
            row,
            self._state.exports,
            self._state.has_request(partition, key),
            lambda job_id, position: owned.already_sent(source, job_id, position),
        )
        return [PendingReceipt(key, receipt, source, None) for receipt in receipts]

    def _readdressed(self, row: MembershipRow, key: str, command: Readdress, effects: ChangeEffects) -> bool:
        listed = self._state.listed(command.list_id)
        views = listed.jobs if listed is not None else ()
        if readdress(row, key, command, [address_of(row, key, view)[0] for view in views]):
            log.info("subscriber changed their address at the list", list_id=command.list_id)
            return True
        claimants = claimants_of(row, key, command)
        effects.outputs += [self._context.command(claimant, command) for claimant in claimants]
        return False

    def _superseded(
        self, partition: int, key: bytes, row: MembershipRow, change: SupersededChange
    ) -> list[PendingReceipt]:
        owned, source = self._state.partition(partition), row.source
        receipts = receipts_of_superseded(
            row,
            change,
            self._state.exports,
            self._state.has_request(partition, key),
            lambda job_id, position: owned.already_sent(source, job_id, position),
        )
        settle(row, receipts.values())
        return [PendingReceipt(key, receipt, source, None) for receipt in receipts.values()]

    def _erased(self, partition: int, key: bytes, command: Erase, effects: ChangeEffects) -> ChangeMembership:
        """Forget a person, once no request includes them: its answer would be recorded in the row."""

        def change(row: MembershipRow) -> bool:
            has_request = self._state.has_request(partition, key)
            lists = self._state.exports.lists
            if any(map(has_request, lists)):
                effects.outputs.append(self._context.command(key.decode(), command))
                effects.retried = True
                return False
            source = row.source
            receipts = [
                Receipt(
                    answer.job_id,
                    listed.list_id,
                    answer.position,
                    Outcome.SUPERSEDED,
                    answer.appended,
                    message="erased",
                )
                for listed in lists.values()
                for answer in pending_answers(row, listed)
            ]
            receipts += left_over(row, receipts, Outcome.SUPERSEDED, "erased")
            effects.receipts += [PendingReceipt(key, receipt, source, None) for receipt in receipts]
            ended = end_claims(row, key.decode(), self._clocks.wall())
            claimants = row.claimants
            effects.outputs += [self._context.command(other, command) for other in erase(row, command.at)]
            effects.outputs += [self._context.command(message.key, message.command) for message in ended]
            row.claimants, row.due = claimants, bool(claimants)  # those of other people
            return True

        return change

    def _compared(self, activity: CmActivity) -> ChangeMembership:
        def change(row: MembershipRow) -> bool:
            listed = self._state.listed(activity.list_id or "")
            if listed is None:
                return False
            fields = {view.job.custom_field_name for view in listed.jobs}
            drift = record_activity(row, activity, fields, self._state.names.option_of)
            if drift is Drift.NONE:
                return False
            if drift is Drift.CHANGED:
                log.info("subscriber changed at the list", list_id=activity.list_id)
            return True

        return change

    async def _apply(self, batch: Batch, changes: list[RowChange], effects: ChangeEffects) -> None:
        if not changes:
            return
        owned = self._state.partition(batch.partition)
        await self._rows.resync(owned)
        rows = await self._table.read(batch.partition, [change.key for change in changes])
        written: dict[bytes, TableRow[MembershipRow]] = {}
        for key, offset, change in changes:
            row = rows[key]
            if offset > row.position(batch.source) and change(row.data):
                written[key] = row
        if effects.retried:
            await asyncio.sleep(RETRY_SECONDS)
        if effects.receipts:
            folded_from = (batch.topic, batch.last)
            await self._rows.publish_receipts(owned, effects.receipts, self._clocks.wall(), folded_from)
        await self._table.write(batch, list(written.values()), effects.outputs)
        owned.receipts.unwritten.clear()
        owned.receipts.folded(batch.topic, batch.last)
        for row in written.values():
            if row.data.due or row.data.leaving:
                self._state.touch(batch.partition, row.key, row.data, self._clocks.monotonic())
