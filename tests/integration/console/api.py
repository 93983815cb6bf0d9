"""A program that uses the console's API."""

from types import TracebackType
from typing import Any, NamedTuple, Self

import aiohttp

from connectors.control.users import Users
from connectors.kafka.producer import AsyncProducer
from schemas.control import Role
from streams.control.job_writing import now_in_millis
from streams.control.tokens import make_token
from tests.deadline import eventually
from tests.integration.console.conftest import ConsoleWorld


class ApiAnswer(NamedTuple):
    """What came back."""

    status: int
    body: Any
    headers: Any


class Program:
    """Calls the API with a token, or with what `headers` hold."""

    def __init__(self, address: str, **headers: str) -> None:
        self._address = address.rstrip("/")
        self._headers = headers
        self._session = aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar())

    async def call(self, method: str, path: str, body: Any = None, **headers: str) -> ApiAnswer:
        """Call an operation below `/api/v1`."""
        url = f"{self._address}/api/v1{path}"
        async with self._session.request(method, url, json=body, headers={**self._headers, **headers}) as answer:
            is_json = answer.content_type.endswith("json")
            return ApiAnswer(answer.status, await answer.json(content_type=None) if is_json else None, answer.headers)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None:
        await self._session.close()


async def token(world: ConsoleWorld, role: Role, days: int | None = None) -> str:
    """A token, made as the command makes it, that the console knows."""
    async with AsyncProducer(world.kafka, "test") as producer, Users(world.kafka, producer) as users:
        text = (await make_token(users, f"tests of the {role}", role, "test", now_in_millis(), days)).text

    async def is_known() -> bool:
        return (await asked.call("GET", "/me")).status == 200

    async with Program(world.address, Authorization=f"Bearer {text}") as asked:
        await eventually(is_known)
    return text


async def program(world: ConsoleWorld, role: Role) -> Program:
    """A program with a token of this role, until the end of the test."""
    return await world.entered(Program(world.address, Authorization=f"Bearer {await token(world, role)}"))
