"""Connections that hang, drip, break or are none: one attempt each, bounded in time."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from aiohttp import web
from pydantic import SecretStr

from connectors.campaign_monitor.client.api import CampaignMonitor
from connectors.campaign_monitor.client.requests import SubscriberWrite
from connectors.campaign_monitor.credentials import ApiKey, CampaignMonitorSettings
from connectors.campaign_monitor.errors.exceptions import NotSent, OutcomeUnknown
from connectors.campaign_monitor.errors.verdicts import Transient

WRITE = SubscriberWrite("a+b@x.example")


async def test_one_byte_a_second_is_bounded(serving: Any) -> None:
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


async def test_a_server_that_hangs(serving: Any) -> None:
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
async def test_a_cut_connection_is_one_attempt_whatever_the_method(serving: Any, method: str) -> None:
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


async def test_a_body_that_is_cut(serving: Any) -> None:
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
