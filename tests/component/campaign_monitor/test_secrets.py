"""No credential is ever in a log line or an exception text, whatever the server does with it."""

import asyncio
import logging
import traceback
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import orjson
import pytest
import structlog
from aiohttp import web
from pydantic import SecretStr
from structlog.testing import LogCapture

from connectors.campaign_monitor import oauth
from connectors.campaign_monitor.account import Account
from connectors.campaign_monitor.client.api import CampaignMonitor
from connectors.campaign_monitor.client.transport import Transport
from connectors.campaign_monitor.credentials import ApiKey, CampaignMonitorSettings, Credential, OAuth, Tokens
from connectors.campaign_monitor.errors.exceptions import CampaignMonitorError
from connectors.campaign_monitor.limits.limiter import Limiter

CANARIES = ("canary+key/1==", "Y2FuYXJ5", "canary-access", "canary-refresh", "canary-hook", "canary-client-key")


async def echo(request: web.Request) -> web.Response:
    """Quote everything that came in an error."""
    quoted = f"{dict(request.headers)} {request.path_qs} {(await request.read()).decode()}"
    return web.json_response({"Code": 999, "Message": quoted}, status=400)


async def expired(request: web.Request) -> web.Response:
    return web.json_response({"Code": 121, "Message": str(request.headers)}, status=401)


async def html(request: web.Request) -> web.Response:
    return web.Response(status=500, text=f"<html>{dict(request.headers)}")


async def cut(request: web.Request) -> web.Response:
    assert request.transport is not None
    request.transport.abort()
    return web.Response()


async def bad_header(request: web.Request) -> web.Response:
    assert request.transport is not None
    request.transport.write(b"HTTP/1.1 200 OK\r\nBad\x00 Header\r\n\r\n")  # type: ignore[attr-defined]
    request.transport.close()
    await asyncio.sleep(0)
    return web.Response()


async def details(request: web.Request) -> web.Response:
    basic = {"ClientID": "c", "TimeZone": "(GMT) Casablanca"}
    return web.json_response({"ApiKey": "canary-client-key", "BasicDetails": basic})


@asynccontextmanager
async def serving(handler: Callable[[web.Request], Awaitable[web.Response]]) -> AsyncIterator[str]:
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", handler)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


def credential(kind: str, transport: Transport, settings: CampaignMonitorSettings) -> Credential:
    if kind == "key":
        return ApiKey(SecretStr("canary+key/1=="))

    async def store(tokens: Tokens) -> None:
        raise RuntimeError(tokens.access_token.get_secret_value())

    return OAuth(
        Tokens(SecretStr("canary-access"), SecretStr("canary-refresh"), 4e9),
        refresh=lambda old, now: oauth.refresh(transport, settings, old, now),
        store=store,
    )


@pytest.mark.parametrize("handler", [echo, expired, html, cut, bad_header, details])
@pytest.mark.parametrize("kind", ["key", "oauth"])
async def test_canaries_stay_inside(
    handler: Callable[[web.Request], Awaitable[web.Response]], kind: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    capture = LogCapture()
    structlog.configure(processors=[capture])
    texts: list[str] = []
    try:
        async with serving(handler) as url:
            settings = CampaignMonitorSettings(base_url=f"{url}/api/v3.3", oauth_url=f"{url}/oauth")
            async with Transport(settings) as transport:
                cred = credential(kind, transport, settings)
                api = CampaignMonitor(Account(transport, cred, settings, Limiter()))
                for call in (
                    lambda: api.clients.details("c"),
                    lambda: api.webhooks.create("l", "https://us.example/canary-hook"),
                    lambda: api.webhooks.all("l"),
                ):
                    try:
                        texts.append(repr(await call()))
                    except CampaignMonitorError as error:
                        texts += [str(error), repr(error), "".join(traceback.format_exception(error))]
                texts += [repr(cred), repr(settings), repr(api), repr(transport)]
    finally:
        structlog.reset_defaults()
    texts += [str(entry) for entry in capture.entries] + [record.getMessage() for record in caplog.records]
    assert len(texts) > 5
    held = orjson.dumps(texts).decode()
    for canary in CANARIES:
        assert canary not in held, canary
