"""One way in for every request of the API: who asks, what was sent, and each error as a problem."""

import traceback
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime

import structlog
from aiohttp import web
from pydantic import BaseModel, ValidationError

from connectors.control.audit import Actor, acting
from streams.console.access.rules import is_form_token, is_ours, may
from streams.console.api.operation import PREFIX, ApiCaller, Call, Found, Operation, query_values
from streams.console.api.problems import ApiRefusal, problem_response, refusal_of, validation_faults
from streams.console.context import Console
from streams.control.tokens import token_of

log = structlog.get_logger(__name__)

FORM_TOKEN = "X-Form-Token"  # noqa: S105  (a header's name)
JSON = ("application/json", "application/merge-patch+json")
SAFE = ("GET", "HEAD")


def add_routes(app: web.Application, console: Console, operations: Sequence[Operation], document: bytes) -> None:
    """Add the operations, their description, and what answers every other request below `/api`."""
    by_path: dict[str, list[Operation]] = {}
    for operation in operations:
        by_path.setdefault(operation.path, []).append(operation)
    app.router.add_get(f"{PREFIX}/openapi.json", _described(document))
    # A fixed part of a path comes before a name: the router takes the first that matches.
    for path in sorted(by_path, key=lambda path: [part.startswith("{") for part in path.split("/")]):
        for operation in by_path[path]:
            app.router.add_route(operation.method, PREFIX + path, _entry(console, operation))
            if operation.method == "GET":
                app.router.add_route("HEAD", PREFIX + path, _entry(console, operation))
        methods = {operation.method for operation in by_path[path]}
        allowed = ", ".join(sorted(methods | ({"HEAD"} if "GET" in methods else set())))
        app.router.add_route("*", PREFIX + path, _refused(405, f"Here are: {allowed}.", {"Allow": allowed}))
    app.router.add_route(
        "*", r"/api/{path:[\s\S]*}", _refused(404, f"There is nothing here: see {PREFIX}/openapi.json.")
    )


def _described(document: bytes) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
    async def handle(_request: web.Request) -> web.StreamResponse:
        return web.Response(body=document, content_type="application/json")

    return handle


def _refused(
    status: int, detail: str, headers: dict[str, str] | None = None
) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
    async def handle(_request: web.Request) -> web.StreamResponse:
        return problem_response(ApiRefusal(status, detail, headers=headers))

    return handle


def _entry(console: Console, operation: Operation) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
    async def handle(request: web.Request) -> web.StreamResponse:
        try:
            caller = _allowed(console, operation, request)
            call = Call(request, console, caller, await _body(operation, request), _query(operation, request))
            with acting(Actor(caller.name, "api")):
                found = await operation.handle(call)
        except Exception as error:
            refusal = refusal_of(error) or _unexpected(operation, error)
            return problem_response(refusal)
        if request.method not in SAFE:
            log.info("changed by the API", caller=caller.name, operation=operation.name, path=operation.path)
        return _response(operation, found if isinstance(found, Found) else Found(found))

    return handle


def caller_of(console: Console, request: web.Request) -> ApiCaller:
    """Return who makes a request, by token or by session. Raises ApiRefusal where that is nobody."""
    given = request.headers.get("Authorization")
    if given is not None:
        kind, _, text = given.partition(" ")
        now = datetime.fromtimestamp(console.clock(), UTC)
        token = token_of(console.users, text.strip(), now) if kind.lower() == "bearer" else None
        if token is None:
            raise _nobody("The token is wrong, was revoked, or has ended.")
        return ApiCaller(f"token:{token.id}", token.role)
    cookie = console.cookie_of(request)
    by_proxy = console.identified(request)
    found = console.sessions.find(cookie, console.clock(), by_proxy)
    if found is None and by_proxy is not None:
        return ApiCaller(by_proxy.name, by_proxy.role, "")  # reads; for changes a session's form token is needed
    if found is None:
        raise _nobody("A token is needed, or a session of the console.")
    return ApiCaller(found[1].name, found[1].role, cookie)


def _nobody(detail: str) -> ApiRefusal:
    return ApiRefusal(401, detail, headers={"WWW-Authenticate": 'Bearer realm="cm-streams"'})


def _allowed(console: Console, operation: Operation, request: web.Request) -> ApiCaller:
    if not is_ours(request.host, console.address):
        raise ApiRefusal(421, "This is another host's name.")
    caller = caller_of(console, request)
    if not may(caller.role, operation.needs):
        raise ApiRefusal(403, f"This needs the role {operation.needs}, and {caller.name} is {caller.role}.")
    is_change = request.method not in SAFE
    if is_change and caller.cookie is not None:
        given = request.headers.get(FORM_TOKEN, "")
        if not is_form_token(console.key, caller.cookie, given):
            raise ApiRefusal(403, f"A change by session needs its token in {FORM_TOKEN}: see {PREFIX}/me.")
    if is_change and console.reads.problem is not None:
        raise ApiRefusal(503, "Kafka does not answer. Nothing was changed: look again soon.")
    return caller


async def _body(operation: Operation, request: web.Request) -> BaseModel | None:
    if "Content-Encoding" in request.headers:
        raise ApiRefusal(415, "A body is sent as it is, without Content-Encoding.")
    try:
        sent = await request.read()
    except web.RequestPayloadError:
        raise ApiRefusal(400, "The body did not come as its headers say.") from None
    if operation.body is None:
        if sent:
            raise ApiRefusal(400, "This takes no body.")
        return None
    if request.content_type not in JSON or request.charset not in (None, "utf-8"):
        raise ApiRefusal(415, f"A body is {' or '.join(JSON)}, in UTF-8.", headers={"Accept": ", ".join(JSON)})
    try:
        return operation.body.model_validate_json(sent)
    except ValidationError as error:
        is_json = all(fault["type"] != "json_invalid" for fault in error.errors(include_url=False))
        detail = "The body is not as it should be." if is_json else "The body is no JSON."
        raise ApiRefusal(422 if is_json else 400, detail, validation_faults(error)) from None


def _query(operation: Operation, request: web.Request) -> BaseModel | None:
    model = operation.query
    if model is None:
        if request.query:
            raise ApiRefusal(400, "This takes no query parameters.")
        return None
    try:
        return model.model_validate(query_values(model, request))
    except ValidationError as error:
        detail = "The query parameters are not as they should be."
        raise ApiRefusal(400, detail, validation_faults(error)) from None


def _unexpected(operation: Operation, error: Exception) -> ApiRefusal:
    """Log where an error that nobody expected is from; its text may hold a secret or an address."""
    log.error("request failed", operation=operation.name, error=type(error).__name__, at=place_of(error))
    return ApiRefusal(500, "This should not happen; the console's log names the place.")


def place_of(error: Exception) -> str:
    """Return where an error is from, as `file:line`."""
    at = traceback.extract_tb(error.__traceback__)[-1]
    return f"{at.filename.rpartition('/')[2]}:{at.lineno}"


def _response(operation: Operation, found: Found) -> web.Response:
    headers = {}
    if found.etag is not None:
        headers["ETag"] = f'"{found.etag}"'
    if found.location is not None:
        headers["Location"] = PREFIX + found.location
    if found.body is None:
        return web.Response(status=204, headers=headers)
    body = found.body.model_dump_json().encode()
    return web.Response(status=operation.status, body=body, content_type="application/json", headers=headers)
