"""The simulator as a server: starts, answers, stops."""

import asyncio
import contextlib
from types import TracebackType
from typing import Self

import structlog
from aiohttp import web

from connectors.simulator.admin import Admin
from connectors.simulator.controls import Controls
from connectors.simulator.dispatch import Dispatcher
from connectors.simulator.oauth import OAuthPages
from connectors.simulator.settings import SimulatorSettings
from connectors.simulator.state import SimulatorState
from connectors.simulator.webhook_delivery import WebhookSender

_LARGEST_BODY = 64 * 1024 * 1024
_TICK_SECONDS = 0.02

log = structlog.get_logger(__name__)


class Simulator:
    """A Campaign Monitor of one's own: `async with Simulator(SimulatorSettings(...)) as sim: ...`.

    State and controls are there before it starts, so data can be seeded first.
    """

    def __init__(self, settings: SimulatorSettings | None = None) -> None:
        self.settings = settings or SimulatorSettings()
        self.state = SimulatorState(self.settings)
        self.controls = Controls(self.state)
        self._runner: web.AppRunner | None = None
        self._sender: WebhookSender | None = None
        self._ticker: asyncio.Task[None] | None = None
        self._port = 0
        if self.settings.demo:
            from connectors.simulator.demo import seed_demo

            seed_demo(self.controls)

    @property
    def api_key(self) -> str:
        """The account-level key."""
        return self.settings.api_key

    @property
    def url(self) -> str:
        """Scheme, host and port."""
        return f"http://{self.settings.host}:{self._port}"

    @property
    def base_url(self) -> str:
        """What stands for `https://api.createsend.com/api/v3.3`."""
        return f"{self.url}/api/v3.3"

    @property
    def oauth_url(self) -> str:
        """What stands for `https://api.createsend.com/oauth`; `/token` is below it."""
        return f"{self.url}/oauth"

    @property
    def admin_url(self) -> str:
        """The simulator's own interface."""
        return f"{self.url}/simulator"

    @property
    def port(self) -> int:
        """The port it listens on."""
        return self._port

    async def start(self) -> None:
        """Listen. Raises OSError when the port is taken."""
        app = web.Application(client_max_size=_LARGEST_BODY)
        OAuthPages(self.state).add_to(app)
        Admin(self.controls).add_to(app)
        app.router.add_route("*", "/api/{path:.*}", Dispatcher(self.state, self.controls.do).handle)
        self._sender = WebhookSender(self.state)
        await self._sender.start()
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.5, handler_cancellation=False)
        await self._runner.setup()
        site = web.TCPSite(self._runner, self.settings.host, self.settings.port, reuse_address=True)
        try:
            await site.start()
        except OSError:
            await self.stop()
            raise
        self._port = self._runner.addresses[0][1]
        self._ticker = asyncio.ensure_future(self._tick())
        log.info("simulator listening", url=self.url)

    async def stop(self) -> None:
        """Stop listening, end webhooks."""
        if self._ticker is not None:
            self._ticker.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._ticker
        if self._sender is not None:
            await self._sender.stop()
        if self._runner is not None:
            await self._runner.cleanup()

    async def webhooks_sent(self, timeout_seconds: float = 10.0) -> None:
        """Wait until every emitted event was answered 2xx, dropped on purpose or given up. Raises TimeoutError."""
        if self._sender is not None:
            async with asyncio.timeout(timeout_seconds):
                await self._sender.sent()

    def retry_webhooks_now(self) -> None:
        """End the pause before the next attempt of a webhook that is being repeated."""
        if self._sender is not None:
            self._sender.hurry.set()

    async def _tick(self) -> None:
        while True:
            self.state.settle()
            await asyncio.sleep(_TICK_SECONDS)

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()
