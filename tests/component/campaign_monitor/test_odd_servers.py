"""The client against small servers that misbehave: every oddity has its class, in time, after one attempt."""

import asyncio
import gzip
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from aiohttp import web
from pydantic import SecretStr

from connectors.campaign_monitor.auth import ApiKey
from connectors.campaign_monitor.client import CampaignMonitor, pages
from connectors.campaign_monitor.errors import (
    ApiError,
    CampaignMonitorError,
    MalformedAnswer,
    NotSent,
    OutcomeUnknown,
    RateLimited,
    ReconnectNeeded,
    RequestRejected,
    Unavailable,
)
from connectors.campaign_monitor.requests import Paging, SubscriberWrite
from connectors.campaign_monitor.settings import CampaignMonitorSettings
from connectors.campaign_monitor.verdicts import Malformed, RowRefused, Transient

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
WRITE = SubscriberWrite("a+b@x.example")


class Server:
    """One handler for every path, and a count of what arrived."""

    def __init__(self, handler: Handler) -> None:
        self._handler = handler
        self.requests: list[web.Request] = []
        self.url = ""

    async def handle(self, request: web.Request) -> web.StreamResponse:
        await request.read()
        self.requests.append(request)
        return await self._handler(request)


@asynccontextmanager
async def serving(handler: Handler, **changed: Any) -> AsyncIterator[tuple[CampaignMonitor, Server]]:
    server = Server(handler)
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", server.handle)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    port = runner.addresses[0][1]
    settings = CampaignMonitorSettings(base_url=f"http://127.0.0.1:{port}/api/v3.3", **changed)
    try:
        async with CampaignMonitor.open(ApiKey(SecretStr("canary-key")), settings) as api:
            yield api, server
    finally:
        await runner.cleanup()


def answering(status: int, body: bytes = b"", **headers: str) -> Handler:
    async def handler(_: web.Request) -> web.StreamResponse:
        return web.Response(status=status, body=body, headers={k.replace("_", "-"): v for k, v in headers.items()})

    return handler


@pytest.mark.parametrize(
    ("status", "body", "error"),
    [
        (200, b"<html>welcome to this hotel</html>", MalformedAnswer),
        (200, b'{"SystemDate": "2026-', MalformedAnswer),
        (200, b"", MalformedAnswer),
        (200, b"[]", MalformedAnswer),
        (204, b"", MalformedAnswer),
        (400, b"<html>", RequestRejected),
        (400, b'{"Code": 5', RequestRejected),
        (401, b'{"Code":100,"Message":"Invalid API Key"}', ReconnectNeeded),
        (429, b"", RateLimited),
        (500, b"<html>Sorry</html>", Unavailable),
        (500, b"", Unavailable),
        (502, b"\xff\xfe\x00", Unavailable),
        (504, b"Gateway Timeout", Unavailable),
    ],
)
async def test_bodies(status: int, body: bytes, error: type[CampaignMonitorError]) -> None:
    async with serving(answering(status, body)) as (api, server):
        with pytest.raises(error):
            await api.systemdate()
        assert len(server.requests) == 1, "one attempt"


async def test_a_page_of_html_is_no_success_for_a_write_that_answers_nothing() -> None:
    async with serving(answering(200, b"<html>")) as (api, _):
        with pytest.raises(MalformedAnswer):
            await api.subscribers.update("l", "a@x.example", WRITE)
    async with serving(answering(204)) as (api, _):
        await api.subscribers.update("l", "a@x.example", WRITE)


async def test_a_redirect_is_not_followed() -> None:
    async with serving(answering(302, Location="/elsewhere")) as (api, server):
        with pytest.raises(ApiError) as caught:
            await api.systemdate()
        assert isinstance(caught.value.verdict, Malformed)
        assert len(server.requests) == 1


async def test_an_answer_that_is_too_long_is_refused() -> None:
    async with serving(answering(200, b'"' + b"x" * 5000 + b'"'), max_response_bytes=4096) as (api, _):
        with pytest.raises(MalformedAnswer, match="CM_MAX_RESPONSE_BYTES"):
            await api.systemdate()
    bomb = answering(200, gzip.compress(b" " * 50_000_000), Content_Encoding="gzip")
    async with serving(bomb, max_response_bytes=1_000_000) as (api, _):
        with pytest.raises(MalformedAnswer):
            await api.systemdate()


