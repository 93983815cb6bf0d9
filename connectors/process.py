"""What an operator expects of every process: probes (/live, /ready, /metrics) and an end on SIGTERM or SIGINT."""

import asyncio
import os
import signal
from collections.abc import Callable
from types import TracebackType
from typing import Self

from aiohttp import web
from prometheus_client import REGISTRY, CollectorRegistry, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST

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


class HealthServer:
    """Serves the three endpoints; `ready` returns None, or the reason why not.

    Bound to loopback by default: metrics name topics and jobs, and are nobody's business outside.
    """

    def __init__(
        self,
        ready: Callable[[], NotReady | None],
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        registry: CollectorRegistry = REGISTRY,
    ) -> None:
        self._ready = ready
        self._host = host
        self._port = port
        self._registry = registry
        self._runner: web.AppRunner | None = None

    @property
    def port(self) -> int:
        """The port in use, also when it was chosen free."""
        if self._runner is None:
            raise RuntimeError("the health server has not been started")
        return int(self._runner.addresses[0][1])

    async def __aenter__(self) -> Self:
        app = web.Application()
        self.mount(app)
        self._runner = web.AppRunner(app, access_log=None)
        await self._runner.setup()
        await listen(self._runner, self._host, self._port, "STREAMS_HEALTH_HOST or STREAMS_HEALTH_PORT")
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._runner is not None:
            await self._runner.cleanup()

    def mount(self, app: web.Application) -> None:
        """Add the endpoints to a server that is there already."""
        app.router.add_get("/live", self._live)
        app.router.add_get("/ready", self._is_ready)
        app.router.add_get("/metrics", self._metrics)

    async def _live(self, _request: web.Request) -> web.Response:
        return web.json_response({"live": True})

    async def _is_ready(self, _request: web.Request) -> web.Response:
        reason = self._ready()
        if reason is None:
            return web.json_response({"ready": True})
        return web.json_response({"ready": False, "reason": reason}, status=503)

    async def _metrics(self, _request: web.Request) -> web.Response:
        return web.Response(body=generate_latest(self._registry), headers={"Content-Type": CONTENT_TYPE_LATEST})


def stopped_by_signal() -> asyncio.Event:
    """Return an event that SIGTERM or SIGINT sets."""
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopped.set)
    return stopped
