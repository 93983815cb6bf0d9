"""The console over HTTP: one way in for every request, which knows who asks before a page is called."""

from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from urllib.parse import parse_qsl

import aiohttp_jinja2
import jinja2
import structlog
from aiohttp import web
from confluent_kafka import KafkaException
from markupsafe import Markup
from multidict import MultiDict, MultiDictProxy

from connectors.campaign_monitor.errors.exceptions import CampaignMonitorError
from connectors.control.audit import Actor, acting
from connectors.control.crypto import SealError
from connectors.kafka.publishing import PublishError
from connectors.kafka.read_to_end import ReadError
from connectors.kafka.transaction import TransactionError
from streams.console.access.rules import form_token, is_form_token, is_from_here, is_ours, may
from streams.console.access.sessions import new_cookie
from streams.console.api.entry import add_routes, place_of
from streams.console.api.openapi import OPERATIONS, openapi_json
from streams.console.context import Console, Route, Visit, go_to, set_cookie, utc_text
from streams.console.pages import (
    authorization_pages,
    dead_letter_pages,
    export_page,
    import_page,
    job_action_pages,
    job_edit_page,
    job_live,
    job_pages,
    lag_page,
    login_pages,
    mapping_page,
    overview_page,
    people_page,
    user_pages,
)
from streams.dead_letters.letters import ReplayError
from streams.export.recovery.reconcile import SnapshotError

log = structlog.get_logger(__name__)

HERE = Path(__file__).parent
MAX_FORM_BYTES = 256 * 1024
MAX_FIELDS = 5_000
"""A form with a check box for each dead letter of a page has hundreds."""
FORM = "application/x-www-form-urlencoded"
ROUTES: tuple[Route, ...] = (
    *login_pages.ROUTES,
    *authorization_pages.ROUTES,
    *export_page.ROUTES,
    *import_page.ROUTES,
    *job_pages.ROUTES,
    *job_live.ROUTES,
    *overview_page.ROUTES,
    *dead_letter_pages.ROUTES,
    *job_action_pages.ROUTES,
    *job_edit_page.ROUTES,
    *lag_page.ROUTES,
    *people_page.ROUTES,
    *mapping_page.ROUTES,
    *user_pages.ROUTES,
)

HEADERS = {
    "Content-Security-Policy": "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; "
    "img-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
    "Cross-Origin-Opener-Policy": "same-origin",
    # With `no-referrer` browsers say of no form where it is from: their Origin is `null` then.
    "Referrer-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Cache-Control": "no-store",
}
NO_ANSWER = "Kafka does not answer"
NOT_NOW = (PublishError, ReadError, ReplayError, SnapshotError, TransactionError, TimeoutError, KafkaException)


