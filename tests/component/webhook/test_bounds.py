"""The receiver under connections that only take: others are answered as quickly as before."""

import asyncio
import resource
import time
from collections.abc import AsyncIterator
from statistics import quantiles

import aiohttp
import pytest

from connectors import bounded_server
from connectors.bounded_server import HeldBytes, Memory, MemoryFullError
from connectors.webhook.server import Receiver
from connectors.webhook.settings import WebhookSettings
from connectors.webhook.translate import HookedList
from schemas.topics import TopicNames
from tests.component.webhook.test_receiver import DATES, PATH, SECRET, FakeProducer, envelope

pytestmark = pytest.mark.usefixtures("many_files")


@pytest.fixture
def many_files():
    """Both ends of each connection are open files of this process."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(8_192, hard) if hard > 0 else 8_192, hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    hooked = HookedList("l1", "News", "c1", "", "j", DATES)
    settings = WebhookSettings(secret=SECRET, port=0, publish_timeout_seconds=0.5)
    made = Receiver(settings, FakeProducer(), TopicNames(), hooked_list=lambda _list_id: hooked)
    await made.start()
    yield made
    await made.stop()


async def opened(receiver: Receiver, count: int, first: bytes = b"") -> list[asyncio.StreamWriter]:
    writers = []
    for _connection in range(count):
        _reader, writer = await asyncio.open_connection("127.0.0.1", receiver.port)
        if first:
            writer.write(first)
            await writer.drain()
        writers.append(writer)
    return writers


async def p99(receiver: Receiver, posts: int = 200) -> float:
    """Return the time of a post in seconds; every one must be answered with 200."""
    seconds = []
    async with aiohttp.ClientSession(f"http://127.0.0.1:{receiver.port}") as session:
        for _post in range(posts):
            began = time.perf_counter()
            async with session.post(PATH, data=envelope(), headers={"Content-Type": "application/json"}) as answer:
                assert answer.status == 200
            seconds.append(time.perf_counter() - began)
    return quantiles(seconds, n=100)[98]


HEAD = f"POST {PATH} HTTP/1.1\r\nHost: h\r\nContent-Type: application/json\r\n".encode()


async def test_idle_connections_slow_bodies_and_endless_headers_keep_nobody_waiting(receiver):
    usual = await p99(receiver)
    slow = await opened(receiver, 40, HEAD + b"Content-Length: 1000\r\n\r\n{")
    headers = await opened(receiver, 40, HEAD + b"X-More: ")
    idle = await opened(receiver, 1_500)
    assert await p99(receiver) < max(2 * usual, 0.05)
    for writer in slow + headers + idle:
        writer.close()


async def test_an_idle_connection_is_closed_for_a_new_one_and_a_busy_one_is_not(receiver, monkeypatch):
    monkeypatch.setattr(bounded_server, "MAX_CONNECTIONS", 4)
    await receiver.stop()
    await receiver.start()
    body = envelope()
    reader, writer = await asyncio.open_connection("127.0.0.1", receiver.port)
    writer.write(HEAD + b"Content-Length: %d\r\n\r\n" % len(body) + body[:5])
    await asyncio.sleep(0.1)
    idle = [await asyncio.open_connection("127.0.0.1", receiver.port) for _connection in range(6)]
    for closed, _writer in idle[:3]:
        assert await asyncio.wait_for(closed.read(), 5) == b""
    writer.write(body[5:])
    assert (await asyncio.wait_for(reader.readline(), 5)).split()[1] == b"200"
    for _reader, each in [*idle, (reader, writer)]:
        each.close()


async def test_a_header_that_never_ends_is_bounded_in_time_and_size(receiver, monkeypatch):
    monkeypatch.setattr("connectors.bounded_server.IDLE_SECONDS", 0.5)
    await receiver.stop()
    await receiver.start()
    reader, writer = await asyncio.open_connection("127.0.0.1", receiver.port)

    async def drip() -> None:
        writer.write(HEAD)
        for _byte in range(100):
            writer.write(b"X")
            await asyncio.sleep(0.05)

    task = asyncio.create_task(drip())
    assert await asyncio.wait_for(reader.read(), 3) == b""
    task.cancel()
    reader, writer = await asyncio.open_connection("127.0.0.1", receiver.port)
    writer.write(HEAD + b"X: " + b"x" * 100_000)
    assert (await asyncio.wait_for(reader.readline(), 3)).split()[1] == b"400"
    writer.close()


def test_bodies_take_so_much_memory_together_and_return_it():
    memory = Memory(10)
    first, second = HeldBytes(memory), HeldBytes(memory)
    first.hold(6)
    with pytest.raises(MemoryFullError):
        second.hold(5)
    second.hold(4)
    first.release()
    second.release()
    assert memory.held == 0
