"""From an HTTP request to an answer: version, credential, route, limits, faults, latency, the handler, the encoding.

The order is Campaign Monitor's: the credential is checked before the route, so a wrong key never learns what exists.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from urllib.parse import unquote

import orjson
from aiohttp import web

from connectors.devkit.simulator.account import accounts, custom_fields, lists, segments, webhooks
from connectors.devkit.simulator.campaigns import campaigns, report_pages
from connectors.devkit.simulator.data.entities import Json
from connectors.devkit.simulator.data.request_log import NOTHING_WRITTEN, WrittenAddresses
from connectors.devkit.simulator.protocol.call import ApiCall, Endpoint, EndpointResult, EndpointRouter
from connectors.devkit.simulator.protocol.credentials import Identity
from connectors.devkit.simulator.protocol.errors import SimulatedApiError
from connectors.devkit.simulator.protocol.faults import Fault
from connectors.devkit.simulator.protocol.responses import Reply, apply_fault, error_reply, reply_of, web_response
from connectors.devkit.simulator.state import SimulatorState
from connectors.devkit.simulator.subscribers import listings, subscribers

ROUTES = (
    *accounts.ACCOUNT_ROUTES,
    *accounts.CLIENT_ROUTES,
    *lists.ROUTES,
    *custom_fields.ROUTES,
    *segments.ROUTES,
    *webhooks.ROUTES,
    *subscribers.SUBSCRIBER_ROUTES,
    *subscribers.IMPORT_ROUTES,
    *listings.LISTING_ROUTES,
    *listings.HISTORY_ROUTES,
    *listings.SUPPRESSION_ROUTES,
    *campaigns.ROUTES,
    *report_pages.CAMPAIGN_REPORT_ROUTES,
    *report_pages.JOURNEY_ROUTES,
)
"""Every endpoint of the API that the simulator answers."""

Do = Callable[[str, Json], object]
_LARGE_CALL = 100
"""Rows from which on a call's work is worth a look: in smaller ones it is lost in the latency."""


