"""The OAuth page that asks for access, the token endpoint, and the tokens that it makes."""

import base64
from collections.abc import Iterable
from hashlib import blake2b
from html import escape
from typing import Any
from urllib.parse import urlencode

import orjson
from aiohttp import web

from connectors.devkit.simulator.data.entities import SimulatedAccount
from connectors.devkit.simulator.protocol.credentials import SCOPES, OAuthToken
from connectors.devkit.simulator.protocol.responses import apply_fault
from connectors.devkit.simulator.state import SimulatorState

_CODE_SECONDS = 600


class OAuthPages:
    """`GET /oauth`, `POST /oauth` (consent or refusal) and `POST /oauth/token`."""

    def __init__(self, state: SimulatorState) -> None:
        self._state = state
        self._codes: dict[str, tuple[str, str, tuple[str, ...], float]] = {}

    def add_to(self, app: web.Application) -> None:
        """Mount the routes."""
        app.router.add_get("/oauth", self.show_consent)
        app.router.add_post("/oauth", self.consent)
        app.router.add_post("/oauth/token", self.token)

    async def show_consent(self, request: web.Request) -> web.Response:
        """Answer a page with two buttons; errors in the request are shown on the page or returned to the caller."""
        query = dict(request.query)
        problem = self._problem(query)
        if problem is not None:
            return _page(400, f"<h1>Cannot connect</h1><p>{problem}</p>")
        unknown = [scope for scope in _scopes(query) if scope not in SCOPES]
        if unknown or not _scopes(query):
            raise web.HTTPFound(_redirect(query, {"error": "unknown_scope"}))
        hidden = "".join(f'<input type="hidden" name="{escape(k)}" value="{escape(v)}">' for k, v in query.items())
        rights = "".join(f"<li>{escape(scope)}</li>" for scope in _scopes(query))
        return _page(
            200,
            f"<h1>{escape(query['client_id'])} asks for access to {escape(self._state.account.name)}</h1>"
            f'<ul>{rights}</ul><form method="post" action="/oauth">{hidden}'
            '<button name="decision" value="allow">Allow access</button> '
            '<button name="decision" value="deny">Deny</button></form>',
        )

    async def consent(self, request: web.Request) -> web.Response:
        """Redirect to the caller with a code, a token (implicit flow) or a refusal."""
        form = {name: str(value) for name, value in (await request.post()).items()}
        problem = self._problem(form)
        if problem is not None:
            return _page(400, f"<h1>Cannot connect</h1><p>{problem}</p>")
        if form.get("decision") != "allow":
            raise web.HTTPFound(_redirect(form, {"error": "access_denied"}))
        scopes = _scopes(form)
        if form.get("type") == "user_agent":
            tokens = grant(self._state, self._state.account, form["client_id"], scopes)
            part = urlencode({"access_token": tokens["access_token"], "expires_in": tokens["expires_in"]})
            raise web.HTTPFound(f"{form['redirect_uri']}#{part}")
        code = new_secret(self._state, "code")
        until = self._state.clock.time() + _CODE_SECONDS
        self._codes[code] = (form["client_id"], form["redirect_uri"], scopes, until)
        raise web.HTTPFound(_redirect(form, {"code": code}))

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

    def _problem(self, query: dict[str, str]) -> str | None:
        if query.get("type", "web_server") not in ("web_server", "user_agent"):
            return "invalid_request: type is web_server or user_agent"
        if query.get("client_id") != self._state.settings.oauth_client_id:
            return "unknown_client"
        if not query.get("redirect_uri", "").startswith(self._state.settings.oauth_redirect_prefix):
            return "invalid_redirect_uri"
        return None


def _scopes(query: dict[str, str]) -> tuple[str, ...]:
    return tuple(scope for scope in query.get("scope", "").split(",") if scope)


def _redirect(query: dict[str, str], extra: dict[str, str]) -> str:
    if "state" in query:
        extra = {**extra, "state": query["state"]}
    uri = query["redirect_uri"]
    return f"{uri}{'&' if '?' in uri else '?'}{urlencode(extra)}"


def _page(status: int, body: str) -> web.Response:
    return web.Response(
        status=status, text=f"<!DOCTYPE html><title>Campaign Monitor simulator</title>{body}", content_type="text/html"
    )


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
