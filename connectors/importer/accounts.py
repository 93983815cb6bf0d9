"""Access to Campaign Monitor by authorization: opened at first use, opened anew when the authorization changed."""

from types import TracebackType
from typing import Self

from connectors.campaign_monitor.account import Account
from connectors.campaign_monitor.client.api import CampaignMonitor
from connectors.campaign_monitor.client.transport import Transport
from connectors.campaign_monitor.credentials import Credential
from connectors.campaign_monitor.limits.limiter import Limiter
from connectors.campaign_monitor.settings import CampaignMonitorSettings
from connectors.control.authorizations import Authorizations
from connectors.control.credentials import Credentials
from connectors.control.seal import SealError
from schemas.control import Authorization


class Accounts:
    """The accounts that one process uses."""

    def __init__(self, settings: CampaignMonitorSettings, authorizations: Authorizations) -> None:
        self._settings = settings
        self._transport = Transport(settings)
        self._credentials = Credentials(settings, self._transport)
        self._credentials.read_from(authorizations)
        self._open: dict[str, tuple[CampaignMonitor, Credential]] = {}

    async def api(self, authorization_id: str) -> CampaignMonitor:
        """Return the API as this authorization may use it. Raises LookupError with a sentence for people."""
        try:
            credential = await self._credentials.credential(authorization_id)
        except SealError as fault:
            raise LookupError(str(fault)) from None
        known = self._open.get(authorization_id)
        if known is None or known[1] is not credential:
            account = Account(self._transport, credential, self._settings, Limiter.of(self._settings))
            known = self._open[authorization_id] = CampaignMonitor(account), credential
        return known[0]

    def changed(self, authorization_id: str, authorization: Authorization | None) -> None:
        """Take note that an authorization was changed or removed: tokens are taken over, a key is opened anew."""
        self._credentials.changed(authorization_id, authorization)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._transport.close()