class Dispatcher:
    """Answers everything below `/api`. `do` carries out an act of `Controls` for faults that change data."""

    def __init__(self, state: SimulatorState, do: Do) -> None:
        self._state = state
        self._router = EndpointRouter(ROUTES)
        self._do = do
        self._seconds_per_row: dict[str, float] = {}
        """Endpoint -> what its handler takes for each subscriber."""
        self._booked_seconds = 0.0
        """What the handlers of the large calls that are waiting will take."""

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Answer one request."""
        state, arrived = self._state, time.monotonic()
        state.run_due()
        segments, wants_json = split_path(request)
        if len(segments) < 2 or not segments[1].startswith("v3."):
            return web_response(request, error_reply(SimulatedApiError(404)), True)
        try:
            identity: Identity | SimulatedApiError = state.keyring.identify(
                request.headers.get("Authorization"), state.clock.time()
            )
        except SimulatedApiError as error:
            identity = error
        found = self._router.find(request.method, segments[2:])
        raw = await request.read()
        call = None
        if found is not None and isinstance(identity, Identity):
            endpoint, path = found
            query = {name.lower(): value for name, value in request.query.items()}
            call = ApiCall(state, identity, path, query, raw, endpoint.argument)
            call.written = written_addresses(endpoint, call)
            state.request_log.calls[endpoint.name] += 1
        written = call.written if call is not None else NOTHING_WRITTEN
        route = found[0] if found is not None else None
        state.request_log.begin_call(written)
        try:
            fault = self._fault(request.method, segments, route, written)
            await self._await_turn(arrived, route, len(written.emails))
            return await self._answer(request, identity, route, call, fault, wants_json, arrived)
        finally:
            state.request_log.end_call(written)

    async def _answer(
        self,
        request: web.Request,
        identity: Identity | SimulatedApiError,
        route: Endpoint | None,
        call: ApiCall | None,
        fault: Fault | None,
        wants_json: bool,
        arrived: float,
    ) -> web.StreamResponse:
        log = self._state.request_log
        if fault is not None and fault.late:
            self._hold(identity, route, call, fault)
        if fault is not None and not fault.after:
            if fault.kind == "mutate":
                for verb, arguments in fault.acts:
                    self._do(verb, arguments)
            else:
                cut_short = await apply_fault(request, fault)
                if cut_short is not None:
                    return cut_short
        reply = await self._reply(identity, route, call)
        log.answers[f"{reply.status}/{reply.code}" if reply.code else str(reply.status)] += 1
        if fault is not None and (fault.after or fault.kind in ("truncate", "slow")):
            cut_short = await apply_fault(request, fault, reply)
            if cut_short is not None:
                return cut_short
        shown = reply.body.get("Results") if isinstance(reply.body, dict) else reply.body
        rows = shown if isinstance(shown, list) else call.written.emails if call is not None else ()
        await self._wait_for(arrived, len(rows))
        pretty = call is not None and call.wants("pretty")
        return web_response(request, reply, wants_json, gzip=self._state.settings.gzip, pretty=pretty)

    async def _await_turn(self, arrived: float, route: Endpoint | None, rows: int) -> None:
        """Wait until a write may be carried out: so early that the work, and that of others, lies within its latency.

        Without it calls that come together would be answered together, later than all of them are due.
        """
        work = self._seconds_per_row.get(route.name, 0.0) * rows if route is not None and rows >= _LARGE_CALL else 0.0
        self._booked_seconds += work
        try:
            await self._wait_for(arrived, rows, less=self._booked_seconds if work else 0.0)
        finally:
            self._booked_seconds -= work

    async def _wait_for(self, arrived: float, rows: int, *, less: float = 0.0) -> None:
        """Wait until a call of so many rows has taken what it takes at least, minus `less` seconds.

        By the monotonic clock: uvloop's own is that of the beginning of an iteration, before the work in it.
        """
        settings = self._state.settings
        due = arrived + settings.latency_ms / 1_000 + rows * settings.latency_us_per_row / 1_000_000 - less
        while (left := due - time.monotonic()) > 0:  # noqa: ASYNC110  (timers of uvloop may be early by half a ms)
            await asyncio.sleep(left)

    async def _reply(
        self, identity: Identity | SimulatedApiError, route: Endpoint | None, call: ApiCall | None
    ) -> Reply:
        if isinstance(identity, SimulatedApiError):
            return error_reply(identity)
        passes, headers = self._state.limits.call(self._state.clock.time())
        if not passes:
            return error_reply(SimulatedApiError(429), headers)
        try:
            if route is None or call is None:
                raise SimulatedApiError(404)
            if identity.scopes is not None and route.scope is not None and route.scope not in identity.scopes:
                raise SimulatedApiError(60)
            began = time.monotonic()
            answer = route.handler(call)
            if len(call.written.emails) >= _LARGE_CALL:
                self._seconds_per_row[route.name] = (time.monotonic() - began) / len(call.written.emails)
            return reply_of(await answer if isinstance(answer, Awaitable) else answer, headers)
        except SimulatedApiError as error:
            return error_reply(error, headers)

    def _hold(
        self, identity: Identity | SimulatedApiError, route: Endpoint | None, call: ApiCall | None, fault: Fault
    ) -> None:
        """Keep a write for later; calls that would be refused, and reads, leave nothing to apply."""
        if route is None or call is None or route.method == "GET" or not isinstance(identity, Identity):
            return
        if identity.scopes is not None and route.scope is not None and route.scope not in identity.scopes:
            return

        def apply() -> str:
            try:
                answer = route.handler(call)
            except SimulatedApiError as error:
                return f"{error.status}/{error.code}"
            return str(answer.status) if isinstance(answer, EndpointResult) else "200"

        self._state.late_calls.hold(route.name, written_addresses(route, call).named(), apply, fault.late_seconds)

    def _fault(
        self, method: str, segments: list[str], route: Endpoint | None, written: WrittenAddresses
    ) -> Fault | None:
        if not self._state.faults:
            return None
        path = "/" + "/".join(segments[2:])
        paths = [path, f"{path}.json"] + ([route.pattern] if route else [])
        fault = self._state.faults.next_for(method, paths, written.emails)
        if fault is not None:
            self._state.request_log.faults[fault.kind] += 1
        return fault


def split_path(request: web.Request) -> tuple[list[str], bool]:
    """Return the decoded segments without the suffix, and whether JSON is wanted."""
    parts = [unquote(part) for part in request.rel_url.raw_path.strip("/").split("/")]
    if parts[-1].endswith(".json"):
        parts[-1] = parts[-1].removesuffix(".json")
        return parts, True
    if parts[-1].endswith(".xml"):
        parts[-1] = parts[-1].removesuffix(".xml")
        return parts, False
    return parts, "application/json" in request.headers.get("Accept", "")


def written_addresses(route: Endpoint, call: ApiCall) -> WrittenAddresses:
    """Return which subscribers a call writes; nobody for reads and bodies that cannot be read."""
    if route.scope != "ImportSubscribers":
        return NOTHING_WRITTEN
    try:
        rows = call.body().get("subscribers")
        if rows is None:
            emails = [call.query.get("email") or call.body().get("emailaddress") or ""]
        else:
            emails = [row.get("EmailAddress") or row.get("emailaddress") or "" for row in rows]
    except (SimulatedApiError, AttributeError, TypeError, orjson.JSONDecodeError):
        return NOTHING_WRITTEN
    return WrittenAddresses(call.path.get("listid", ""), frozenset([str(email).strip().lower() for email in emails]))
