"""The collector runs seldom, and memory that cycles hold stays bounded all the same."""

import gc
import weakref
from collections.abc import Iterator

import pytest

from streams.batches.process import tune_collector


class Cycle:
    def __init__(self) -> None:
        self.me = self


@pytest.fixture(autouse=True)
def _as_before() -> Iterator[None]:
    before = gc.get_threshold()
    yield
    gc.set_threshold(*before)
    gc.unfreeze()


def test_cycles_are_collected_when_they_add_up() -> None:
    tune_collector(10_000)
    first = weakref.ref(Cycle())
    alive: weakref.WeakSet[Cycle] = weakref.WeakSet()
    most = 0
    for _ in range(50_000):
        alive.add(Cycle())
        most = max(most, len(alive))
    assert first() is None
    assert most < 20_000


def test_work_that_leaves_no_cycles_is_not_interrupted() -> None:
    tune_collector(10_000)
    collections = sum(generation["collections"] for generation in gc.get_stats())
    for _ in range(200):
        rows = [{"n": [number]} for number in range(1000)]
        del rows
    assert sum(generation["collections"] for generation in gc.get_stats()) == collections
