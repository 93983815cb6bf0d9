"""Access to Campaign Monitor by authorization: one connection pool, one limiter each, both lanes."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime

from connectors.campaign_monitor.account import Account, OnCall
from connectors.campaign_monitor.auth import Credential
from connectors.campaign_monitor.client import CampaignMonitor
from connectors.campaign_monitor.dates import ClientDates
from connectors.campaign_monitor.limiter import Lane, Limiter
from connectors.campaign_monitor.settings import CampaignMonitorSettings
from connectors.campaign_monitor.transport import Transport
from schemas.control import ExportJob


@dataclass(slots=True)
class Access:
    """One account, as the senders use it."""

    apis: Mapping[Lane, CampaignMonitor]
    limiter: Limiter
    zones: Mapping[str, str] = field(default_factory=dict)
    _dates: dict[str, ClientDates] = field(default_factory=dict)

    async def to_utc(self, client_id: str, text: str) -> datetime:
        """Read a client's date. Raises ValueError for an unknown zone or a text that is no date."""
        dates = self._dates.get(client_id)
        if dates is None:
            details = await self.apis["live"].clients.details(client_id)
            dates = self._dates[client_id] = ClientDates.of(details.time_zone, self.zones)
        return dates.utc(text)


CredentialOf = Callable[[str], Awaitable[Credential]]
"""The credential of an authorization, by its id. Raises NoCredentialError."""


class NoCredentialError(Exception):
    """The authorization does not exist, or cannot be opened; the text says which and what to do."""


class Accounts:
    """All accounts of a worker, opened when they are first used."""

    def __init__(
        self, settings: CampaignMonitorSettings, credential_of: CredentialOf, *, on_call: OnCall | None = None
    ) -> None:
        self._settings = settings
        self._credential_of = credential_of
        self._on_call = on_call
        self._transport = Transport(settings)
        self._open: dict[str, Access] = {}
        self._woken: list[Callable[[], None]] = []

    async def access(self, job: ExportJob) -> Access:
        """Return the access of a job's authorization. Raises NoCredentialError."""
        known = self._open.get(job.authorization_id)
        if known is None:
            credential = await self._credential_of(job.authorization_id)
            limiter = Limiter.of(self._settings)
            live = Account(self._transport, credential, self._settings, limiter, on_call=self._on_call)
            apis: dict[Lane, CampaignMonitor] = {
                "live": CampaignMonitor(live),
                "background": CampaignMonitor(live.in_lane("background")),
            }
            known = self._open[job.authorization_id] = Access(apis, limiter, dict(self._settings.zone_overrides))
        return known

    def forget(self, authorization_id: str) -> None:
        """The authorization changed: open it anew at the next use."""
        self._open.pop(authorization_id, None)

    def limiters(self) -> Mapping[str, Limiter]:
        """Limiters by authorization, for exchange with other workers."""
        return {name: access.limiter for name, access in self._open.items()}

    async def close(self) -> None:
        """Close all connections."""
        await self._transport.close()
