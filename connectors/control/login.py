"""A person logs in at Campaign Monitor and allows access: the rules of that way, for pages and the command line alike.

login = begin_login(settings, "main", "Acme Inc.", now)   # keep it with the person's session
...                                                       # they open `login.address`, log in, allow access
await finish_login(login, query, transport, settings, authorizations, now)   # the query that they come back with
"""

import hmac
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field

from pydantic import SecretStr

from connectors.campaign_monitor import oauth
from connectors.campaign_monitor.client.transport import Transport
from connectors.campaign_monitor.credentials import CampaignMonitorSettings, Tokens
from connectors.campaign_monitor.errors.exceptions import CampaignMonitorError, OAuthRefused
from connectors.control.authorizations import Authorizations
from schemas.control import Authorization

LOGIN_SECONDS = 600.0
"""For a person to log in and allow access. Longer: an answer that was stolen from a history works longer; shorter:
somebody who looks for a password has to start again."""
STATE_BYTES = 32
NOTHING_STORED = "nothing was stored"


class LoginError(Exception):
    """The log-in did not lead to an authorization; the text is a sentence for people and holds no secret."""


class ForeignAnswerError(LoginError):
    """What came back is not the answer to this log-in, which goes on waiting for its own."""


@dataclass(frozen=True, slots=True)
class PendingLogin:
    """A log-in that has begun, to be kept with the session of the person who began it, and to be used once."""

    authorization_id: str
    description: str | None
    """None: the authorization keeps the one it has."""
    address: str = field(repr=False)
    """Campaign Monitor's page, to which the person is sent."""
    state: SecretStr
    ends_at: float
    """Unix time in seconds."""


def begin_login(
    settings: CampaignMonitorSettings, authorization_id: str, description: str | None, now: float
) -> PendingLogin:
    """Return a new log-in. Raises LoginError without a registered application."""
    state = SecretStr(secrets.token_urlsafe(STATE_BYTES))
    try:
        address = oauth.authorize_url(settings, state)
    except ValueError as fault:
        raise LoginError(str(fault)) from None
    return PendingLogin(authorization_id, description, address, state, now + LOGIN_SECONDS)


def read_answer(login: PendingLogin, query: Mapping[str, str], now: float) -> SecretStr:
    """Return the code that a person came back with.

    Raises:
        ForeignAnswerError: `state` is missing or is not that of this log-in, whatever else came with it.
        LoginError: access was denied or refused, or the log-in took too long.
    """
    if not hmac.compare_digest(query.get("state", "").encode(), login.state.get_secret_value().encode()):
        raise ForeignAnswerError(
            "This answer does not belong to the log-in that waits here. Begin again, and use the newest page only."
        )
    if "error" in query:
        raise LoginError(refusal_sentence(query["error"]))
    if now >= login.ends_at:
        raise LoginError(f"The log-in took longer than {LOGIN_SECONDS / 60:.0f} minutes: {NOTHING_STORED}. Begin again")
    if not query.get("code"):
        raise LoginError(f"Campaign Monitor sent neither a code nor a reason: {NOTHING_STORED}. Begin again")
    return SecretStr(query["code"])


def refusal_sentence(error: str) -> str:
    """Return what a refusal at Campaign Monitor's pages means, and what to do."""
    match error:
        case "access_denied":
            return f"Access was denied at Campaign Monitor: {NOTHING_STORED}. Begin again, and choose Allow access"
        case "unknown_client":
            return f"Campaign Monitor does not know the application: {NOTHING_STORED}. Check CM_OAUTH_CLIENT_ID"
        case "invalid_redirect_uri":
            return (
                f"The application is registered with another redirect address: {NOTHING_STORED}. "
                "Set CM_OAUTH_REDIRECT_URL to the registered one"
            )
        case "unknown_scope":
            scopes = ", ".join(oauth.SCOPES)
            return f"Campaign Monitor does not know one of the permissions {scopes}: {NOTHING_STORED}"
        case "server_error":
            return f"Campaign Monitor had an error of its own: {NOTHING_STORED}. Begin again later"
        case _:
            return f"Campaign Monitor refused the log-in ({error[:60]!r}): {NOTHING_STORED}. Begin again"


async def allowed_tokens(
    login: PendingLogin, query: Mapping[str, str], transport: Transport, settings: CampaignMonitorSettings, now: float
) -> Tokens:
    """Return the tokens of what a person allowed; they are nowhere else yet.

    Raises ForeignAnswerError, LoginError: as `read_answer`, or Campaign Monitor gave no tokens.
    """
    code = read_answer(login, query, now)
    try:
        return await oauth.exchange_code(transport, settings, code, now)
    except OAuthRefused as refused:
        raise LoginError(_token_sentence(refused.error)) from None
    except CampaignMonitorError as error:
        raise LoginError(f"Campaign Monitor gave no tokens ({error}): {NOTHING_STORED}. Begin again") from None


async def finish_login(
    login: PendingLogin,
    query: Mapping[str, str],
    transport: Transport,
    settings: CampaignMonitorSettings,
    authorizations: Authorizations,
    now: float,
) -> Authorization:
    """Store the authorization that a person allowed; jobs that wait for it go on at once.

    Raises:
        ForeignAnswerError, LoginError: as `allowed_tokens`.
        SealError, PublishError: the tokens could not be stored; whoever allowed access has to begin again.
    """
    tokens = await allowed_tokens(login, query, transport, settings, now)
    return await authorizations.put(login.authorization_id, tokens, description=login.description)


def _token_sentence(error: str) -> str:
    match error:
        case "invalid_grant":
            return (
                f"Campaign Monitor does not accept the code, it was used or is too old: {NOTHING_STORED}. Begin again"
            )
        case "invalid_client":
            return f"Campaign Monitor does not accept CM_OAUTH_CLIENT_SECRET: {NOTHING_STORED}"
        case _:
            return f"Campaign Monitor gave no tokens ({error[:60]!r}): {NOTHING_STORED}. Begin again"
