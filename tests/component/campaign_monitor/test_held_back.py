"""What the limiter does with the answers of a real server."""

import asyncio
import time
from typing import Any

import pytest
from aiohttp import web

from connectors.campaign_monitor.client.requests import SubscriberWrite
from connectors.campaign_monitor.errors.exceptions import RateLimited
from connectors.campaign_monitor.errors.verdicts import Transient

WRITE = SubscriberWrite("a+b@x.example")


async def test_rate_headers_hold_back_the_next_call(serving: Any) -> None:
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


async def test_one_addresss_throttle_holds_nobody_else_back(serving: Any) -> None:
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


async def test_no_more_than_four_at_a_time(serving: Any) -> None:
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
