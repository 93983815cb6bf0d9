"""The next request gets ready while all slots are taken, and is checked again before it is made."""

import asyncio

import pytest

from streams.export.sending.sender import ListSender
from tests.unit.export.export_world import Worker, World

DELAY = 15.0
PEOPLE = [f"p{number}@example.com" for number in range(6)]


@pytest.fixture
async def one_at_a_time(world: World, monkeypatch: pytest.MonkeyPatch) -> World:
    monkeypatch.setenv("CM_REQUESTS_IN_FLIGHT", "1")
    monkeypatch.setenv("CM_REQUESTS_IN_FLIGHT_PER_LIST", "1")
    world.settings = world.settings.model_copy(update={"import_size": 2})
    world.timeout_seconds = 60.0
    world.job()
    return world


async def two_ready_behind_two(world: World) -> tuple[Worker, ListSender]:
    """Warm up; then a request that hangs, and behind it one that is ready."""
    worker = await world.start()
    world.change("warm@example.com", "enter", "vip", 1)
    await worker.rest()
    world.controls.inject(kind="delay", seconds=DELAY, path="/subscribers/*")
    for person in PEOPLE:
        world.change(person, "enter", "vip", 2)
    await worker.consume()
    (sender,) = worker.runner.senders.all()
    async with asyncio.timeout(15):
        while sender.queue.in_flight < 4:  # noqa: ASYNC110 - queues wake nobody
            await asyncio.sleep(0.05)
    return worker, sender


def written(world: World) -> list[str]:
    return [write["email"] for write in world.controls.writes() if write["email"] in PEOPLE]


async def test_a_full_request_gets_ready_while_all_slots_are_taken(one_at_a_time: World) -> None:
    world = one_at_a_time
    worker, _ = await two_ready_behind_two(world)
    assert not written(world), "only one request is made at a time, and its answer takes long"
    await worker.rest()
    assert sorted(written(world)) == sorted(PEOPLE)
    assert all(world.options(person) == ["VIP"] for person in PEOPLE)


async def test_people_of_another_owner_meanwhile_are_not_sent(one_at_a_time: World) -> None:
    world = one_at_a_time
    worker, sender = await two_ready_behind_two(world)
    for partition in range(world.log.partitions):
        sender.queue.forget_partition(partition)
    async with asyncio.timeout(60):
        while not sender.idle:  # noqa: ASYNC110 - senders wake nobody
            await asyncio.sleep(0.05)
    assert len(written(world)) == 2, "those who were in flight already"
    assert worker.process.alive


async def test_a_job_that_stops_meanwhile_is_not_sent_for(one_at_a_time: World) -> None:
    world = one_at_a_time
    worker, sender = await two_ready_behind_two(world)
    world.job(state="stopped")
    async with asyncio.timeout(60):
        while not sender.idle:  # noqa: ASYNC110 - senders wake nobody
            await asyncio.sleep(0.05)
    assert len(written(world)) == 2, "those who were in flight already"
    assert worker.process.alive
