"""A call and the reading of its answer, for all endpoints."""

from collections.abc import AsyncIterator, Awaitable, Callable
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


async def pages(fetch: Callable[[Paging], Awaitable[Page]], start: Paging) -> AsyncIterator[Page]:
    """Yield every page from `start` on: `pages(lambda p: api.lists.subscribers(list_id, "active", p), Paging())`.

    Ends at the last page that the answers name or at an empty one; what lies behind the last is not documented.
    """
    paging = start
    while True:
        page = await fetch(paging)
        yield page
        if page.last:
            return
        paging = paging.at(paging.page + 1)
