"""The simulator as a server, in the running event loop or in a thread of its own."""

import asyncio
import contextlib
import threading
from types import TracebackType
from typing import Self

import structlog
from aiohttp import web

from connectors.devkit.simulator.account.webhooks import WebhookSender
from connectors.devkit.simulator.controls.admin import AdminApi
from connectors.devkit.simulator.controls.controls import Controls
from connectors.devkit.simulator.controls.demo import seed_demo
from connectors.devkit.simulator.dispatch import Dispatcher
from connectors.devkit.simulator.protocol.oauth import TokenEndpoint
from connectors.devkit.simulator.protocol.oauth_pages import OAuthPages
from connectors.devkit.simulator.settings import SimulatorSettings
from connectors.devkit.simulator.state import SimulatorState

_LARGEST_BODY = 64 * 1024 * 1024
_TICK_SECONDS = 0.02

log = structlog.get_logger(__name__)


class Simulator:
    """A Campaign Monitor of one's own: `async with Simulator(SimulatorSettings(...)) as sim: ...`.

    State and controls are there before it starts, so data can be seeded first. `kept`: the state of an earlier run.
    """

    def __init__(self, settings: SimulatorSettings | None = None, kept: SimulatorState | None = None) -> None:
        self.settings = settings or SimulatorSettings()
        self.state = kept or SimulatorState(self.settings)
        self.controls = Controls(self.state)
        self._runner: web.AppRunner | None = None
        self._sender: WebhookSender | None = None
        self._ticker: asyncio.Task[None] | None = None
        self._port = 0
        if self.settings.demo and kept is None:
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
        """The simulator's `https://api.createsend.com/api/v3.3`."""
        return f"{self.url}/api/v3.3"

    @property
    def oauth_url(self) -> str:
        """The simulator's `https://api.createsend.com/oauth`; `/token` is below it."""
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
        tokens = TokenEndpoint(self.state)
        tokens.add_to(app)
        OAuthPages(self.state, tokens).add_to(app)
        AdminApi(self.controls).add_to(app)
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
        """Wait until every emitted event was answered 2xx, dropped on purpose or abandoned. Raises TimeoutError."""
        if self._sender is not None:
            async with asyncio.timeout(timeout_seconds):
                await self._sender.sent()

    def retry_webhooks_now(self) -> None:
        """End the pause before the next attempt of a webhook that is being repeated."""
        if self._sender is not None:
            self._sender.skip_pause.set()

    async def _tick(self) -> None:
        while True:
            self.state.run_due()
            await asyncio.sleep(_TICK_SECONDS)

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()


_START_SECONDS = 30.0


class SimulatorThread(Simulator):
    """`with SimulatorThread(SimulatorSettings(demo=True)) as sim: ...`; controls act through `call`."""

    def __init__(self, settings: SimulatorSettings | None = None) -> None:
        super().__init__(settings)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, name="simulator", daemon=True)

    def call(self, verb: str, **arguments: object) -> object:
        """Carry out a verb of `Controls` on the simulator's own loop and return its result."""

        async def act() -> object:
            result: object = self.controls.do(verb, arguments)
            return result

        return asyncio.run_coroutine_threadsafe(act(), self._loop).result(_START_SECONDS)

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.run_forever()

    def __enter__(self) -> Self:
        self._thread.start()
        asyncio.run_coroutine_threadsafe(self.start(), self._loop).result(_START_SECONDS)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        asyncio.run_coroutine_threadsafe(self.stop(), self._loop).result(_START_SECONDS)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()
