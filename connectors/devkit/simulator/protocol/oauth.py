"""The OAuth token endpoint, and the codes and tokens that it makes."""

import base64
from collections.abc import Iterable
from hashlib import blake2b
from typing import Any

import orjson
from aiohttp import web

from connectors.devkit.simulator.data.entities import SimulatedAccount
from connectors.devkit.simulator.protocol.credentials import SCOPES, OAuthToken
from connectors.devkit.simulator.protocol.responses import apply_fault
from connectors.devkit.simulator.state import SimulatorState

_CODE_SECONDS = 600


class TokenEndpoint:
    """`POST /oauth/token`, and the codes that it takes."""

    def __init__(self, state: SimulatorState) -> None:
        self._state = state
        self._codes: dict[str, tuple[str, str, tuple[str, ...], float]] = {}

    def add_to(self, app: web.Application) -> None:
        """Mount the route."""
        app.router.add_post("/oauth/token", self.token)

    def code(self, client_id: str, redirect_uri: str, scopes: tuple[str, ...]) -> str:
        """Return a code for an application that somebody allowed; it works once, for ten minutes."""
        code = new_secret(self._state, "code")
        until = self._state.clock.time() + _CODE_SECONDS
        self._codes[code] = (client_id, redirect_uri, scopes, until)
        return code

    async def token(self, request: web.Request) -> web.Response:
        """Exchange a code, or refresh. The body is form-encoded: a bare `+` in it is a blank."""
        self._state.run_due()
        self._state.request_log.calls["POST /oauth/token"] += 1
        fault = self._state.faults.next_for("POST", ("/oauth/token",)) if self._state.faults else None
        if fault is not None and not fault.after and (broken := await apply_fault(request, fault)) is not None:
            self._state.request_log.faults[fault.kind] += 1
            return broken if isinstance(broken, web.Response) else web.Response(status=500)
        form = {name: str(value) for name, value in (await request.post()).items()}
        match form.get("grant_type"):
            case "authorization_code":
                answer = self._exchange(form)
            case "refresh_token":
                answer = self._refresh(form)
            case _:
                answer = self._refused("unsupported_grant_type", "Specified grant_type was invalid")
        if fault is not None and fault.after and (broken := await apply_fault(request, fault)) is not None:
            self._state.request_log.faults[fault.kind] += 1
            return broken if isinstance(broken, web.Response) else web.Response(status=500)
        return answer

    def _exchange(self, form: dict[str, str]) -> web.Response:
        settings = self._state.settings
        app = (settings.oauth_client_id, settings.oauth_client_secret)
        if (form.get("client_id"), form.get("client_secret")) != app:
            return self._refused("invalid_client", "Specified client_id or client_secret was invalid")
        found = self._codes.pop(form.get("code", ""), None)
        if found is None or found[:2] != (form.get("client_id"), form.get("redirect_uri")):
            return self._refused("invalid_grant", "Specified code was invalid or expired")
        if found[3] < self._state.clock.time():
            return self._refused("invalid_grant", "Specified code was invalid or expired")
        return _json(200, grant(self._state, self._state.account, found[0], found[2]))

    def _refresh(self, form: dict[str, str]) -> web.Response:
        keyring, refresh = self._state.keyring, form.get("refresh_token", "")
        access = keyring.refresh_tokens.get(refresh)
        token = keyring.tokens.get(access) if access else None
        if token is None or token.revoked:
            return self._refused("invalid_grant", "Specified refresh_token was invalid or expired")
        keep = None if self._state.settings.oauth_rotate else refresh
        if keep is None:
            del keyring.refresh_tokens[refresh]
        token.expires_at = min(token.expires_at, self._state.clock.time())
        return _json(200, grant(self._state, token.account, token.app, token.scopes, refresh_token=keep))

    def _refused(self, error: str, description: str) -> web.Response:
        return _json(self._state.settings.oauth_error_status, {"error": error, "error_description": description})


def _json(status: int, body: object) -> web.Response:
    return web.Response(status=status, body=orjson.dumps(body), content_type="application/json")


def new_secret(state: SimulatorState, kind: str) -> str:
    """Return the next token text of a kind; each holds a `+`, because callers forget to encode it."""
    digest = blake2b(state.identifiers.new(kind).encode(), digest_size=31).digest()
    text = base64.b64encode(digest).decode()
    return text[:10] + "+" + text[10:]


def grant(
    state: SimulatorState,
    account: SimulatedAccount,
    app: str,
    scopes: Iterable[str] | None = None,
    expires_in: float | None = None,
    refresh_token: str | None = None,
) -> dict[str, Any]:
    """Make tokens and return the answer of the token endpoint."""
    seconds = state.settings.oauth_expires_in if expires_in is None else expires_in
    access = new_secret(state, "access token")
    refresh = refresh_token or new_secret(state, "refresh token")
    granted = frozenset(SCOPES if scopes is None else scopes)
    state.keyring.tokens[access] = OAuthToken(account, app, granted, refresh, state.clock.time() + seconds)
    state.keyring.refresh_tokens[refresh] = access
    return {"access_token": access, "expires_in": int(seconds), "refresh_token": refresh}
