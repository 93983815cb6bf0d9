"""`cm_membership-commands` and `cm_activity` -> the Memberships table: what else changes a row than its own events."""

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass, field

import structlog
from pydantic import ValidationError

from schemas.audience_delivery import Outcome
from schemas.cm_activity import CmActivity
from schemas.identity import normalise_email
from streams.batches import Batch, BatchTable, Output
from streams.batches import Row as TableRow
from streams.delivery import commands
from streams.delivery.commands import Erase
from streams.delivery.delivery import Delivery
from streams.delivery.shared import Shared
from streams.domain.echo import Drift, seen_at_the_list
from streams.domain.erasing import erase
from streams.domain.moving import arrived, leave
from streams.domain.rows import Row
from streams.domain.settlement import Receipt, answers_owed, forget

log = structlog.get_logger(__name__)

Change = Callable[[Row], bool]
"""Changes a row; False leaves it as it was."""

AGAIN_SECONDS = 0.05
"""An erasure comes round so much later while a request still carries the person."""


@dataclass(slots=True)
class Effects:
    """What changes come to, beside the rows."""

    outputs: list[Output] = field(default_factory=list)
    receipts: list[tuple[bytes, Receipt, int, None]] = field(default_factory=list)
    again: bool = False


class RowChanges:
    """Two agents on one table: both decode, change rows, write them, and wake the senders."""

    def __init__(
        self,
        table: BatchTable[Row],
        delivery: Delivery,
        shared: Shared,
        *,
        commands_topic: str = "cm_membership-commands",
        wall: Callable[[], int] = lambda: int(time.time() * 1000),
    ) -> None:
        self._table = table
        self._delivery = delivery
        self._shared = shared
        self._topic = commands_topic
        self._wall = wall

    async def commands(self, batch: Batch) -> None:
        """Carry out commands."""
        changes: list[tuple[bytes, int, Change]] = []
        effects = Effects()
        for record in batch.records:
            key = record.key or b""
            try:
                command = commands.read(record.value)
            except ValueError as fault:
                batch.refuse(record, str(fault), stage="schema")
                continue
            if isinstance(command, Erase):
                change = self._erased(batch.partition, key, command, effects)
            else:
                change = _carried_out(command)
            changes.append((key, record.offset, change))
        await self._apply(batch, changes, effects)

    async def activity(self, batch: Batch) -> None:
        """Compare what webhooks tell with what the list was thought to hold. Everything else is none of ours."""
        changes: list[tuple[bytes, int, Change]] = []
        for record in batch.records:
            if b'"webhook"' not in (record.value or b""):
                continue
            try:
                activity = CmActivity.from_bytes(record.value or b"")
            except ValidationError:
                continue  # the profile aggregator, whose input this is, keeps it as a dead letter
            email = normalise_email(activity.email)
            if email is not None and activity.source == "webhook" and activity.list_id is not None:
                changes.append((email.encode(), record.offset, self._seen(activity)))
        await self._apply(batch, changes, Effects())

    def _erased(self, partition: int, key: bytes, command: Erase, effects: Effects) -> Change:
        """Forget a person, once no request carries them: its answer would be noted in the row."""

        def change(row: Row) -> bool:
            carries = self._delivery.carries(partition, key)
            lists = self._shared.exports.lists
            if any(map(carries, lists)):
                effects.outputs.append(commands.write(self._topic, key.decode(), command))
                effects.again = True
                return False
            source = row.source
            for listed in lists.values():
                for it in answers_owed(row, listed):
                    receipt = Receipt(
                        it.job_id, listed.list_id, it.position, Outcome.SUPERSEDED, it.appended, message="erased"
                    )
                    effects.receipts.append((key, receipt, source, None))
            effects.outputs += [commands.write(self._topic, other, command) for other in erase(row, command.at)]
            return True

        return change

    def _seen(self, activity: CmActivity) -> Change:
        def change(row: Row) -> bool:
            listed = self._shared.exports.lists.get(activity.list_id or "")
            if listed is None:
                return False
            fields = {view.job.custom_field_name for view in listed.jobs}
            drift = seen_at_the_list(row, activity, fields, self._shared.catalogue.name_of)
            if drift is Drift.NONE:
                return False
            if drift is Drift.CHANGED:
                log.info("changed at the list", list_id=activity.list_id)
            return True

        return change

    async def _apply(self, batch: Batch, changes: list[tuple[bytes, int, Change]], effects: Effects) -> None:
        if not changes:
            return
        ledger = self._delivery.partition(batch.partition).ledger
        rows = await self._table.read(batch.partition, [key for key, _, _ in changes])
        written: dict[bytes, TableRow[Row]] = {}
        for key, offset, change in changes:
            row = rows[key]
            if offset > row.position(batch.source) and change(row.data):
                written[key] = row
        if effects.again:
            await asyncio.sleep(AGAIN_SECONDS)
        if effects.receipts:
            await ledger.be_sure()
            await ledger.tell(effects.receipts, self._wall())
        await self._table.write(batch, list(written.values()), effects.outputs)
        if effects.receipts:
            ledger.account.told.clear()
        for row in written.values():
            if row.data.due or row.data.went_to is not None:
                self._delivery.touch(batch.partition, row.key, row.data)


def _carried_out(command: commands.Command) -> Change:
    def change(row: Row) -> bool:
        match command:
            case commands.Leave(to=to, at=at):
                leave(row, to, at)
                return True
            case commands.Arrive(former=former, at=at, luggage=luggage):
                arrived(row, former, at, luggage)
                return True
            case commands.Resend(list_id=list_id):
                return forget(row, list_id)
        raise AssertionError(f"{command} needs more than the row")

    return change
