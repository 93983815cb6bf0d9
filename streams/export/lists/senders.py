"""The lists that running jobs export to: a sender each, opened when a job needs it, with its fields and segments."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

import structlog

from connectors.campaign_monitor.errors.exceptions import CampaignMonitorError
from schemas.control import ExportJob
from streams.batches import BatchError
from streams.export.lists.accounts import AccountAccess, ExportAccounts, NoCredentialError
from streams.export.lists.fields import ListFields, audience_fields, used_fields
from streams.export.lists.removal_guard import RemovalGuard
from streams.export.lists.segments import ListSegments
from streams.export.lists.shared_state import SharedState
from streams.export.rules.jobs import ExitPolicy
from streams.export.sending.breaker import BlockedAuthorizations, CircuitBreaker
from streams.export.sending.connections import ListConnection, ListConnections, SenderContext
from streams.export.sending.consent import ListFacts
from streams.export.sending.direct_queue import DirectQueue
from streams.export.sending.plan import removal_record
from streams.export.sending.queue import SendQueue
from streams.export.sending.samples import SampleReads
from streams.export.sending.sender import ListSender
from streams.export.sending.writer import ListWriter
from streams.export.settings import ExportSettings
from streams.export.state import OpenList

log = structlog.get_logger(__name__)


@dataclass(slots=True)
class _Running:
    """A sender at work."""

    sender: ListSender
    task: asyncio.Task[None]
    check: asyncio.Task[None]
    """The comparison of fields and segments with what they were."""

    async def close(self) -> None:
        """End the sender; requests that are in flight are cancelled."""
        self.task.cancel()
        self.check.cancel()
        await asyncio.gather(self.task, self.check, return_exceptions=True)
        await self.sender.segments.close()
        await self.sender.cancel_requests()
        self.sender.opened.direct.end_all()


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
        self._fields: dict[str, ListFields] = {}
        self._without_credential: set[tuple[str, str]] = set()
        """(list, authorization)"""

    def all(self) -> Sequence[ListSender]:
        """Return all senders."""
        return [running.sender for running in self._running.values()]

    def get(self, list_id: str) -> ListSender | None:
        """Return the sender of a list, or None."""
        running = self._running.get(list_id)
        return None if running is None else running.sender

    async def follow_jobs(self) -> list[ListSender]:
        """Open a sender for each list with running jobs, and connect their authorizations; returns the new senders."""
        opened: list[ListSender] = []
        for list_id, listed in list(self._state.exports.lists.items()):
            clients = {view.job.authorization_id: view.job for view in reversed(listed.running)}
            running = self._running.get(list_id)
            connections: dict[str, ListConnection] = {}
            for authorization, job in reversed(clients.items()):
                if running is not None and running.sender.connections.is_connected(authorization, job.client_id):
                    continue
                access = await self._access(list_id, job)
                if access is not None:
                    connections[authorization] = self._connection(list_id, access, job.client_id)
            if running is not None:
                for authorization, connection in connections.items():
                    running.sender.connections.connect(authorization, connection)
                if connections:
                    running.sender.retry_now()
            elif connections:
                opened.append(self._open(list_id, connections))
        return opened

    async def _access(self, list_id: str, job: ExportJob) -> AccountAccess | None:
        """Return the access of a job's authorization; None without a credential, which its jobs then show."""
        missing = (list_id, job.authorization_id)
        try:
            access = await self._accounts.access(job)
        except NoCredentialError as fault:
            if missing not in self._without_credential:
                log.error("job has no credential", list_id=list_id, why=str(fault))
            self._without_credential.add(missing)
            await self._context.blocked.report(list_id, str(fault), job.authorization_id)
            return None
        if missing in self._without_credential:
            self._without_credential.discard(missing)
            await self._context.blocked.report(list_id, None, job.authorization_id)
        return access

    def check_lists(self) -> None:
        """Compare fields and segments of all lists with what they were: people delete and edit them by hand."""
        for running in self._running.values():
            if running.check.done():
                running.check = asyncio.create_task(self._check(running.sender))

    @property
    def checking(self) -> bool:
        """Whether a list is being compared just now."""
        return any(not running.check.done() for running in self._running.values())

    async def _check(self, sender: ListSender) -> None:
        listed, names = self._state.listed(sender.list_id), self._state.names
        if listed is None:
            return
        connection, fields = sender.connections.working, sender.connections.fields
        try:
            await fields.check(connection.apis["live"], used_fields(listed, audience_fields(listed, names)))
        except (CampaignMonitorError, BatchError) as error:
            log.info("list could not be checked", list_id=sender.list_id, error=str(error))
            return
        sender.segments.expire()
        sender.segments.use(connection.apis["background"])
        sender.segments.refresh(listed, names, fields)
        await sender.samples.show()

    async def close(self) -> None:
        """End all senders; requests that are in flight are cancelled."""
        for running in self._running.values():
            await running.close()
        self._running.clear()
        self._state.open.clear()

    def _open(self, list_id: str, connections: dict[str, ListConnection]) -> ListSender:
        probe_seconds = self._settings.probe_seconds
        opened = OpenList(
            list_id,
            SendQueue(self._settings.import_size),
            CircuitBreaker(probe_seconds),
            BlockedAuthorizations(probe_seconds),
            DirectQueue(self._accounts.max_requests),
        )
        api = next(iter(connections.values())).apis["background"]
        segments = ListSegments(api, list_id, self._shared, self._context.blocked)
        guard = RemovalGuard(list_id, self._state, self._shared.guards, self._settings, self._context.runtime.clocks)
        fields = self._fields_of(list_id)
        connected = ListConnections(opened, self._state, self._context.blocked, fields, connections)
        samples = SampleReads(list_id, self._state, self._shared, self._context.blocked)
        sender = ListSender(opened, self._context, segments, guard, connected, samples, self._accounts.max_requests)
        task = asyncio.create_task(sender.run(), name=f"sender-{list_id}")
        self._running[list_id] = _Running(sender, task, asyncio.create_task(self._check(sender)))
        self._state.open[list_id] = opened
        return sender

    def _connection(self, list_id: str, access: AccountAccess, client_id: str) -> ListConnection:
        option_of = self._state.names.option_of
        fields = self._fields_of(list_id)
        facts = ListFacts(
            lambda text: access.to_utc(client_id, text),
            lambda: fields.confirmed_opt_in,
            lambda: fields.honours_suppression,
            access.suppressions(client_id, self._context.runtime.clocks.monotonic).find,
            lambda address, how: self._announce_removal(list_id, address, how),
        )
        writers = {priority: ListWriter(api, list_id, option_of, facts) for priority, api in access.apis.items()}
        return ListConnection(client_id, access.apis, writers, access.limiter)

    def _fields_of(self, list_id: str) -> ListFields:
        known = self._fields.get(list_id)
        if known is None:
            clock = self._context.runtime.clocks.monotonic
            seconds = self._settings.fields_check_seconds
            known = self._fields[list_id] = ListFields(list_id, self._shared, check_seconds=seconds, clock=clock)
        return known

    async def _announce_removal(self, list_id: str, address: str, how: ExitPolicy) -> None:
        runtime = self._context.runtime
        record = removal_record(runtime.names["cm_activity"], list_id, address, how, runtime.clocks.wall())
        await runtime.publisher.publish_all([record])
