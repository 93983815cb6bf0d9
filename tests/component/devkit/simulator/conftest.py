"""A simulator in this process, and HTTP calls to it as any client would make them."""

import base64
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import aiohttp
import orjson
import pytest
from aiohttp import web

from connectors.devkit.simulator import Simulator, SimulatorSettings

KEY = "component-key"
NOW = datetime(2026, 6, 15, 12, 0, tzinfo=UTC)
SYDNEY = "(GMT+10:00) Canberra, Melbourne, Sydney"


@dataclass
class Reply:
    status: int
    text: str
    headers: Any

    @property
    def json(self) -> Any:
        return orjson.loads(self.text)

    @property
    def code(self) -> int:
        return self.json["Code"]


class Api:
    def __init__(self, sim: Simulator, session: aiohttp.ClientSession) -> None:
        self.sim = sim
        self.session = session

    async def ask(self, method: str, path: str, body: Any = None, *, headers: Any = None, **query: Any) -> Reply:
        given = {"Authorization": "Basic " + base64.b64encode(f"{KEY}:x".encode()).decode(), **(headers or {})}
        data = body if body is None or isinstance(body, (bytes, str)) else orjson.dumps(body)
        text = {name: str(value) for name, value in query.items()}
        async with self.session.request(method, self.sim.base_url + path, data=data, headers=given, params=text) as r:
            return Reply(r.status, await r.text(), r.headers)

    async def get(self, path: str, **query: Any) -> Reply:
        return await self.ask("GET", path, **query)

    async def post(self, path: str, body: Any = None, **query: Any) -> Reply:
        return await self.ask("POST", path, body, **query)

    async def put(self, path: str, body: Any = None, **query: Any) -> Reply:
        return await self.ask("PUT", path, body, **query)

    async def delete(self, path: str, **query: Any) -> Reply:
        return await self.ask("DELETE", path, **query)

    async def add(self, list_id: str, email: str, **more: Any) -> Reply:
        body = {"EmailAddress": email, "ConsentToTrack": "Unchanged", **more}
        return await self.post(f"/subscribers/{list_id}.json", body)

    async def import_(self, list_id: str, emails: list[str], **more: Any) -> Reply:
        rows = [{"EmailAddress": email, "ConsentToTrack": "Unchanged"} for email in emails]
        return await self.post(f"/subscribers/{list_id}/import.json", {"Subscribers": rows, **more})


@pytest.fixture
async def sim() -> AsyncIterator[Simulator]:
    settings = SimulatorSettings(
        api_key=KEY, now=NOW, frozen=True, webhook_retry_first_seconds=0.02, webhook_retry_max_seconds=0.05,
        webhook_timeout_seconds=1,
    )  # fmt: skip
    async with Simulator(settings) as running:
        yield running


@pytest.fixture
async def api(sim: Simulator) -> AsyncIterator[Api]:
    async with aiohttp.ClientSession() as session:
        yield Api(sim, session)


@pytest.fixture
def client_id(sim: Simulator) -> str:
    return sim.controls.add_client("Acme", SYDNEY)


@pytest.fixture
def list_id(sim: Simulator, client_id: str) -> str:
    return sim.controls.add_list(client_id, "Newsletter")


class Receiver:
    """A webhook receiver whose answers a test chooses."""

    def __init__(self) -> None:
        self.posts: list[dict[str, Any]] = []
        self.status: Callable[[int], int] = lambda _number: 200
        self.url = ""

    @property
    def events(self) -> list[dict[str, Any]]:
        return [event for post in self.posts for event in post["Events"]]

    async def take(self, request: web.Request) -> web.Response:
        body = orjson.loads(await request.read())
        status = self.status(len(self.posts))
        self.posts.append({**body, "status": status})
        return web.Response(status=status)


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    made, app = Receiver(), web.Application(client_max_size=16 * 1024 * 1024)
    app.router.add_post("/hook", made.take)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    made.url = f"http://127.0.0.1:{runner.addresses[0][1]}/hook"
    yield made
    await runner.cleanup()
