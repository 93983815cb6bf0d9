"""Receipts that were outstanding when a job was edited or removed: given as soon as no request includes the person.

Looked for in the rows that are marked due, when a partition is taken over and when a job exports less than before.
"""

import asyncio
from functools import partial

import structlog

from schemas.envelope import EpochMillis
from streams.batches import BatchError, Revoked
from streams.batches import Row as TableRow
from streams.export.rules.immediate import record_not_exported
from streams.export.rules.jobs import Exports
from streams.export.rules.outstanding import not_exported_now, settle
from streams.export.rules.row import MembershipRow
from streams.export.rules.settlement import Receipt
from streams.export.sending.partition_rows import PartitionRows
from streams.export.state import ExportState, OwnedPartition
from streams.export.table import DUE, ExportRuntime

log = structlog.get_logger(__name__)

LOOK_SECONDS = 0.5

Exported = frozenset[tuple[str, str, frozenset[str] | None, EpochMillis]]
"""(job, list, audiences, start)"""


class OutstandingReceipts:
    """Gives receipts for changes that no job answers any more."""

    def __init__(self, state: ExportState, runtime: ExportRuntime, rows: PartitionRows) -> None:
        self._state = state
        self._runtime = runtime
        self._rows = rows
        self._seen: Exported = frozenset()
        self._exports: Exports | None = None
        self._open = False
        """Rows may have such changes: a partition is new here, jobs export less, or a request held one back."""

    @property
    def busy(self) -> bool:
        """Whether receipts may be given soon."""
        self._look()
        return self._open

    def look_again(self) -> None:
        """Look into the rows: a partition is new here."""
        self._open = True

    async def run(self) -> None:
        """Look at each change of the jobs, until cancelled."""
        while True:
            self._look()
            if self._open:
                self._open = False
                for owned in list(self._state.owned.values()):
                    try:
                        await self._answer(owned)
                    except Revoked:
                        continue
                    except BatchError as error:
                        log.info("outstanding receipts not written yet", partition=owned.number, error=str(error))
                        self._open = True
            await asyncio.sleep(LOOK_SECONDS)

    def _look(self) -> None:
        if self._exports is self._state.exports:
            return
        self._exports = self._state.exports
        views = (view for listed in self._exports.lists.values() for view in listed.jobs)
        now = frozenset((view.id, view.job.list_id, view.audiences, view.started) for view in views)
        self._open = self._open or bool(self._seen - now)
        self._seen = now

    async def _answer(self, owned: OwnedPartition) -> None:
        async for pairs in self._runtime.rows.due(owned.number, DUE):
            answer = partial(self._answer_rows, owned, [key for _, key in pairs])
            await self._runtime.owner.run_as_owner(owned.number, owned.generation, answer)

    async def _answer_rows(self, owned: OwnedPartition, keys: list[bytes]) -> None:
        await self._rows.resync(owned)
        jobs = {view.id: view for listed in self._state.exports.lists.values() for view in listed.jobs}
        rows = await self._runtime.rows.read(owned.number, keys)
        changed: list[tuple[TableRow[MembershipRow], list[Receipt]]] = []
        for key, row in rows.items():
            has_request = self._state.has_request(owned.number, key)
            receipts = not_exported_now(row.data, jobs) if row.data.outstanding else []
            held_back = [receipt for receipt in receipts if has_request(receipt.list_id)]
            self._open = self._open or bool(held_back)
            receipts = [receipt for receipt in receipts if receipt not in held_back]
            for receipt in receipts:
                record_not_exported(row.data, receipt.job_id, receipt.position)
            if receipts:
                settle(row.data, receipts)
                changed.append((row, receipts))
        written = {row.key for row, _ in changed}
        self._runtime.rows.give_back(owned.number, [row for row in rows.values() if row.key not in written])
        await self._rows.write(owned, changed, self._runtime.clocks.wall())
