"""The export of one worker, put together: a sender for each list, shared by all partitions that the worker owns.

Partitions come and go with the group; lists with the jobs. This is where both meet; the rules are in `rules/`, and
what is known in `ExportState`.
"""

import asyncio
from collections.abc import Mapping

from streams.batches import Revoked
from streams.export.lists.accounts import ExportAccounts
from streams.export.lists.senders import ListSenders
from streams.export.lists.shared_state import SharedState
from streams.export.recovery.outstanding import OutstandingReceipts
from streams.export.recovery.partitions import Partitions
from streams.export.recovery.scan import BackfillScans
from streams.export.rules.jobs import Exports
from streams.export.sending.connections import SenderContext
from streams.export.sending.direct_calls import MIN_PEOPLE
from streams.export.settings import ExportSettings


class ExportRunner:
    """Everything between due rows and Campaign Monitor."""

    def __init__(
        self,
        settings: ExportSettings,
        shared: SharedState,
        context: SenderContext,
        accounts: ExportAccounts,
        min_people: int = MIN_PEOPLE,
    ) -> None:
        """`min_people`: fewer of a partition are not sent before their rows are written."""
        self._settings = settings
        self.state = context.state
        self.senders = ListSenders(settings, context, shared, accounts)
        self._partitions = Partitions(context.state, context.runtime, context.rows)
        self._scans = BackfillScans(
            context.state, context.runtime, context.rows, self._partitions, settings, min_people
        )
        self._outstanding = OutstandingReceipts(context.state, context.runtime, context.rows)
        self._seen = Exports()

    async def assigned(self, partition: int, generation: int) -> None:
        """Take a partition over: receipts first, then the people who are due, then unfinished scans."""
        self._scans.start(await self._partitions.assigned(partition, generation))
        self._outstanding.look_again()

    async def revoked(self, partition: int, generation: int) -> None:
        """Give a partition back."""
        await self._partitions.revoked(partition)

    async def checkpoints(self) -> None:
        """Store from time to time how far each partition got, until cancelled."""
        await self._partitions.checkpoints(self._settings.checkpoint_seconds)

    async def transfers(self) -> None:
        """Transfer the rows of people whose address changed, until cancelled."""
        await self._partitions.run_transfers()

    async def rechecks(self) -> None:
        """Compare people with their lists once calls without an answer are over, until cancelled."""
        await self._partitions.run_rechecks(self._settings.late_call_seconds, self._settings.backfill_rows)

    async def run(self) -> None:
        """Keep a sender for each list with running jobs, until cancelled."""
        outstanding = asyncio.create_task(self._outstanding.run(), name="outstanding")
        try:
            while True:
                self.state.changed.clear()
                self._retry_edited()
                for sender in await self.senders.follow_jobs():
                    await self._queue_due(sender.list_id)
                for owned in list(self.state.owned.values()):
                    self._scans.start(owned)
                for sender in self.senders.all():
                    await sender.report_guard()
                try:
                    async with asyncio.timeout(self._settings.fields_check_seconds):
                        await self.state.changed.wait()
                except TimeoutError:
                    self.senders.check_lists()
        finally:
            outstanding.cancel()
            await asyncio.gather(outstanding, return_exceptions=True)
            await self.senders.close()

    async def _queue_due(self, list_id: str) -> None:
        for owned in list(self.state.owned.values()):
            try:
                await self._partitions.queue_due(owned, [self.state.open[list_id]])
            except Revoked:
                continue

    def _retry_edited(self) -> None:
        """A person changed a job: what waits for that is tried at once."""
        before, self._seen = self._seen, self.state.exports
        for list_id, listed in self._seen.lists.items():
            known, sender = before.lists.get(list_id), self.senders.get(list_id)
            if sender is not None and known is not None and listed.edited_since(known):
                sender.retry_now()

    def credential_changed(self) -> None:
        """An authorization changed: lists that wait for a person are tried at once."""
        for sender in self.senders.all():
            sender.retry_now()
        self.state.changed.set()

    def idle(self) -> bool:
        """Whether nothing waits anywhere: for tests and summaries."""
        busy = any(owned.busy for owned in self.state.owned.values())
        busy = busy or self.senders.checking or self._outstanding.busy
        return not busy and all(sender.idle for sender in self.senders.all())

    def summary(self) -> Mapping[str, Mapping[str, object]]:
        """Return what each list's sender is doing, for health pages and metrics."""
        return {
            list_id: {
                "waiting": len(opened.queue),
                "in_flight": opened.queue.in_flight,
                "blocked": opened.breaker.blocked,
            }
            for list_id, opened in self.state.open.items()
        }