def application(console: Console) -> web.Application:
    """Return the application with all routes."""
    app = web.Application(client_max_size=MAX_FORM_BYTES)
    app.on_response_prepare.append(_with_headers)
    app.on_shutdown.append(lambda _app: _end_live_pages(console))
    environment = aiohttp_jinja2.setup(
        app,
        loader=jinja2.FileSystemLoader(HERE / "templates"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["utc"] = lambda at: Markup("<time>{}</time>").format(utc_text(at))
    environment.globals["form_token"] = lambda visit: form_token(console.key, visit.cookie)
    environment.globals["may"] = lambda visit, role: visit.user is not None and may(visit.user.role, role)
    for route in ROUTES:
        app.router.add_route(route.method, route.path, _entry(console, route))
    add_routes(app, console, OPERATIONS, openapi_json().encode())
    for name in ("style.css", "live.js"):
        app.router.add_get(f"/{name}", _file(name))
    app.router.add_get(r"/{path:[\s\S]*}", _entry(console, Route("GET", "", None, _nothing_here)))
    return app


async def _with_headers(_request: web.Request, response: web.StreamResponse) -> None:
    response.headers.update(HEADERS)


def _entry(console: Console, route: Route) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
    async def handle(request: web.Request) -> web.StreamResponse:
        if not is_ours(request.host, console.address):
            return web.Response(status=421, text="This is another host's name.")
        cookie = console.cookie_of(request)
        given = console.identified(request)
        found = console.sessions.find(cookie, console.clock(), given)
        # Another site's form comes without the cookie: an answer that set one would end the session that there is.
        is_new = request.method == "GET" and (not cookie or (given is not None and found is None))
        if is_new and given is not None:
            cookie = console.sessions.begin(given, console.clock(), by_proxy=True)
            found = console.sessions.find(cookie, console.clock(), given)
        session, user = found or (None, None)
        cookie = cookie or new_cookie()
        visit = Visit(request, console, session, user, cookie, MultiDictProxy(MultiDict()))
        try:
            if request.method == "POST":
                visit = replace(visit, form=await _form(request))
        except web.HTTPRequestEntityTooLarge:
            return visit.sentence(413, "This form is too large", "Nothing was changed.")
        except (ValueError, web.RequestPayloadError):
            return visit.sentence(400, "This form cannot be read", "Nothing was changed: it is none of the console's.")
        response = await _answered(route, visit)
        if is_new and not response.prepared and console.cookie_name not in response.cookies:
            set_cookie(response, console, cookie)
        return response

    return handle


async def _form(request: web.Request) -> MultiDictProxy[str]:
    """Return the fields of a form, as our pages send them: no other kind is read, so that nothing odd is taken apart.

    Raises ValueError, RequestPayloadError, HTTPRequestEntityTooLarge.
    """
    sent = await request.read()
    if sent and (
        request.content_type != FORM or request.charset not in (None, "utf-8") or "Content-Encoding" in request.headers
    ):
        raise ValueError("this is no form")
    fields = parse_qsl(sent.decode(), keep_blank_values=True, errors="strict", max_num_fields=MAX_FIELDS)
    return MultiDictProxy(MultiDict(fields))


async def _answered(route: Route, visit: Visit) -> web.StreamResponse:
    """Return the page, or why there is none: nobody is logged in, the role, the form's token, no answer."""
    console = visit.console
    if route.method == "POST" and not is_form_token(console.key, visit.cookie, visit.text("form_token")):
        return visit.sentence(403, "This form is too old", "Nothing was changed: open the page again and repeat it.")
    if route.method == "POST" and not is_from_here(visit.request.headers.get("Origin"), console.address):
        return visit.sentence(403, "This form is another site's", "Nothing was changed: open the page here.")
    if route.needs is not None:
        if visit.user is None:
            return go_to("/login")
        if not may(visit.user.role, route.needs):
            wanted = f"This needs the role {route.needs}, and {visit.user.name} is {visit.user.role}."
            return visit.sentence(403, "Not allowed", wanted)
        if route.method == "POST" and console.reads.problem is not None:
            return visit.sentence(503, NO_ANSWER, "Nothing was changed: look again soon.")
    try:
        with acting(Actor(visit.user.name if visit.user else "nobody who is logged in", "console")):
            response = await route.handle(visit)
    except LookupError as fault:
        return visit.sentence(404, "Not found", str(fault.args[0]) if fault.args else "It is not there.")
    except CampaignMonitorError as fault:
        return visit.sentence(502, "Campaign Monitor cannot be read", f"{fault}.")
    except SealError as fault:
        return visit.sentence(500, "Secrets cannot be used", str(fault))
    except NOT_NOW as failure:
        is_change = route.method == "POST"
        log.warning("change not made" if is_change else "page not read", path=route.path, reason=type(failure).__name__)
        outcome = "Nothing was changed, or it is not known" if is_change else "This page needs it"
        return visit.sentence(503, NO_ANSWER, f"{outcome}: look again soon.", again=not is_change)
    except web.HTTPException:
        raise
    except Exception as error:
        log.error("page failed", path=route.path, error=type(error).__name__, at=place_of(error))
        return visit.sentence(500, "This should not happen", "The console's log names the place.")
    if route.method == "POST" and route.changes and response.status < 400:
        await console.caught_up()
        what = visit.request.match_info.get("id")
        log.info("changed in the console", user=visit.user.name if visit.user else None, path=route.path, id=what)
    return response


def _file(name: str) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
    async def send(_request: web.Request) -> web.StreamResponse:
        return web.FileResponse(HERE / name)

    return send


async def _end_live_pages(console: Console) -> None:
    console.collector.end()


async def _nothing_here(visit: Visit) -> web.StreamResponse:
    return visit.sentence(404, "Not found", "There is no such page.")
