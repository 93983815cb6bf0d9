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


class LivePart:
    """A part of a page: its template, and what was rendered after the newest reading."""

    def __init__(self, template: str, values: Values) -> None:
        self._template = template
        self.values = values
        self._rendered: tuple[int, bytes] = -1, b""
        self._open = 0

    async def send(self, visit: Visit) -> web.StreamResponse:
        """Send the part after each reading, until the session ends, the browser goes away, or the process stops."""
        console = visit.console
        if self._open >= MAX_OPEN:
            raise web.HTTPServiceUnavailable(headers={"Retry-After": "60"})
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream; charset=utf-8"})
        self._open += 1
        try:
            await response.prepare(visit.request)
            while not console.collector.closed and console.sessions.is_open(visit.cookie, console.clock()):
                console.collector.look()
                await asyncio.wait_for(response.write(self._event(visit)), WRITE_SECONDS)
                await console.collector.change()
        except (ConnectionError, TimeoutError):
            pass  # the browser went away
        finally:
            self._open -= 1
        return response

    def _event(self, visit: Visit) -> bytes:
        changes = visit.console.collector.changes
        if self._rendered[0] != changes:
            environment = aiohttp_jinja2.get_env(visit.request.app)
            text = environment.get_template(self._template).render(self.values(visit.console))
            lines = [f"data: {line}" for line in text.splitlines() if line.strip()]
            self._rendered = changes, ("\n".join(lines) + "\n\n").encode()
        return self._rendered[1]
