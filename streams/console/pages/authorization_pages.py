"""Authorizations: all of them, a new one step by step, another log-in, another description, removal."""

from collections.abc import Mapping

from aiohttp import web

from connectors.campaign_monitor.oauth import SCOPES
from connectors.control.authorizations import (
    AuthorizationInUseError,
    NoDescriptionError,
    made_up_id,
    users_of,
)
from connectors.control.login import (
    LOGIN_SECONDS,
    ForeignAnswerError,
    LoginError,
    PendingLogin,
    allowed_tokens,
    begin_login,
    finish_login,
)
from streams.console.context import Route, Visit, go_to

NEW = ""
"""The id in a log-in that makes a new authorization: its id is made from its description."""


async def show_all(visit: Visit) -> web.StreamResponse:
    """Show all authorizations, and the jobs that use each."""
    console = visit.console
    jobs = console.jobs.all().values()
    found = [(known, users_of(known.id, jobs)) for known in console.authorizations.all().values()]
    return visit.page("authorizations.html", found=found)


async def show_one(visit: Visit, status: int = 200, fault: str = "") -> web.StreamResponse:
    """Show one authorization with what can be done about it."""
    console = visit.console
    one = console.authorizations.known(visit.request.match_info["id"])
    users = users_of(one.id, console.jobs.all().values())
    return visit.page("authorization.html", status, one=one, users=users, fault=fault)


async def begin(visit: Visit) -> web.StreamResponse:
    """Show which permissions are asked for, and the way to Campaign Monitor's log-in page.

    The log-in that begins here is the only one that is answered in this session from now on.
    """
    console, authorization_id = visit.console, visit.request.match_info.get("id", NEW)
    if authorization_id:
        console.authorizations.known(authorization_id)
    try:
        login = begin_login(console.campaign_monitor, authorization_id, None, console.clock())
    except LoginError as fault:
        return visit.sentence(409, "No log-in", f"{fault}.")
    visit.me.login, visit.me.allowed = login, None
    return visit.page("new_authorization.html", login=login, scopes=SCOPES)


async def come_back(visit: Visit) -> web.StreamResponse:
    """Go on with whoever comes back from Campaign Monitor: a new authorization is described next."""
    login, visit.me.login = visit.me.login, None  # an answer that comes twice at once is used once
    query: Mapping[str, str] = visit.request.query
    try:
        if login is None:
            raise ForeignAnswerError("No log-in waits here. Begin again, and use the newest page only.")
        return await _allowed(visit, login, query)
    except ForeignAnswerError as refusal:
        visit.me.login = login
        return visit.sentence(400, "Not this log-in", str(refusal))
    except LoginError as refusal:
        return visit.sentence(400, "No access", f"{refusal}.")


async def _allowed(visit: Visit, login: PendingLogin, query: Mapping[str, str]) -> web.StreamResponse:
    console, now = visit.console, visit.console.clock()
    if login.authorization_id:
        await finish_login(login, query, console.transport, console.campaign_monitor, console.authorizations, now)
        console.recent.forget()
        return go_to(f"/authorizations/{login.authorization_id}")
    tokens = await allowed_tokens(login, query, console.transport, console.campaign_monitor, now)
    visit.me.allowed = tokens, now + LOGIN_SECONDS
    return go_to("/authorizations/describe")


async def show_describe(visit: Visit) -> web.StreamResponse:
    """Ask for a description of what was allowed."""
    if visit.me.allowed is None:
        return go_to("/authorizations")
    return visit.page("describe.html", fault="")


async def authorize(visit: Visit) -> web.StreamResponse:
    """Store what was allowed under its description."""
    console, description = visit.console, visit.text("description")
    if visit.me.allowed is None:
        return go_to("/authorizations")
    if not description:
        return visit.page("describe.html", 422, fault="A description is needed, by which people recognise it.")
    tokens, until = visit.me.allowed
    if console.clock() >= until:
        visit.me.allowed = None
        sentence = "It took too long to describe it: nothing was stored. Begin again."
        return visit.sentence(409, "No access", sentence)
    visit.me.allowed = None  # a form that is sent twice at once makes one authorization
    try:
        stored = await console.authorizations.put(made_up_id(description), tokens, description=description[:200])
    except BaseException:
        visit.me.allowed = tokens, until
        raise
    return go_to(f"/authorizations/{stored.id}")


async def rename(visit: Visit) -> web.StreamResponse:
    """Give an authorization another description."""
    authorization_id = visit.request.match_info["id"]
    try:
        await visit.console.authorizations.rename(authorization_id, visit.text("description")[:200])
    except NoDescriptionError as fault:
        return await show_one(visit, 422, f"{fault}.")
    return go_to(f"/authorizations/{authorization_id}")


async def remove(visit: Visit) -> web.StreamResponse:
    """Remove an authorization that no job uses."""
    console = visit.console
    try:
        await console.authorizations.remove_unused(visit.request.match_info["id"], console.jobs)
    except AuthorizationInUseError as refusal:
        return await show_one(visit, 409, f"{refusal}.")
    return go_to("/authorizations")


ROUTES = (
    Route("GET", "/authorizations", "viewer", show_all),
    Route("GET", "/authorizations/new", "admin", begin),
    Route("GET", "/authorized", "admin", come_back),
    Route("GET", "/authorizations/describe", "admin", show_describe),
    Route("POST", "/authorizations/describe", "admin", authorize),
    Route("GET", "/authorizations/{id}", "viewer", show_one),
    Route("GET", "/authorizations/{id}/login", "admin", begin),
    Route("POST", "/authorizations/{id}/rename", "admin", rename),
    Route("POST", "/authorizations/{id}/remove", "admin", remove),
)
