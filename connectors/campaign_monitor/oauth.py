"""The OAuth endpoints: where a person grants access, a code becomes tokens, and tokens become newer ones."""

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

import orjson
from pydantic import SecretBytes, SecretStr

from connectors.campaign_monitor.credentials import CampaignMonitorSettings, Tokens
from connectors.campaign_monitor.errors.exceptions import MalformedAnswer, OAuthRefused, error_of

if TYPE_CHECKING:  # the scopes are shown without an HTTP client
    from connectors.campaign_monitor.client.transport import Answer, Transport

SCOPES = {
    "ManageLists": "exports create fields, options and segments; webhooks are registered",
    "ImportSubscribers": "exports add, update and remove people",
    "ViewReports": "imports read campaigns and their reports",
    "ViewSubscribersInReports": "imports read who opened, clicked and left",
    "Automation": "imports read journeys",
}
"""The permissions that export and import need, and what for."""

_OPERATION = "POST /oauth/token"


def authorize_url(settings: CampaignMonitorSettings, state: SecretStr, scopes: Iterable[str] = SCOPES) -> str:
    """Return the address to send a person to; they come back to CM_OAUTH_REDIRECT_URL with `code` and `state`.

    `state` must be unguessable and bound to the person's session. Raises ValueError without a registered application.
    """
    client_id, _secret = _application(settings)
    query = {
        "type": "web_server",
        "client_id": client_id,
        "redirect_uri": settings.oauth_redirect_url,
        "scope": ",".join(scopes),
        "state": state.get_secret_value(),
    }
    return f"{settings.oauth_url.rstrip('/')}?{urlencode(query)}"


async def exchange_code(
    transport: "Transport", settings: CampaignMonitorSettings, code: SecretStr, now: float
) -> Tokens:
    """Return the tokens for the code that a person came back with.

    Raises OAuthRefused when it is used or too old, ValueError without a registered application.
    """
    client_id, secret = _application(settings)
    form = {
        "grant_type": "authorization_code",
        "client_id": client_id,
        "client_secret": secret.get_secret_value(),
        "redirect_uri": settings.oauth_redirect_url,
        "code": code.get_secret_value(),
    }
    return await _token_request(transport, settings, form, now)


def _application(settings: CampaignMonitorSettings) -> tuple[str, SecretStr]:
    if not settings.oauth_client_id or settings.oauth_client_secret is None:
        raise ValueError(
            "CM_OAUTH_CLIENT_ID and CM_OAUTH_CLIENT_SECRET are not set: register an application at Campaign Monitor "
            f"with the redirect address {settings.oauth_redirect_url}, and set them to what it gets there"
        )
    return settings.oauth_client_id, settings.oauth_client_secret


async def refresh(transport: "Transport", settings: CampaignMonitorSettings, tokens: Tokens, now: float) -> Tokens:
    """Return newer tokens. The answer may hold a new refresh token, and the old one may be void from then on."""
    form = {"grant_type": "refresh_token", "refresh_token": tokens.refresh_token.get_secret_value()}
    return await _token_request(transport, settings, form, now)


async def _token_request(
    transport: "Transport", settings: CampaignMonitorSettings, form: dict[str, str], now: float
) -> Tokens:
    answer = await transport.send(
        "POST",
        f"{settings.oauth_url.rstrip('/')}/token",
        operation=_OPERATION,
        seconds=settings.refresh_timeout_seconds,
        body=SecretBytes(urlencode(form).encode()),  # percent-encodes the `+`, `/` and `=` that tokens are full of
        content_type="application/x-www-form-urlencoded",
    )
    return read_tokens(answer, now)


def read_tokens(answer: "Answer", now: float) -> Tokens:
    """Read a token answer. Errors come as 400, and by some accounts as 200: the body counts.

    Raises OAuthRefused for an OAuth error, an ApiError for other error answers, MalformedAnswer for the rest.
    """
    body = _object(answer.body)
    error = body.get("error")
    if isinstance(error, str) and error and answer.status < 500:
        raise OAuthRefused(error[:100], str(body.get("error_description") or "no description")[:200])
    if answer.status >= 300:
        raise error_of(_OPERATION, answer.status, answer.body, answer.headers)
    access, fresh, lifetime = (body.get(key) for key in ("access_token", "refresh_token", "expires_in"))
    try:
        seconds = float(str(lifetime))
    except ValueError:
        raise MalformedAnswer(_OPERATION, "expires_in is no number") from None
    if not (isinstance(access, str) and access and isinstance(fresh, str) and fresh):
        raise MalformedAnswer(_OPERATION, "access_token or refresh_token is missing")
    return Tokens(SecretStr(access), SecretStr(fresh), now + seconds)


def _object(body: bytes) -> dict[str, Any]:
    try:
        document = orjson.loads(body)
    except orjson.JSONDecodeError:
        return {}
    return document if isinstance(document, dict) else {}
