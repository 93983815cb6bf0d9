"""The simulator's own interface over HTTP, below `/simulator`, and its client for other processes.

No credential: serve it on loopback only.
"""

import inspect
from types import TracebackType
from typing import Any, Self

import aiohttp
import orjson
from aiohttp import web
from pydantic import ValidationError

from connectors.devkit.simulator.controls.controls import VERBS, Controls


class AdminApi:
    """`POST /simulator/do/{verb}` with a JSON object of arguments answers `{"result": ...}`."""

    def __init__(self, controls: Controls) -> None:
        self._controls = controls

    def add_to(self, app: web.Application) -> None:
        """Mount the routes."""
        app.router.add_get("/simulator/health", self.health)
        app.router.add_get("/simulator/verbs", self.verbs)
        app.router.add_post("/simulator/do/{verb}", self.do)

    async def health(self, _request: web.Request) -> web.Response:
        """Answer 200 once the simulator serves."""
        return _json({"status": "ready"})

    async def verbs(self, _request: web.Request) -> web.Response:
        """Answer the verbs with their first lines."""
        about = {verb: (getattr(Controls, verb).__doc__ or "").partition("\n")[0] for verb in sorted(VERBS)}
        return _json(about)

    async def do(self, request: web.Request) -> web.Response:
        """Carry out a verb; what is wrong with it comes back as 400 with a sentence."""
        try:
            raw = await request.read()
            arguments = orjson.loads(raw) if raw.strip() else {}
            return _json({"result": self._controls.do(request.match_info["verb"], arguments)})
        except (LookupError, TypeError, ValueError, ValidationError) as error:
            return _json({"error": f"{type(error).__name__}: {error}"}, 400)


def _json(body: object, status: int = 200) -> web.Response:
    return web.Response(
        status=status,
        body=orjson.dumps(body, option=orjson.OPT_NON_STR_KEYS),
        content_type="application/json",
    )


# Reading a whole list takes seconds.
_TIMEOUT_SECONDS = 120.0


class SimulatorError(Exception):
    """The simulator did not carry out a verb; the text has the reason."""


class SimulatorAdmin:
    """`async with SimulatorAdmin("http://127.0.0.1:8900/simulator") as admin: await admin.unsubscribe(list_id, email)`.

    Every verb of `Controls` is a coroutine here, with the same arguments: `await admin.writes(after=10)` is
    `await admin.do("writes", after=10)`.
    """

    def __init__(self, admin_url: str) -> None:
        self._url = admin_url.rstrip("/")
        self._session: aiohttp.ClientSession | None = None

    async def do(self, verb: str, **arguments: Any) -> Any:
        """Carry out a verb and return its result. Raises SimulatorError."""
        async with self._open().post(f"{self._url}/do/{verb}", data=orjson.dumps(arguments)) as answer:
            body = orjson.loads(await answer.read())
        if "error" in body:
            raise SimulatorError(body["error"])
        return body["result"]

    async def healthy(self) -> bool:
        """Return True when the simulator serves."""
        try:
            async with self._open().get(f"{self._url}/health") as answer:
                return answer.status == 200
        except aiohttp.ClientError:
            return False

    def __getattr__(self, verb: str) -> Any:
        if verb not in VERBS:
            raise AttributeError(f"the simulator has no verb {verb!r}")
        signature = inspect.signature(getattr(Controls, verb))

        async def carry_out(*positional: Any, **named: Any) -> Any:
            arguments = signature.bind(None, *positional, **named).arguments
            del arguments["self"]
            for parameter in signature.parameters.values():
                if parameter.kind is parameter.VAR_KEYWORD:
                    arguments |= arguments.pop(parameter.name, {})
            return await self.do(verb, **arguments)

        return carry_out

    async def close(self) -> None:
        """Close the connections."""
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    def _open(self) -> aiohttp.ClientSession:
        if self._session is None:
            self._session = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=_TIMEOUT_SECONDS))
        return self._session
