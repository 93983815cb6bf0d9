"""The lists that running jobs export to: a sender each, opened when a job needs it, with its fields and segments."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

import structlog
from pydantic import SecretStr

from connectors.campaign_monitor.account import Account, OnCall
from connectors.campaign_monitor.client.api import CampaignMonitor
from connectors.campaign_monitor.client.transport import Transport
from connectors.campaign_monitor.credentials import CampaignMonitorSettings, Credential
from connectors.campaign_monitor.dates import ClientDates
from connectors.campaign_monitor.errors.exceptions import CampaignMonitorError, OAuthRefused
from connectors.campaign_monitor.errors.verdicts import Unauthorised
from connectors.campaign_monitor.limits.limiter import Limiter, Priority
from schemas.control import ExportJob
from streams.batches import BatchError
from streams.export.lists.fields import ListFields, audience_fields, used_fields
from streams.export.lists.removal_guard import RemovalGuard
from streams.export.lists.segments import ListSegments
from streams.export.lists.shared_state import SharedState
from streams.export.lists.suppression import SuppressionList
from streams.export.rules.desired import ExitPolicy
from streams.export.sending.breaker import BlockedAuthorizations, CircuitBreaker
from streams.export.sending.connections import ListConnection, ListConnections, SenderContext
from streams.export.sending.consent import ListFacts
from streams.export.sending.plan import removal_record
from streams.export.sending.queue import SendQueue
from streams.export.sending.sender import ListSender
from streams.export.sending.writer import ListWriter
from streams.export.settings import ExportSettings
from streams.export.state import OpenList

log = structlog.get_logger(__name__)


@dataclass(slots=True)
class AccountAccess:
    """One account, as the senders use it."""

    apis: Mapping[Priority, CampaignMonitor]
    limiter: Limiter
    zones: Mapping[str, str] = field(default_factory=dict)
    _dates: dict[str, ClientDates] = field(default_factory=dict)
    _suppressions: dict[str, SuppressionList] = field(default_factory=dict)

    async def to_utc(self, client_id: str, text: str) -> datetime:
        """Read a client's date. Raises ValueError for an unknown zone or a text that is no date."""
        dates = self._dates.get(client_id)
        if dates is None:
            details = await self.apis["live"].clients.details(client_id)
            dates = self._dates[client_id] = ClientDates.of(details.time_zone, self.zones)
        return dates.utc(text)

    def suppressions(self, client_id: str, clock: Callable[[], float]) -> SuppressionList:
        """Return a client's suppression list, one for all of its lists."""
        known = self._suppressions.get(client_id)
        if known is None:
            clients = self.apis["background"].clients
            known = self._suppressions[client_id] = SuppressionList(
                lambda paging: clients.suppression_list(client_id, paging),
                lambda text: self.to_utc(client_id, text),
                clock,
            )
        return known


CredentialOf = Callable[[str], Awaitable[Credential]]
"""The credential of an authorization, by its id. Raises NoCredentialError."""


class NoCredentialError(Exception):
    """The authorization does not exist, or cannot be decrypted; the text names it and what to do."""


class CurrentCredential:
    """The credential that an authorization has at the time of each call: a person may have connected it again."""

    def __init__(self, authorization_id: str, credential_of: CredentialOf) -> None:
        self._authorization_id = authorization_id
        self._credential_of = credential_of
        self._last: Credential | None = None

    async def header(self) -> SecretStr:
        """Return the Authorization header. Raises OAuthRefused when there is no credential any more."""
        return await (await self._now()).header()

    async def renewed(self, refused: SecretStr, verdict: Unauthorised) -> bool:
        """True when the call may be replayed: the credential was renewed, or replaced since."""
        return await (await self._now()).renewed(refused, verdict) or await self.header() != refused

    def secrets(self) -> tuple[SecretStr, ...]:
        """Return what must never be seen in a text."""
        return () if self._last is None else self._last.secrets()

    async def _now(self) -> Credential:
        try:
            self._last = await self._credential_of(self._authorization_id)
        except NoCredentialError as fault:
            raise OAuthRefused("no credential", str(fault)) from None
        return self._last


class ExportAccounts:
    """All accounts of a worker, opened when they are first used."""

    def __init__(
        self, settings: CampaignMonitorSettings, credential_of: CredentialOf, *, on_call: OnCall | None = None
    ) -> None:
        self._settings = settings
        self._credential_of = credential_of
        self._on_call = on_call
        self._transport = Transport(settings)
        self._open: dict[str, AccountAccess] = {}
        self.max_requests = settings.requests_in_flight_per_list
        """Requests at the same time per list."""

    async def access(self, job: ExportJob) -> AccountAccess:
        """Return the access of a job's authorization. Raises NoCredentialError."""
        known = self._open.get(job.authorization_id)
        if known is None:
            await self._credential_of(job.authorization_id)
            credential = CurrentCredential(job.authorization_id, self._credential_of)
            limiter = Limiter.of(self._settings)
            live = Account(self._transport, credential, self._settings, limiter, on_call=self._on_call)
            apis: dict[Priority, CampaignMonitor] = {
                "live": CampaignMonitor(live),
                "background": CampaignMonitor(live.with_priority("background")),
            }
            known = self._open[job.authorization_id] = AccountAccess(apis, limiter, dict(self._settings.zone_overrides))
        return known

    def limiters(self) -> Mapping[str, Limiter]:
        """Limiters by authorization, for exchange with other workers."""
        return {name: access.limiter for name, access in self._open.items()}

    async def close(self) -> None:
        """Close all connections."""
        await self._transport.close()


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
        connection = sender.connections.working
        try:
            await connection.fields.check(used_fields(listed, audience_fields(listed, names)))
        except (CampaignMonitorError, BatchError) as error:
            log.info("list could not be checked", list_id=sender.list_id, error=str(error))
            return
        sender.segments.expire()
        sender.segments.use(connection.api)
        sender.segments.refresh(listed, names, connection.fields)

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
        )
        segments = ListSegments(next(iter(connections.values())).api, list_id, self._shared, self._context.blocked)
        guard = RemovalGuard(list_id, self._state, self._shared.guards, self._settings, self._context.runtime.clocks)
        connected = ListConnections(opened, self._state, self._context.blocked, connections)
        sender = ListSender(opened, self._context, segments, guard, connected, self._accounts.max_requests)
        task = asyncio.create_task(sender.run(), name=f"sender-{list_id}")
        self._running[list_id] = _Running(sender, task, asyncio.create_task(self._check(sender)))
        self._state.open[list_id] = opened
        return sender

    def _connection(self, list_id: str, access: AccountAccess, client_id: str) -> ListConnection:
        option_of = self._state.names.option_of
        fields = ListFields(
            access.apis["live"],
            list_id,
            self._shared,
            check_seconds=self._settings.fields_check_seconds,
            clock=self._context.runtime.clocks.monotonic,
        )
        facts = ListFacts(
            lambda text: access.to_utc(client_id, text),
            lambda: fields.confirmed_opt_in,
            lambda: fields.honours_suppression,
            access.suppressions(client_id, self._context.runtime.clocks.monotonic).find,
            lambda address, how: self._announce_removal(list_id, address, how),
        )
        writers = {priority: ListWriter(api, list_id, option_of, facts) for priority, api in access.apis.items()}
        return ListConnection(client_id, access.apis["background"], writers, access.limiter, fields)

    async def _announce_removal(self, list_id: str, address: str, how: ExitPolicy) -> None:
        runtime = self._context.runtime
        record = removal_record(runtime.names["cm_activity"], list_id, address, how, runtime.clocks.wall())
        await runtime.publisher.publish_all([record])
