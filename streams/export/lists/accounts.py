"""The accounts of a worker, one for each authorization: opened when first used, with the credential of the moment."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime

from pydantic import SecretStr

from connectors.campaign_monitor.account import Account
from connectors.campaign_monitor.client.api import CampaignMonitor
from connectors.campaign_monitor.client.transport import Transport
from connectors.campaign_monitor.credentials import CampaignMonitorSettings, Credential
from connectors.campaign_monitor.dates import ClientDates
from connectors.campaign_monitor.errors.exceptions import OAuthRefused
from connectors.campaign_monitor.errors.verdicts import Unauthorised
from connectors.campaign_monitor.limits.limiter import Limiter, Priority
from schemas.control import ExportJob
from streams.export.lists.suppression import SuppressionList


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

    def accepted(self) -> None:
        """Record that a call was answered."""
        if self._last is not None:
            self._last.accepted()

    def refused(self, verdict: Unauthorised) -> str:
        """Record that a call was refused for good; return what a person has to do."""
        return "" if self._last is None else self._last.refused(verdict)

    async def _now(self) -> Credential:
        try:
            self._last = await self._credential_of(self._authorization_id)
        except NoCredentialError as fault:
            raise OAuthRefused("no credential", str(fault), str(fault)) from None
        return self._last


class ExportAccounts:
    """All accounts of a worker, opened when they are first used."""

    def __init__(self, settings: CampaignMonitorSettings, credential_of: CredentialOf) -> None:
        self._settings = settings
        self._credential_of = credential_of
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
            live = Account(self._transport, credential, self._settings, limiter)
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
