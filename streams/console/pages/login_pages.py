"""Log in, log out, and the first user by the one-time set-up link."""

import hmac

from aiohttp import web

from connectors.control.users import UserChangeError
from schemas.control import ConsoleUser
from streams.console.access.passwords import TooManyFailuresError
from streams.console.access.rules import user_fault
from streams.console.context import Route, Visit, go_to, set_cookie
from streams.control.job_writing import now_in_millis


async def home(_visit: Visit) -> web.StreamResponse:
    """Show the jobs first."""
    return go_to("/jobs")


async def show_login(visit: Visit) -> web.StreamResponse:
    """Show the form; before there is a user, how the first one is made."""
    if visit.user is not None:
        return go_to("/jobs")
    return visit.page("login.html", fault="", name="", is_first=not visit.console.users.all())


async def log_in(visit: Visit) -> web.StreamResponse:
    """Begin a session, with another cookie than before."""
    console, name = visit.console, visit.text("name").lower()[:64]
    password = str(visit.form.get("password", ""))
    user = console.users.get(name)
    try:
        right = await console.passwords.is_right(
            name, None if user is None else user.password_hash, password, console.clock()
        )
    except TooManyFailuresError as refusal:
        return visit.page("login.html", 429, fault=f"{refusal}.", name=name, is_first=False)
    if user is None or not right:
        fault = "The user name or the password is wrong."
        return visit.page("login.html", 403, fault=fault, name=name, is_first=False)
    console.sessions.end(visit.cookie)
    response = go_to("/jobs")
    set_cookie(response, console, console.sessions.begin(user, console.clock()))
    return response


async def log_out(visit: Visit) -> web.StreamResponse:
    """End the session, and have the browser forget its cookie."""
    visit.console.sessions.end(visit.cookie)
    response = go_to("/login")
    response.del_cookie(visit.console.cookie_name, path="/", secure=visit.console.is_secure, httponly=True)
    return response


def _is_setup(visit: Visit) -> bool:
    given = visit.request.match_info["token"]
    is_right = hmac.compare_digest(given.encode(), visit.console.setup_token.encode())
    return is_right and not visit.console.users.all()


async def show_setup(visit: Visit) -> web.StreamResponse:
    """Show the form for the first user."""
    if not _is_setup(visit):
        raise LookupError("The set-up link is wrong, or was used already: log in.")
    return visit.page("setup.html", fault="", name="")


async def set_up(visit: Visit) -> web.StreamResponse:
    """Make the first user, an admin, and log them in; the link is used up then."""
    console, name, password = visit.console, visit.text("name").lower(), str(visit.form.get("password", ""))
    if not _is_setup(visit):
        raise LookupError("The set-up link is wrong, or was used already: log in.")
    fault = user_fault(name, password)
    if fault:
        return visit.page("setup.html", 422, fault=f"{fault}.", name=name)
    hashed = await console.passwords.hashed(password)
    user = ConsoleUser(name=name, role="admin", password_hash=hashed, updated_at=now_in_millis())
    try:
        await console.users.first(user)
    except UserChangeError as refusal:
        return visit.page("setup.html", 409, fault=f"{refusal}.", name=name)
    response = go_to("/authorizations")
    set_cookie(response, console, console.sessions.begin(user, console.clock()))
    return response


ROUTES = (
    Route("GET", "/", "viewer", home),
    Route("GET", "/login", None, show_login),
    Route("POST", "/login", None, log_in),
    Route("POST", "/logout", None, log_out),
    Route("GET", "/setup/{token}", None, show_setup),
    Route("POST", "/setup/{token}", None, set_up),
)
