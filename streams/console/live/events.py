"""Parts of pages sent again after each reading, as server-sent events: rendered once, whoever many look at them."""

import asyncio
from collections.abc import Callable, Mapping
from typing import Any

import aiohttp_jinja2
from aiohttp import web

from streams.console.context import Console, Visit

MAX_OPEN = 500
"""Live pages of one process. Each is a connection that waits; beyond it pages show what was when they were opened."""
WRITE_SECONDS = 10.0
"""For a browser to take a part; one that went away in silence keeps its connection no longer."""

Values = Callable[[Console], Mapping[str, Any]]
"""What a part's template is filled with: the same for everybody who may see the page."""


class LiveEvents:
    """What one kind of page is sent, and how many of them are open."""

    def __init__(self) -> None:
        self._open = 0

    async def event(self, visit: Visit) -> bytes:
        """Return the newest events. Raises LookupError: there is nothing to show any more."""
        raise NotImplementedError

    def closed(self) -> None:
        """Nobody looks any more."""

    async def send(self, visit: Visit) -> web.StreamResponse:
        """Send events after each reading, until the session ends, the browser goes away, or the process stops."""
        if self._open >= MAX_OPEN:
            raise web.HTTPServiceUnavailable(headers={"Retry-After": "60"})
        self._open += 1
        try:
            first = await self.event(visit)
            response = web.StreamResponse(headers={"Content-Type": "text/event-stream; charset=utf-8"})
            await response.prepare(visit.request)
            await self._send_on(visit, response, first)
        finally:
            self._open -= 1
            if not self._open:
                self.closed()
        return response

    async def _send_on(self, visit: Visit, response: web.StreamResponse, event: bytes) -> None:
        console = visit.console
        try:
            while not console.collector.closed and console.sessions.is_open(visit.cookie, console.clock()):
                console.collector.look()
                await asyncio.wait_for(response.write(event), WRITE_SECONDS)
                await console.collector.change()
                event = await self.event(visit)
        except (ConnectionError, LookupError, TimeoutError):
            pass  # the browser went away, or what it shows


class LivePart(LiveEvents):
    """One part of a page, the same for everybody: its template, and what was rendered after the newest reading."""

    def __init__(self, template: str, values: Values) -> None:
        super().__init__()
        self._template = template
        self.values = values
        self._rendered: tuple[int, bytes] = -1, b""

    async def event(self, visit: Visit) -> bytes:
        """Return the part."""
        changes = visit.console.collector.changes
        if self._rendered[0] != changes:
            self._rendered = changes, event_of(rendered(visit, self._template, self.values(visit.console)))
        return self._rendered[1]


def rendered(visit: Visit, template: str, values: Mapping[str, Any]) -> str:
    """Return what a template makes of values."""
    text: str = aiohttp_jinja2.get_env(visit.request.app).get_template(template).render(values)
    return text


def event_of(text: str, name: str = "") -> bytes:
    """Return markup as an event (pure); without a name for the page's only live part."""
    lines = [f"data: {line}" for line in text.splitlines() if line.strip()]
    return "\n".join([*([f"event: {name}"] if name else []), *lines, "", ""]).encode()
