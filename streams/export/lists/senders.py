"""The lists that running jobs export to: a sender each, opened when a job needs it, with its fields and segments."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

import structlog

from streams.export.lists.accounts import AccountAccess, ExportAccounts, NoCredentialError
from streams.export.lists.fields import ListFields
from streams.export.lists.guard import RemovalGuard
from streams.export.lists.segments import ListSegments
from streams.export.lists.shared_state import SharedState
from streams.export.sending.breaker import CircuitBreaker
from streams.export.sending.queue import SendQueue
from streams.export.sending.sender import ListConnection, ListSender, SenderContext
from streams.export.sending.writer import ListWriter
from streams.export.settings import ExportSettings
from streams.export.state import OpenList

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class _Running:
    """A sender at work, and the (authorization, client) that it was opened with."""

    sender: ListSender
    task: asyncio.Task[None]
    account: tuple[str, str]

    async def close(self) -> None:
        """End the sender; requests that are in flight are cancelled."""
        self.task.cancel()
        await asyncio.gather(self.task, return_exceptions=True)
        await self.sender.segments.close()
        await self.sender.cancel_requests()


class ListSenders:
    """Opens and closes senders as jobs are created, changed and removed."""

    def __init__(
        self, settings: ExportSettings, context: SenderContext, shared: SharedState, accounts: ExportAccounts
    ) -> None:
        self._settings = settings
        self._context = context
        self._state = context.state
        self._shared = shared
        self._accounts = accounts
        self._running: dict[str, _Running] = {}
        self._without_credential: set[str] = set()

    def all(self) -> Sequence[ListSender]:
        """Return all senders."""
        return [running.sender for running in self._running.values()]

    def get(self, list_id: str) -> ListSender | None:
        """Return the sender of a list, or None."""
        running = self._running.get(list_id)
        return None if running is None else running.sender

    async def follow_jobs(self) -> list[ListSender]:
        """Open a sender for each list with running jobs; returns those that are new, or were opened again."""
        opened: list[ListSender] = []
        for list_id, listed in list(self._state.exports.lists.items()):
            if not listed.running:
                continue
            job = listed.running[0].job
            account = (job.authorization_id, job.client_id)
            running = self._running.get(list_id)
            if running is not None and running.account == account:
                continue
            try:
                access = await self._accounts.access(job)
            except NoCredentialError as fault:
                if list_id not in self._without_credential:
                    log.error("job has no credential", list_id=list_id, why=str(fault))
                self._without_credential.add(list_id)
                await self._context.blocked.report(list_id, str(fault))
                continue
            if running is not None:
                await running.close()
            opened.append(self._open(list_id, access, account))
            if list_id in self._without_credential:
                self._without_credential.discard(list_id)
                await self._context.blocked.report(list_id, None)
        return opened

    def check_segments(self) -> None:
        """Check all segments again: people delete and edit them by hand."""
        for sender in self.all():
            sender.segments.expire()
            sender.segments.refresh(self._state.listed(sender.list_id), self._state.names, sender.fields)

    async def close(self) -> None:
        """End all senders; requests that are in flight are cancelled."""
        for running in self._running.values():
            await running.close()
        self._running.clear()
        self._state.open.clear()

    def _open(self, list_id: str, access: AccountAccess, account: tuple[str, str]) -> ListSender:
        opened = OpenList(list_id, SendQueue(self._settings.import_size), CircuitBreaker(self._settings.probe_seconds))
        sender = ListSender(opened, self._context, self._connection(list_id, access, account[1]))
        task = asyncio.create_task(sender.run(), name=f"sender-{list_id}")
        self._running[list_id] = _Running(sender, task, account)
        self._state.open[list_id] = opened
        return sender

    def _connection(self, list_id: str, access: AccountAccess, client_id: str) -> ListConnection:
        name_of = self._state.names.name_of
        writers = {
            priority: ListWriter(api, list_id, name_of, lambda text: access.to_utc(client_id, text))
            for priority, api in access.apis.items()
        }
        fields = ListFields(
            access.apis["live"],
            list_id,
            self._shared,
            check_seconds=self._settings.fields_check_seconds,
            clock=self._context.runtime.clocks.monotonic,
        )
        return ListConnection(
            writers,
            access.limiter,
            fields,
            ListSegments(access.apis["background"], list_id),
            RemovalGuard(list_id, self._state, self._settings),
            access.max_requests,
        )
