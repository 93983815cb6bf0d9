"""Blocking reads: ended when no broker answers any more, and none is begun then."""

import asyncio
import threading

import pytest

from connectors.kafka import broker_watch
from connectors.kafka.read_to_end import ReadError
from streams.console.reads import LOOK_SECONDS, Reads

PAGE_SECONDS = 5.0


async def test_whoever_waits_knows_soon_that_no_broker_answers_any_more() -> None:
    problem: list[str] = []
    end_of_reading = threading.Event()
    reads = Reads(lambda: problem[0] if problem else None, seconds=60)
    waiting = asyncio.create_task(reads.of(end_of_reading.wait))
    await asyncio.sleep(0)
    problem.append("none answers")
    try:
        with pytest.raises(ReadError):
            async with asyncio.timeout(20):
                await waiting
    finally:
        end_of_reading.set()
        reads.close()


async def test_nothing_is_begun_while_no_broker_answers() -> None:
    begun: list[int] = []
    with pytest.raises(ReadError):
        await Reads(lambda: "none answers").of(lambda: begun.append(1))
    assert not begun


async def test_what_is_read_is_returned_and_what_is_raised_is_raised() -> None:
    reads = Reads()
    assert await reads.of(lambda: 7) == 7
    with pytest.raises(KeyError):
        await reads.of({}.popitem)
    with pytest.raises(TimeoutError):
        await Reads(seconds=0.01).of(lambda: threading.Event().wait(0.1))


def test_a_page_that_waits_when_the_brokers_go_away_is_answered_within_five_seconds() -> None:
    assert broker_watch.ASK_SECONDS + broker_watch.ANSWER_SECONDS + LOOK_SECONDS < PAGE_SECONDS
