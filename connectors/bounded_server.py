"""An HTTP server of which strangers can take only so much: connections, time and memory, each bounded.

A handler is called only when a request's header is complete, so connections, idle ones and headers that never end are
anybody's. Beyond MAX_CONNECTIONS the connection that has been without a request for longest is closed for the new one:
who asks is answered, however many others only connect.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from aiohttp import web
from aiohttp.web_protocol import RequestHandler

AnswerRequest = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]

MAX_CONNECTIONS = 512
"""Below the usual limit of 1,024 open files: beyond that nobody could connect, and probes would fail."""
IDLE_SECONDS = 30.0
"""Without a complete header, from the connection or the last answer on; bytes of a header do not count as progress."""
LINGER_SECONDS = 2.0
"""For what a refused sender still sends: it has its answer, and is disconnected."""


class MemoryFullError(RuntimeError):
    """Bodies hold as much memory as they may."""


class Memory:
    """What bodies that are read or handled may take together, in bytes."""

    def __init__(self, max_bytes: int) -> None:
        self.max_bytes = max_bytes
        self.held = 0


class HeldBytes:
    """One body's share of the memory."""

    def __init__(self, memory: Memory) -> None:
        self._memory = memory
        self._held = 0

    def hold(self, count: int) -> None:
        """Take so many bytes. Raises MemoryFullError, and takes nothing then."""
        if self._memory.held + count > self._memory.max_bytes:
            raise MemoryFullError
        self._memory.held += count
        self._held += count

    def release(self) -> None:
        """Return all that was taken."""
        self._memory.held -= self._held
        self._held = 0


class BoundedServer(web.Server):
    """A server that holds MAX_CONNECTIONS at most, or fewer."""

    def __init__(self, answer: AnswerRequest, max_connections: int | None = None, **options: Any) -> None:
        super().__init__(self._answer, keepalive_timeout=IDLE_SECONDS, lingering_time=LINGER_SECONDS, **options)
        self._answer_request = answer
        self._max_connections = max_connections or MAX_CONNECTIONS
        self._idle: dict[RequestHandler, None] = {}
        """Connections without a request; the one that has been so for longest is the first."""
        self._busy: set[RequestHandler] = set()

    def connection_made(self, handler: RequestHandler, transport: asyncio.Transport) -> None:
        """Close an idle connection, or else this one, when there are too many."""
        super().connection_made(handler, transport)
        if len(self._idle) + len(self._busy) >= self._max_connections:
            closed = next(iter(self._idle), handler)
            self._idle.pop(closed, None)
            closed.force_close()
            if closed is handler:
                return
        self._idle[handler] = None

    def connection_lost(self, handler: RequestHandler, exc: BaseException | None = None) -> None:
        """Forget a connection that was closed by either side."""
        self._idle.pop(handler, None)
        self._busy.discard(handler)
        super().connection_lost(handler, exc)

    async def _answer(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answer; meanwhile the connection is not closed for another one."""
        connection = request.protocol
        if connection in self._idle:
            del self._idle[connection]
            self._busy.add(connection)
        try:
            return await self._answer_request(request)
        finally:
            if connection in self._busy:
                self._busy.discard(connection)
                self._idle[connection] = None