async def test_gzip_is_asked_for_and_understood() -> None:
    body = gzip.compress(b'{"SystemDate":"2026-02-03 14:05:00"}')
    async with serving(answering(200, body, Content_Encoding="gzip")) as (api, server):
        assert await api.systemdate() == "2026-02-03 14:05:00"
        assert server.requests[0].headers["Accept-Encoding"] == "gzip"
        assert server.requests[0].headers["Accept"] == "application/json"
        assert server.requests[0].path == "/api/v3.3/systemdate.json"


async def test_one_byte_a_second_is_bounded() -> None:
    async def drip(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Length": "1000"})
        await response.prepare(request)
        for _ in range(100):
            await response.write(b" ")
            await asyncio.sleep(0.05)
        return response

    async with serving(drip, read_timeout_seconds=0.3, connect_timeout_seconds=0.2) as (api, _):
        began = time.monotonic()
        with pytest.raises(OutcomeUnknown) as caught:
            await api.systemdate()
        assert time.monotonic() - began < 3
        assert caught.value.verdict == Transient("timeout", outcome_unknown=True)


async def test_a_server_that_hangs() -> None:
    released = asyncio.Event()

    async def hang(_: web.Request) -> web.StreamResponse:
        await released.wait()
        return web.Response()

    async with serving(hang, read_timeout_seconds=0.2, connect_timeout_seconds=0.1) as (api, server):
        with pytest.raises(OutcomeUnknown):
            await api.subscribers.add("l", WRITE)
        released.set()
        assert len(server.requests) == 1


@pytest.mark.parametrize("method", ["add", "update", "delete", "get"])
async def test_a_cut_connection_is_one_attempt_whatever_the_method(method: str) -> None:
    """aiohttp would repeat PUT, DELETE and GET by itself on a kept connection."""
    good = True

    async def handler(request: web.Request) -> web.StreamResponse:
        if good:
            return web.json_response({"SystemDate": "2026-02-03 14:05:00"})
        assert request.transport is not None
        request.transport.abort()
        return web.Response()

    async with serving(handler) as (api, server):
        await api.systemdate()  # the connection is kept
        good = False
        calls: dict[str, Callable[[], Awaitable[object]]] = {
            "add": lambda: api.subscribers.add("l", WRITE),
            "update": lambda: api.subscribers.update("l", "a@x.example", WRITE),
            "delete": lambda: api.subscribers.delete("l", "a@x.example"),
            "get": lambda: api.subscribers.get("l", "a@x.example"),
        }
        with pytest.raises(OutcomeUnknown) as caught:
            await calls[method]()
        assert caught.value.verdict == Transient("network", outcome_unknown=True)
        assert len(server.requests) == 2


async def test_a_body_that_is_cut() -> None:
    async def cut(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Length": "1000"})
        await response.prepare(request)
        await response.write(b'{"FailureDetails"')
        assert request.transport is not None
        request.transport.abort()
        return response

    async with serving(cut) as (api, _):
        with pytest.raises(OutcomeUnknown):
            await api.subscribers.import_("l", [WRITE])


async def test_nobody_listens() -> None:
    settings = CampaignMonitorSettings(base_url="http://127.0.0.1:1/api/v3.3")
    async with CampaignMonitor.open(ApiKey(SecretStr("k")), settings) as api:
        with pytest.raises(NotSent) as caught:
            await api.subscribers.add("l", WRITE)
        assert caught.value.verdict == Transient("network", outcome_unknown=False)


async def test_no_http_at_all() -> None:
    async def babble(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(10)
        writer.write(b"\x16\x03\x01 this is no http\r\n\r\n")
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(babble, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        settings = CampaignMonitorSettings(base_url=f"http://127.0.0.1:{port}")
        async with CampaignMonitor.open(ApiKey(SecretStr("k")), settings) as api:
            with pytest.raises(OutcomeUnknown):
                await api.systemdate()


async def test_addresses_arrive_as_they_are() -> None:
    async with serving(answering(200)) as (api, server):
        await api.subscribers.delete("l/../x", "a+b&c=ü@x.example")
        assert server.requests[0].query["email"] == "a+b&c=ü@x.example"
        assert server.requests[0].raw_path.startswith("/api/v3.3/subscribers/l%2F..%2Fx.json?")
        await api.lists.delete_custom_field("l", "[Shoe Size]")
        assert "%5BShoe%20Size%5D.json" in server.requests[1].raw_path


async def test_a_partial_failure_is_a_result_and_an_odd_one_is_not() -> None:
    body = (
        b'{"Code":210,"Message":"m","ResultData":{"FailureDetails":[{"EmailAddress":"b@","Code":206,"Message":"x"}],'
        b'"TotalUniqueEmailsSubmitted":2,"TotalExistingSubscribers":0,"TotalNewSubscribers":1,'
        b'"DuplicateEmailsInSubmission":[]}}'
    )
    async with serving(answering(400, body)) as (api, _):
        result = await api.subscribers.import_("l", [WRITE, SubscriberWrite("b@")])
        assert [(failure.email, failure.code) for failure in result.failures] == [("b@", 206)]
    async with serving(answering(400, b'{"Code":210,"Message":"m"}')) as (api, _):
        with pytest.raises(MalformedAnswer, match="210"):
            await api.subscribers.import_("l", [WRITE])


async def test_rate_headers_hold_back_the_next_call() -> None:
    times: list[float] = []

    async def handler(_: web.Request) -> web.StreamResponse:
        times.append(time.monotonic())
        refused = len(times) == 1
        headers = {"X-RateLimit-Limit": "1", "X-RateLimit-Remaining": "0", "X-RateLimit-Reset": "1"}
        return web.json_response(
            {"Code": 429} if refused else {"SystemDate": "x"},
            status=429 if refused else 200,
            headers=headers if refused else {},
        )

    async with serving(handler) as (api, _):
        with pytest.raises(RateLimited) as caught:
            await api.systemdate()
        assert caught.value.verdict == Transient("rate_limited", after=1)
        assert await api.systemdate() == "x"
        assert times[1] - times[0] >= 1.0


async def test_one_addresss_throttle_holds_nobody_else_back() -> None:
    async def handler(request: web.Request) -> web.StreamResponse:
        if request.path.endswith("systemdate.json"):
            return web.json_response({"SystemDate": "x"})
        text = "Subscriber was added too many times too quickly, try again later."
        return web.json_response({"Code": 429, "Message": text}, status=429)

    async with serving(handler) as (api, _):
        for _ in range(3):
            with pytest.raises(RateLimited) as caught:
                await api.subscribers.add("l", WRITE)
            assert caught.value.verdict == Transient("subscriber_throttled")
        began = time.monotonic()
        await api.systemdate()
        assert time.monotonic() - began < 0.4


async def test_no_more_than_four_at_a_time() -> None:
    now = most = 0

    async def handler(_: web.Request) -> web.StreamResponse:
        nonlocal now, most
        now += 1
        most = max(most, now)
        await asyncio.sleep(0.01)
        now -= 1
        return web.json_response({"SystemDate": "x"})

    async with serving(handler) as (api, _):
        await asyncio.gather(*(api.systemdate() for _ in range(30)))
    assert most == 4


async def test_pages_end_where_the_answers_say() -> None:
    async def handler(request: web.Request) -> web.StreamResponse:
        number = int(request.query["page"])
        rows = [{"EmailAddress": f"{number}@x.example"}]
        return web.json_response({"Results": rows, "PageNumber": number, "NumberOfPages": 3, "PageSize": 1})

    async with serving(handler) as (api, server):
        read = [page async for page in pages(lambda p: api.lists.subscribers("l", "active", p), Paging(page_size=1))]
        assert [page.rows[0]["EmailAddress"] for page in read] == ["1@x.example", "2@x.example", "3@x.example"]
        assert len(server.requests) == 3
        assert server.requests[0].query["includetrackingpreference"] == "true"


async def test_a_row_refusal_is_said_about_the_row() -> None:
    async with serving(answering(400, b'{"Code":206,"Message":"x"}')) as (api, _):
        with pytest.raises(ApiError) as caught:
            await api.subscribers.add("l", WRITE)
        assert caught.value.verdict == RowRefused(206, "unsubscribed")
