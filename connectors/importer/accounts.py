"""Access to Campaign Monitor by authorization: opened at first use, opened anew when the authorization changed."""

from types import TracebackType
from typing import Self

from connectors.campaign_monitor import oauth
from connectors.campaign_monitor.account import Account
from connectors.campaign_monitor.auth import ApiKey, Credential, OAuth
from connectors.campaign_monitor.client import CampaignMonitor
from connectors.campaign_monitor.limiter import Limiter
from connectors.campaign_monitor.settings import CampaignMonitorSettings
from connectors.campaign_monitor.tokens import Tokens
from connectors.campaign_monitor.transport import Transport
from connectors.control.authorizations import Authorizations
from connectors.control.seal import SealError
from schemas.control import Authorization


class Accounts:
    """The accounts that one process uses. Without the authorization, `CM_API_KEY` stands in where it is set."""

    def __init__(self, settings: CampaignMonitorSettings, authorizations: Authorizations) -> None:
        self._settings = settings
        self._authorizations = authorizations
        self._transport = Transport(settings)
        self._open: dict[str, tuple[CampaignMonitor, OAuth | None]] = {}

    async def api(self, authorization_id: str) -> CampaignMonitor:
        """Return the API as this authorization may use it. Raises LookupError with a sentence for people."""
        known = self._open.get(authorization_id)
        if known is None:
            credential = self._credential(authorization_id)
            account = Account(self._transport, credential, self._settings, Limiter.of(self._settings))
            known = CampaignMonitor(account), credential if isinstance(credential, OAuth) else None
            self._open[authorization_id] = known
        return known[0]

    def changed(self, authorization_id: str, _authorization: Authorization | None) -> None:
        """Take note that an authorization was changed or removed: tokens are taken over, a key is opened anew."""
        known = self._open.get(authorization_id)
        if known is None:
            return
        credential = known[1]
        try:
            access = self._authorizations.access(authorization_id)
        except (LookupError, SealError):
            self._open.pop(authorization_id)
            return
        if credential is not None and isinstance(access, Tokens):
            credential.adopt(access)
        else:
            self._open.pop(authorization_id)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._transport.close()

    def _credential(self, authorization_id: str) -> Credential:
        if self._authorizations.get(authorization_id) is None and self._settings.api_key is not None:
            return ApiKey(self._settings.api_key)
        try:
            access = self._authorizations.access(authorization_id)
        except SealError as fault:
            raise LookupError(str(fault)) from None
        if isinstance(access, Tokens):
            return OAuth(
                access,
                refresh=lambda tokens, now: oauth.refresh(self._transport, self._settings, tokens, now),
                store=self._authorizations.store_tokens(authorization_id),
                load=self._authorizations.load_tokens(authorization_id),
                refresh_early_seconds=self._settings.refresh_early_seconds,
            )
        return ApiKey(access)
