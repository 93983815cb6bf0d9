"""What an operator expects of every process: probes (/live, /ready, /metrics) and an end on SIGTERM or SIGINT."""

import asyncio
import os
import signal
from collections.abc import Callable
from types import TracebackType
from typing import Self

from aiohttp import web
from prometheus_client import REGISTRY, CollectorRegistry, Gauge, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST

from connectors.bounded_server import BoundedServer

READY = Gauge(
    "cm_streams_ready",
    "What /ready answers: 1 when the process can do its work now, else 0; the answer's body has the reason. 0 for "
    "minutes outside a start: look there.",
)
MAX_HEALTH_CONNECTIONS = 64
"""Probes and a scraper need a few; whoever holds more of them open takes no file from the process's work."""
NotReady = str
"""Why a process cannot do its work now, in a sentence."""


class CannotListenError(RuntimeError):
    """An address cannot be listened on; the text names it, the cause and the settings."""


async def listen(runner: web.BaseRunner, host: str, port: int, settings: str) -> None:
    """Listen on an address that `settings` names. Raises CannotListenError: it is taken, or none of this host's."""
    try:
        await web.TCPSite(runner, host, port).start()
    except OSError as failure:
        # asyncio repeats the address in its text; the codes of getaddrinfo are below 0.
        cause = os.strerror(failure.errno) if failure.errno and failure.errno > 0 else failure.strerror
        raise CannotListenError(f"cannot listen on {host}:{port}: {cause}; set another {settings}") from None


def starting() -> NotReady | None:
    """Return what /ready answers before a process knows more."""
    return "it is starting: it reads its topics"


class HealthServer:
    """Serves the three endpoints; `ready` returns None, or the reason why not. It may be replaced while this serves.

    Bound to loopback by default: metrics name topics and jobs, and are nobody's business outside.
    """

    def __init__(
        self,
        ready: Callable[[], NotReady | None] = starting,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        registry: CollectorRegistry = REGISTRY,
    ) -> None:
        self.ready = ready
        self._host = host
        self._port = port
        self._registry = registry
        self._runner: web.ServerRunner | None = None

    @property
    def port(self) -> int:
        """The port in use, also when it was chosen free."""
        if self._runner is None:
            raise RuntimeError("the health server has not been started")
        return int(self._runner.addresses[0][1])

    async def __aenter__(self) -> Self:
        server = BoundedServer(self._answer, MAX_HEALTH_CONNECTIONS, access_log=None)
        runner = self._runner = web.ServerRunner(server)
        await runner.setup()
        await listen(runner, self._host, self._port, "STREAMS_HEALTH_HOST or STREAMS_HEALTH_PORT")
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._runner is not None:
            await self._runner.cleanup()

    async def _answer(self, request: web.BaseRequest) -> web.Response:
        endpoints = {"/live": self._live, "/ready": self._is_ready, "/metrics": self._metrics}
        endpoint = endpoints.get(request.path)
        if endpoint is None:
            return web.Response(status=404)
        return endpoint() if request.method in ("GET", "HEAD") else web.Response(status=405)

    def _live(self) -> web.Response:
        return web.json_response({"live": True})

    def _is_ready(self) -> web.Response:
        reason = self.ready()
        READY.set(reason is None)
        if reason is None:
            return web.json_response({"ready": True})
        return web.json_response({"ready": False, "reason": reason}, status=503)

    def _metrics(self) -> web.Response:
        READY.set(self.ready() is None)
        return web.Response(body=generate_latest(self._registry), headers={"Content-Type": CONTENT_TYPE_LATEST})


def stopped_by_signal() -> asyncio.Event:
    """Return an event that SIGTERM or SIGINT sets."""
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopped.set)
    return stopped
