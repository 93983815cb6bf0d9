"""The OAuth pages: somebody logs in, and allows an application what it asks for, or denies it."""

import hmac
import secrets
from html import escape
from urllib.parse import urlencode

from aiohttp import web

from connectors.devkit.simulator.protocol.credentials import SCOPES
from connectors.devkit.simulator.protocol.oauth import TokenEndpoint, grant
from connectors.devkit.simulator.state import SimulatorState

_SESSION = "simulator_session"
_ASKED = ("type", "client_id", "redirect_uri", "scope", "state")
"""Parameters that the pages pass on from one to the next."""


class OAuthPages:
    """`GET /oauth`: the log-in page, then the one that asks; `POST /oauth/login`; `POST /oauth`: allowed or denied."""

    def __init__(self, state: SimulatorState, tokens: TokenEndpoint) -> None:
        self._state = state
        self._tokens = tokens
        self._sessions: set[str] = set()

    def add_to(self, app: web.Application) -> None:
        """Mount the routes."""
        app.router.add_get("/oauth", self.show)
        app.router.add_post("/oauth", self.decide)
        app.router.add_post("/oauth/login", self.log_in)

    async def show(self, request: web.Request) -> web.Response:
        """Answer the page for whoever comes; errors of the request are shown, or returned to the application."""
        asked = dict(request.query)
        self._check(asked)
        if not self._logged_in(request):
            return _login_page(asked)
        return _allow_page(asked, self._state.account.name)

    async def log_in(self, request: web.Request) -> web.Response:
        """Begin a session and go on to what was asked; with a wrong password the log-in page comes again."""
        form = await _form(request)
        settings = self._state.settings
        known = (settings.login_username, self._state.account.primary_contact)
        name, password = form.get("username", "").strip(), form.get("password", "")
        right = hmac.compare_digest(password.encode(), settings.login_password.encode())
        if name not in known or not right:
            return _login_page(form, "Your username or password is not right. Please try again.", name)
        session = secrets.token_urlsafe()
        self._sessions.add(session)
        to_allow = web.HTTPSeeOther(f"/oauth?{urlencode(_passed_on(form))}")
        to_allow.set_cookie(_SESSION, session, httponly=True, samesite="Lax", path="/oauth")
        raise to_allow

    async def decide(self, request: web.Request) -> web.Response:
        """Redirect to the application with a code, a token (implicit flow) or a refusal."""
        form = await _form(request)
        self._check(form)
        if not self._logged_in(request):
            return _login_page(form, "Please log in first.")
        if form.get("decision") != "allow":
            raise web.HTTPFound(_redirect(form, {"error": "access_denied"}))
        scopes = _scopes(form)
        if form.get("type") == "user_agent":
            tokens = grant(self._state, self._state.account, form["client_id"], scopes)
            part = urlencode({"access_token": tokens["access_token"], "expires_in": tokens["expires_in"]})
            raise web.HTTPFound(f"{form['redirect_uri']}#{part}")
        code = self._tokens.code(form["client_id"], form["redirect_uri"], scopes)
        raise web.HTTPFound(_redirect(form, {"code": code}))

    def _logged_in(self, request: web.Request) -> bool:
        return request.cookies.get(_SESSION) in self._sessions

    def _check(self, asked: dict[str, str]) -> None:
        """Raise the answer for a request that cannot be granted: a page, or back to the application."""
        problem = self._problem(asked)
        if problem is not None:
            page = f"<h1>Cannot connect</h1><p>{problem}</p>"
            raise web.HTTPBadRequest(text=_document("Cannot connect", page), content_type="text/html")
        if not _scopes(asked) or not set(_scopes(asked)) <= set(SCOPES):
            raise web.HTTPFound(_redirect(asked, {"error": "unknown_scope"}))

    def _problem(self, asked: dict[str, str]) -> str | None:
        if asked.get("type", "web_server") not in ("web_server", "user_agent"):
            return "invalid_request: type is web_server or user_agent"
        if asked.get("client_id") != self._state.settings.oauth_client_id:
            return "unknown_client"
        if not asked.get("redirect_uri", "").startswith(self._state.settings.oauth_redirect_prefix):
            return "invalid_redirect_uri"
        return None


async def _form(request: web.Request) -> dict[str, str]:
    return {name: str(value) for name, value in (await request.post()).items()}


def _login_page(asked: dict[str, str], problem: str = "", name: str = "") -> web.Response:
    alert = f'<p role="alert" id="problem">{escape(problem)}</p>' if problem else ""
    described = ' aria-describedby="problem"' if problem else ""
    body = (
        f"<h1>Log in to Campaign Monitor</h1>{alert}"
        f'<form method="post" action="/oauth/login">{_hidden(asked)}'
        '<p><label for="username">Email or Username</label><br>'
        f'<input id="username" name="username" autocomplete="username" required value="{escape(name)}"{described}></p>'
        '<p><label for="password">Password</label><br>'
        f'<input id="password" name="password" type="password" autocomplete="current-password" required{described}></p>'
        '<p><button type="submit">Log in</button></p></form>'
    )
    return _page(401 if problem else 200, "Log in", body)


def _allow_page(asked: dict[str, str], account: str) -> web.Response:
    rights = "".join(f"<li>{escape(scope)}</li>" for scope in _scopes(asked))
    body = (
        f"<h1>{escape(asked['client_id'])} asks for access to {escape(account)}</h1>"
        f'<h2 id="rights">It will be able to use</h2><ul aria-labelledby="rights">{rights}</ul>'
        f'<form method="post" action="/oauth">{_hidden(asked)}'
        '<p><button name="decision" value="allow">Allow access</button> '
        '<button name="decision" value="deny">Deny</button></p></form>'
    )
    return _page(200, "Allow access", body)


def _passed_on(asked: dict[str, str]) -> dict[str, str]:
    return {name: asked[name] for name in _ASKED if name in asked}


def _hidden(asked: dict[str, str]) -> str:
    fields = _passed_on(asked).items()
    return "".join(f'<input type="hidden" name="{name}" value="{escape(value)}">' for name, value in fields)


def _scopes(asked: dict[str, str]) -> tuple[str, ...]:
    return tuple(scope for scope in asked.get("scope", "").split(",") if scope)


def _redirect(asked: dict[str, str], extra: dict[str, str]) -> str:
    if "state" in asked:
        extra = {**extra, "state": asked["state"]}
    uri = asked["redirect_uri"]
    return f"{uri}{'&' if '?' in uri else '?'}{urlencode(extra)}"


def _document(title: str, body: str) -> str:
    return (
        '<!DOCTYPE html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        '<meta name="color-scheme" content="light dark">'
        f"<title>{title} - Campaign Monitor simulator</title></head><body><main>{body}</main></body></html>"
    )


def _page(status: int, title: str, body: str) -> web.Response:
    headers = {"Cache-Control": "no-store", "Referrer-Policy": "no-referrer"}
    return web.Response(status=status, text=_document(title, body), content_type="text/html", headers=headers)
