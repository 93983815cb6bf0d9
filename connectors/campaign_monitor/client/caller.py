"""A call and the reading of its answer, for all endpoints."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable
from typing import Any, Protocol, TypeVar

from connectors.campaign_monitor.client.entities import Page
from connectors.campaign_monitor.client.requests import Paging, Request
from connectors.campaign_monitor.client.responses import document
from connectors.campaign_monitor.errors.exceptions import MalformedAnswer

T = TypeVar("T")


class Caller(Protocol):
    """What the endpoints need: one call, one attempt. Raises `errors.CampaignMonitorError`."""

    async def call(self, request: Request) -> bytes:
        """Make the call and return the body of a 2xx answer."""
        ...

    def wait(self) -> float:
        """Return the seconds until a call may start; 0 = now, infinity = once one in flight was answered."""
        ...


async def read(caller: Caller, request: Request, reader: Callable[[Any], T]) -> T:
    """Make the call and read its answer. Raises MalformedAnswer when `reader` cannot make sense of it."""
    body = await caller.call(request)
    try:
        return reader(document(body))
    except ValueError as reason:
        raise MalformedAnswer(request.operation, str(reason)) from None


async def done(caller: Caller, request: Request) -> None:
    """Make a call that answers nothing. Raises MalformedAnswer for a body that is no JSON: a proxy's page."""
    body = await caller.call(request)
    if body.strip():
        try:
            document(body)
        except ValueError as reason:
            raise MalformedAnswer(request.operation, str(reason)) from None


async def pages(
    fetch: Callable[[Paging], Coroutine[Any, Any, Page]], start: Paging, *, ahead: int = 0
) -> AsyncIterator[Page]:
    """Yield every page from `start` on: `pages(lambda p: api.lists.subscribers(list_id, "active", p), Paging())`.

    Ends at the last page that the answers name or at an empty one; what lies behind the last is not documented. So many
    pages that an answer names are asked for `ahead`, while the one before them is read.
    """
    paging, asked = start, deque([asyncio.create_task(fetch(start))])

    def ask_up_to(count: int, last: int) -> None:
        nonlocal paging
        while len(asked) < count and paging.page < last:
            paging = paging.at(paging.page + 1)
            asked.append(asyncio.create_task(fetch(paging)))

    try:
        while True:
            page = await asked.popleft()
            ask_up_to(ahead, page.pages)
            yield page
            if page.last:
                return
            ask_up_to(1, page.pages)
    finally:
        await _ended(asked)


async def side_by_side(*calls: Coroutine[Any, Any, Any]) -> list[Any]:
    """Make calls side by side and return their answers, in order; the first that fails ends the others."""
    tasks = [asyncio.create_task(call) for call in calls]
    try:
        return await asyncio.gather(*tasks)
    finally:
        await _ended(tasks)


async def _ended(tasks: Iterable[asyncio.Task[Any]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
