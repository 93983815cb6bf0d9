"""The collector's newest reading, as requests wait for it: young enough, or an error."""

import asyncio
from collections.abc import Callable
from typing import cast

import pytest

from connectors.kafka.read_to_end import ReadError
from connectors.kafka.settings import KafkaSettings
from streams.console.live import collector
from streams.console.live.collector import LOOKED_SECONDS, MAX_AGE_SECONDS, YOUNG_SECONDS, FlowCollector
from streams.console.reads import Reads
from streams.control.flows import FlowReader, FlowReading
from streams.dead_letters.letters import ReplayError
from tests.deadline import eventually


class Reader:
    """Answers as `answer` does; `read` counts."""

    def __init__(self) -> None:
        self.read_at: list[float] = []
        self.answer: Callable[[float], FlowReading] = lambda now: FlowReading(now, {}, [], {})
        self.uncounted = 0
        """So often dead letters cannot be counted."""

    def read(self, now: float) -> FlowReading:
        self.read_at.append(now)
        return self.answer(now)

    def letters(self) -> list[object]:
        if self.uncounted:
            self.uncounted -= 1
            raise ReplayError("slow")
        return []

    def close(self) -> None: ...


class World:
    def __init__(self) -> None:
        self.now = 1_000.0
        self.away: str | None = None
        self.reader = Reader()
        self.reads = Reads(lambda: self.away, seconds=0.3)
        kafka = KafkaSettings(_env_file=None, bootstrap_servers="127.0.0.1:9")
        self.collector = FlowCollector(kafka, self.reads, lambda: self.now, cast("FlowReader", self.reader))


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> World:
    monkeypatch.setattr(collector, "READ_SECONDS", 0.01)
    return World()


async def test_many_requests_share_one_reading(world: World) -> None:
    async with world.collector:
        first = await asyncio.gather(*(world.collector.recent() for _ in range(20)))
        await asyncio.sleep(0)
        assert {found.at for found in first} == {1_000.0}
    assert len(world.reader.read_at) == 1


async def test_an_old_reading_is_not_answered_while_a_new_one_is_made(world: World) -> None:
    async with world.collector:
        await world.collector.recent()
        world.now += YOUNG_SECONDS + 1
        assert (await world.collector.recent()).at == world.now


async def test_where_no_new_one_comes_in_time_it_is_at_most_so_old(world: World) -> None:
    def fails(_now: float) -> FlowReading:
        raise ReadError("slow")

    async with world.collector:
        await world.collector.recent()
        world.reader.answer = fails
        world.now += MAX_AGE_SECONDS
        assert (await world.collector.recent()).at == 1_000.0
        world.now += 1
        with pytest.raises(ReadError):
            await world.collector.recent()


async def test_letters_that_could_not_be_counted_are_counted_at_the_next_reading(world: World) -> None:
    world.reader.uncounted = 1
    world.collector.look()
    async with world.collector:
        await world.collector.change()
        assert world.collector.problem
        assert world.collector.letters is None
        await eventually(lambda: world.collector.letters is not None)
        assert not world.collector.problem


async def test_while_no_broker_answers_there_is_none(world: World) -> None:
    async with world.collector:
        await world.collector.recent()
        world.away = "no broker answers"
        with pytest.raises(ReadError):
            await world.collector.recent()


async def test_a_stop_while_somebody_begins_to_look_ends_the_collecting(world: World) -> None:
    await world.collector.__aenter__()
    await world.collector.recent()
    world.now += LOOKED_SECONDS + 1
    await asyncio.sleep(0.05)
    world.collector.look()
    async with asyncio.timeout(5):
        await world.collector.__aexit__(None, None, None)
