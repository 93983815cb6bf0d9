"""The collector runs seldom, and memory that cycles hold stays bounded all the same."""

import gc
import weakref
from collections.abc import Iterator

import pytest

from streams.batches.collector import EMERGENCY, WHILE, Collector


class Cycle:
    def __init__(self) -> None:
        self.me = self


@pytest.fixture(autouse=True)
def _as_before() -> Iterator[None]:
    before = gc.get_threshold()
    yield
    gc.set_threshold(*before)
    gc.unfreeze()


def collections() -> int:
    return sum(generation["collections"] for generation in gc.get_stats())


def looks(collector: Collector, times: int = WHILE) -> bool:
    return sum(collector.look() for _ in range(times)) > 0


def test_cycles_are_collected_when_they_stay() -> None:
    collector = Collector(10_000)
    collector.take_over()
    first = weakref.ref(Cycle())
    cycles = [Cycle() for _ in range(12_000)]
    del cycles
    assert first() is not None
    assert looks(collector)
    assert first() is None
    assert not looks(collector), "the count began anew"


def test_trap_g14_batches_in_work_are_not_looked_through() -> None:
    collector = Collector(10_000)
    collector.take_over()
    before = collections()
    collected = False
    for _ in range(2 * WHILE):
        rows = [{"n": [number]} for number in range(12_000)]
        collected |= collector.look()
        del rows
        collected |= collector.look()
    assert not collected
    assert collections() == before


def test_in_an_emergency_python_collects_by_itself() -> None:
    Collector(1_000).take_over()
    first = weakref.ref(Cycle())
    alive: weakref.WeakSet[Cycle] = weakref.WeakSet()
    most = 0
    for _ in range(50_000):
        alive.add(Cycle())
        most = max(most, len(alive))
    assert first() is None
    assert most < 1_000 * EMERGENCY * 2


def test_the_lowest_count_of_a_while_is_judged() -> None:
    counts = iter([5_000_000] * (WHILE - 1) + [900] + [5_000_000] * WHILE)
    collector = Collector(1_000, count=lambda: next(counts))
    assert not looks(collector)
    assert looks(collector)
