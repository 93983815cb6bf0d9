"""Calls of a batch do not wait for what is written of the calls before them."""

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest

from streams.batches import NotDelivered, Output
from streams.export.sending import direct_calls
from streams.export.sending.direct_calls import MAX_UNWRITTEN
from tests.unit.export.export_world import Worker, World
from tests.unit.export.memory_runtime import Log

RECEIPTS = "audience-delivery"
CALL = 3
IN_FLIGHT = 1


class Broker:
    """A broker that acknowledges no receipt while it is held."""

    def __init__(self, worker: Worker, monkeypatch: pytest.MonkeyPatch) -> None:
        self.answers = asyncio.Event()
        self.held = 0
        self._publish = worker.process.publish_all
        monkeypatch.setattr(worker.process, "publish_all", self.publish_all)

    async def publish_all(self, outputs: Sequence[Output]) -> None:
        if any(output.topic == RECEIPTS for output in outputs):
            self.held += 1
            await self.answers.wait()
        await self._publish(outputs)


@pytest.fixture
async def worker(world: World, monkeypatch: pytest.MonkeyPatch) -> Worker:
    """One partition, one call at a time, each of three people."""
    monkeypatch.setattr(direct_calls, "ANSWER_SECONDS", 60.0)
    monkeypatch.setattr(direct_calls, "BATCH_SECONDS", 60.0)
    monkeypatch.setenv("CM_REQUESTS_IN_FLIGHT", str(IN_FLIGHT))
    monkeypatch.setenv("CM_REQUESTS_IN_FLIGHT_PER_LIST", str(IN_FLIGHT))
    world.log = Log(partitions=1)
    world.timeout_seconds = 60.0
    world.min_people = 1
    world.job()
    worker = await world.start()
    worker.agent._import_size = CALL
    world.change("warm@example.com", "enter", "vip", 0)  # the field and the option are made
    await worker.rest()
    return worker


def _imports(world: World) -> int:
    return int(world.controls.summary()["calls"]["POST /subscribers/{listid}/import"])


async def _made(world: World, before: int, calls: int) -> None:
    async with asyncio.timeout(30):
        while _imports(world) - before < calls:  # noqa: ASYNC110 - the simulator wakes nobody
            await asyncio.sleep(0.05)


def _backlog(world: World, calls: int) -> list[str]:
    people = [f"p{number}@example.com" for number in range(calls * CALL)]
    for person in people:
        world.change(person, "enter", "vip", 1)
    return people


async def test_no_call_waits_for_the_acknowledgement_of_what_others_have_written(
    world: World, worker: Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From the first answer on nothing is acknowledged: every further call is made all the same."""
    broker, before = Broker(worker, monkeypatch), _imports(world)
    _backlog(world, MAX_UNWRITTEN)
    consuming = asyncio.create_task(worker.consume())
    await _made(world, before, MAX_UNWRITTEN)
    assert broker.held == 1, "receipts of one call after the other"
    assert len(world.receipts()) == 1
    broker.answers.set()
    await consuming
    assert world.outcomes() == ["added"] * (1 + MAX_UNWRITTEN * CALL)


async def test_calls_wait_while_many_are_answered_and_not_written(
    world: World, worker: Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    broker, before = Broker(worker, monkeypatch), _imports(world)
    people = _backlog(world, 3 * MAX_UNWRITTEN)
    consuming = asyncio.create_task(worker.consume())
    await _made(world, before, MAX_UNWRITTEN)
    await asyncio.sleep(5.0)
    assert _imports(world) - before <= MAX_UNWRITTEN + IN_FLIGHT + 2  # a call that is ready, and one that got room
    broker.answers.set()
    await consuming
    await worker.rest()
    assert [world.outcomes(person) for person in people] == [["added"]] * len(people)


async def test_what_a_fold_has_answered_is_not_answered_again_when_its_row_is_not_written(
    world: World, worker: Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The rows of the batch's calls are written before the others: those have their receipts, and no rows yet."""
    write, failed = worker.process.write, []

    async def not_acknowledged(batch: Any, rows: Any, *more: Any) -> None:
        rows = list(rows)
        if rows and not failed:
            failed.append(True)
            raise NotDelivered("not acknowledged")
        await write(batch, rows, *more)

    monkeypatch.setattr(worker.process, "write", not_acknowledged)
    world.change("early@example.com", "enter", "vip", -5)  # from before the job: its receipt needs no call
    _backlog(world, 1)
    await worker.rest()
    assert failed
    ids = [receipt["event_id"] for receipt in world.receipts()]
    assert len(ids) == len(set(ids)) == 2 + CALL
