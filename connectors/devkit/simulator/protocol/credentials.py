"""Who is calling: API keys of accounts and clients, and OAuth tokens."""

import base64
import binascii
from dataclasses import dataclass

from connectors.devkit.simulator.data.entities import SimulatedAccount, SimulatedClient
from connectors.devkit.simulator.protocol.errors import SimulatedApiError

SCOPES = (
    "ViewReports",
    "ManageLists",
    "CreateCampaigns",
    "ImportSubscribers",
    "SendCampaigns",
    "ViewSubscribersInReports",
    "ManageTemplates",
    "AdministerPersons",
    "AdministerAccount",
    "ViewTransactional",
    "SendTransactional",
    "Automation",
)


@dataclass(frozen=True, slots=True)
class Identity:
    """A credential that was accepted. `client` limits it to one client, `scopes` (None: all) to some calls."""

    account: SimulatedAccount
    label: str
    client: SimulatedClient | None = None
    scopes: frozenset[str] | None = None

    def may_see(self, client: SimulatedClient) -> bool:
        """Return True when the client belongs to this credential."""
        return client.account is self.account and (self.client is None or self.client is client)


@dataclass(slots=True)
class OAuthToken:
    """An OAuth access token with its refresh token."""

    account: SimulatedAccount
    app: str
    scopes: frozenset[str]
    refresh_token: str
    expires_at: float
    revoked: bool = False


@dataclass(slots=True)
class Keyring:
    """Every credential that exists. `override` maps a key or token to an error code that it answers from now on."""

    accounts: dict[str, SimulatedAccount]
    clients: dict[str, SimulatedClient]
    tokens: dict[str, OAuthToken]
    refresh_tokens: dict[str, str]  # refresh token -> access token
    override: dict[str, int]

    def identify(self, authorization: str | None, now: float) -> Identity:
        """Return who an Authorization header names. Raises ApiError 100, 120, 121, 122 or an overriding code."""
        scheme, _, rest = (authorization or "").partition(" ")
        if scheme.lower() == "bearer":
            return self._bearer(rest.strip(), now)
        if scheme.lower() == "basic":
            return self._basic(rest.strip())
        raise SimulatedApiError(100)

    def _basic(self, encoded: str) -> Identity:
        try:
            key = base64.b64decode(encoded, validate=True).decode().partition(":")[0]
        except (binascii.Error, UnicodeDecodeError):
            raise SimulatedApiError(100) from None
        if key in self.override:
            raise SimulatedApiError(self.override[key])
        if key in self.accounts:
            return Identity(self.accounts[key], f"account {self.accounts[key].name}")
        client = self.clients.get(key)
        if client is None or client.deleted:
            raise SimulatedApiError(100)
        return Identity(client.account, f"client {client.name}", client)

    def _bearer(self, text: str, now: float) -> Identity:
        if text in self.override:
            raise SimulatedApiError(self.override[text])
        token = self.tokens.get(text)
        if token is None:
            raise SimulatedApiError(120)
        if token.revoked:
            raise SimulatedApiError(122)
        if now >= token.expires_at:
            raise SimulatedApiError(121)
        return Identity(token.account, f"oauth {token.app}", scopes=token.scopes)
