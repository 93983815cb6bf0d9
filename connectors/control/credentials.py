"""From a stored authorization to a credential that calls can be made with, kept current as tokens are refreshed."""

from connectors.campaign_monitor import oauth
from connectors.campaign_monitor.client.transport import Transport
from connectors.campaign_monitor.credentials import ApiKey, Credential, OAuth, Tokens
from connectors.campaign_monitor.settings import CampaignMonitorSettings
from connectors.control.authorizations import Authorizations
from connectors.control.seal import SealError
from schemas.control import Authorization


class Credentials:
    """One credential for each authorization. Give `changed` to `Authorizations` as its `on_change`.

    Where an authorization is not stored, the API key in CM_API_KEY stands in, if there is one.
    """

    def __init__(self, settings: CampaignMonitorSettings, transport: Transport) -> None:
        self._settings = settings
        self._transport = transport
        self._open: dict[str, Credential] = {}
        self._authorizations: Authorizations | None = None

    def read_from(self, authorizations: Authorizations) -> None:
        """Say where the stored authorizations are."""
        self._authorizations = authorizations

    async def credential(self, authorization_id: str) -> Credential:
        """Return the credential of an authorization.

        Raises:
            LookupError: there is no such authorization, and no key in CM_API_KEY; the text says which there are.
            SealError: it was sealed with a key that is not configured.
        """
        if authorization_id not in self._open:
            self._open[authorization_id] = self._made(authorization_id)
        return self._open[authorization_id]

    def changed(self, authorization_id: str, _authorization: Authorization | None) -> None:
        """Take over what another process or a person stored: newer tokens go on in the same credential."""
        known = self._open.get(authorization_id)
        if known is None or self._authorizations is None:
            return
        try:
            access = self._authorizations.access(authorization_id)
        except (LookupError, SealError):
            access = None
        if isinstance(known, OAuth) and isinstance(access, Tokens):
            known.adopt(access)
        else:
            del self._open[authorization_id]  # made anew when it is asked for

    def _made(self, authorization_id: str) -> Credential:
        if self._authorizations is None:
            raise LookupError("the authorizations have not been read yet")
        if self._authorizations.get(authorization_id) is None and self._settings.api_key is not None:
            return ApiKey(self._settings.api_key)
        access = self._authorizations.access(authorization_id)
        if not isinstance(access, Tokens):
            return ApiKey(access)

        async def refresh(tokens: Tokens, now: float) -> Tokens:
            return await oauth.refresh(self._transport, self._settings, tokens, now)

        return OAuth(
            access,
            refresh=refresh,
            store=self._authorizations.store_tokens(authorization_id),
            load=self._authorizations.load_tokens(authorization_id),
            refresh_early_seconds=self._settings.refresh_early_seconds,
        )
