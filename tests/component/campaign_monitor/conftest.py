"""Small servers of one handler, and our client connected to one."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

import pytest
from aiohttp import web
from pydantic import SecretStr

from connectors.campaign_monitor.client.api import CampaignMonitor
from connectors.campaign_monitor.credentials import ApiKey, CampaignMonitorSettings

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


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


Serving = Callable[..., AbstractAsyncContextManager[tuple[CampaignMonitor, Server]]]


@pytest.fixture(name="serving")
def serving_fixture() -> Serving:
    """A context manager: a server of this handler, and a client connected to it."""
    return serving


@pytest.fixture(name="answering")
def answering_fixture() -> Callable[..., Handler]:
    """A handler that always gives the same answer."""
    return answering
