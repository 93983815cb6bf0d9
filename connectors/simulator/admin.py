"""The simulator's own interface over HTTP, below `/simulator`. No credential: serve it on loopback only."""

import orjson
from aiohttp import web
from pydantic import ValidationError

from connectors.simulator.controls import VERBS, Controls


class Admin:
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
