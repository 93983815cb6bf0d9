"""Profiles over HTTP: what is answered, and how many connections can be held open."""

import asyncio
from collections.abc import AsyncIterator
from itertools import islice
from types import SimpleNamespace

import aiohttp
import pytest
from pydantic import SecretStr
from yarl import URL

from connectors import bounded_server
from streams.profile.server import ProfileServer

TOKEN = {"Authorization": "Bearer secret"}


@pytest.fixture
async def url(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[URL]:
    monkeypatch.setattr(bounded_server, "MAX_CONNECTIONS", 4)
    codec = SimpleNamespace(encode=lambda data: (b'{"email":"%s"}' % data.key, b""))

    async def get(key: bytes) -> object:
        return SimpleNamespace(data=SimpleNamespace(fields=key.startswith((b"ann", b"a/b")), key=key))

    table = SimpleNamespace(owned=lambda: {0}, get=get, codec=codec)
    server = ProfileServer(
        table,  # type: ignore[arg-type]
        lambda _partition: None,
        token=SecretStr("secret"),
        host="127.0.0.1",
        port=0,
        public_url="",
        partitions=1,
        version="v",
    )
    yield URL(await server.start())
    await server.stop()


@pytest.mark.parametrize(
    ("method", "path", "headers", "status", "body"),
    [
        ("GET", "/profiles/Ann@example.com", TOKEN, 200, '{"email":"ann@example.com"}'),
        ("GET", "/profiles/ann%40example.com", TOKEN, 200, '{"email":"ann@example.com"}'),
        ("GET", "/profiles/a%2Fb@example.com", TOKEN, 200, '{"email":"a/b@example.com"}'),
        ("HEAD", "/profiles/ann@example.com", TOKEN, 200, ""),
        ("GET", "/profiles/bob@example.com", TOKEN, 404, "no profile under this address"),
        ("GET", "/profiles/nobody", TOKEN, 400, "no e-mail address"),
        ("GET", "/profiles/ann@example.com", {}, 401, "API token"),
        ("POST", "/profiles/ann@example.com", TOKEN, 405, "GET"),
        ("GET", "/profiles/", TOKEN, 404, "/profiles/EMAIL"),
        ("GET", "/profiles/ann@example.com/more", TOKEN, 404, "/profiles/EMAIL"),
        ("GET", "/", TOKEN, 404, "/profiles/EMAIL"),
    ],
)
async def test_what_is_answered(
    url: URL, method: str, path: str, headers: dict[str, str], status: int, body: str
) -> None:
    async with (
        aiohttp.ClientSession() as session,
        session.request(method, URL(f"{url}{path}", encoded=True), headers=headers) as answer,
    ):
        assert (answer.status, body in await answer.text()) == (status, True)


async def test_idle_connections_are_closed_for_who_asks(url: URL) -> None:
    idle = [await asyncio.open_connection(url.host, url.port) for _connection in range(40)]
    async with (
        aiohttp.ClientSession() as session,
        session.get(url / "profiles" / "ann@example.com", headers=TOKEN) as answer,
    ):
        assert answer.status == 200
    for closed in islice(asyncio.as_completed([reader.read() for reader, _ in idle], timeout=5), 36):
        assert await closed == b""
    for _, writer in idle:
        writer.close()
