"""HTTP responses: JSON, bare strings, empty bodies, XML for those who forget the suffix, and broken ones."""

import asyncio
from typing import Any, NamedTuple
from xml.sax.saxutils import escape

import orjson
from aiohttp import web

from connectors.devkit.simulator.protocol.call import EndpointResult
from connectors.devkit.simulator.protocol.errors import SimulatedApiError
from connectors.devkit.simulator.protocol.faults import Fault

_JSON = "application/json; charset=utf-8"
_HTML_PAGE = b"<!DOCTYPE html><html><head><title>Error</title></head><body><h1>Something went wrong</h1></body></html>"


class Reply(NamedTuple):
    """An answer before it is encoded; `code` is Campaign Monitor's for errors."""

    status: int
    body: object
    empty: bool
    headers: dict[str, str]
    code: int | None = None


def reply_of(answer: EndpointResult, headers: dict[str, str]) -> Reply:
    """Return the reply of a call that worked."""
    return Reply(answer.status, answer.body, answer.empty, headers)


def error_reply(error: SimulatedApiError, headers: dict[str, str] | None = None) -> Reply:
    """Return the reply of a call that was refused."""
    return Reply(error.status, error.body(), False, headers or {}, error.code)


def web_response(
    request: web.Request, reply: Reply, wants_json: bool, *, gzip: bool = False, pretty: bool = False
) -> web.Response:
    """Encode a reply."""
    body, kind = _encoded(reply, wants_json, pretty)
    response = web.Response(status=reply.status, body=body, headers={**reply.headers, "Content-Type": kind})
    if gzip and len(body) > 1_000 and "gzip" in request.headers.get("Accept-Encoding", ""):
        response.enable_compression(web.ContentCoding.gzip)
    return response


async def apply_fault(request: web.Request, fault: Fault, reply: Reply | None = None) -> web.StreamResponse | None:
    """Apply a fault. None: go on and answer as always. `reply` is given when the write has been applied."""
    if fault.kind == "delay":
        await asyncio.sleep(fault.seconds)
        return None
    if fault.kind == "status":
        return _broken_status(fault)
    if fault.kind == "hang":
        await asyncio.sleep(fault.seconds)
        return _cut(request)
    if fault.kind == "reset":
        return _cut(request)
    if fault.kind in ("truncate", "slow") and reply is not None:
        return await _partly(request, reply, fault)
    return None


def _encoded(reply: Reply, wants_json: bool, pretty: bool) -> tuple[bytes, str]:
    if reply.empty:
        return b"", _JSON
    if not wants_json:
        return as_xml(orjson.loads(orjson.dumps(reply.body))).encode(), "application/xml; charset=utf-8"
    return orjson.dumps(reply.body, option=orjson.OPT_INDENT_2 if pretty else None), _JSON


def _broken_status(fault: Fault) -> web.Response:
    headers = dict(fault.headers)
    match fault.body:
        case "html":
            body, kind = _HTML_PAGE, "text/html; charset=utf-8"
        case "empty":
            body, kind = b"", "text/plain"
        case "text":
            body, kind = fault.text.encode(), "text/plain; charset=utf-8"
        case _:
            code = fault.code if fault.code is not None else fault.status
            body, kind = orjson.dumps({"Code": code, "Message": fault.message or f"Injected {code}"}), _JSON
    headers.setdefault("Content-Type", kind)
    return web.Response(status=fault.status, body=body, headers=headers)


def _cut(request: web.Request) -> web.Response:
    if request.transport is not None:
        request.transport.abort()
    return web.Response(status=500)  # goes nowhere: the connection was cut


async def _partly(request: web.Request, reply: Reply, fault: Fault) -> web.StreamResponse:
    body, kind = _encoded(reply, True, False)
    response = web.StreamResponse(status=reply.status, headers={"Content-Type": kind})
    response.content_length = len(body)
    try:
        await response.prepare(request)
        if fault.kind == "truncate":
            await response.write(body[: len(body) // 2])
            if request.transport is not None:
                request.transport.close()
            return response
        for start in range(0, len(body), fault.bytes_per_second):
            await response.write(body[start : start + fault.bytes_per_second])
            await asyncio.sleep(1)
    except (ConnectionResetError, OSError):
        pass
    return response


def as_xml(body: Any, root: str = "Result") -> str:
    """Return a JSON value as an XML document; list elements are called `Item`."""
    return f'<?xml version="1.0" encoding="utf-8"?>\n{_element(root, body)}'


def _element(name: str, value: Any) -> str:
    if isinstance(value, dict):
        inner = "".join(_element(key, item) for key, item in value.items())
    elif isinstance(value, list):
        inner = "".join(_element("Item", item) for item in value)
    else:
        inner = "" if value is None else escape(str(value))
    return f"<{name}>{inner}</{name}>"
