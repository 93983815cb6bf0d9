"""One heap for all threads, and garbage in cycles collected seldom but surely."""

from __future__ import annotations

import gc
import platform
import subprocess
import sys
import weakref
from collections.abc import Iterator

import pytest

from streams.batches.process.memory import (
    EMERGENCY,
    RESTING_OBSERVATIONS,
    WINDOW,
    Collector,
    Trimmer,
)

PROGRAM = """
import ctypes, os, threading
from types import SimpleNamespace
from streams.batches.process.run import run_process

async def start():
    libc = ctypes.CDLL(None)
    threads = [threading.Thread(target=libc.malloc, args=(1000,)) for _ in range(6)]
    for thread in threads: thread.start()
    for thread in threads: thread.join()
    libc.malloc_stats()
    os._exit(0)

run_process(SimpleNamespace(gc_threshold=100_000, app_id="one-heap"), start, start)
"""


FREED = """
import asyncio, ctypes, os
from streams.batches.process import memory

def resident():
    with open("/proc/self/statm") as statm:
        return int(statm.read().split()[1]) * os.sysconf("SC_PAGESIZE") >> 20

async def main():
    memory.EVERY_SECONDS = 0.02
    memory.use_one_heap()
    libc = ctypes.CDLL(None)
    libc.malloc.restype, libc.free.argtypes = ctypes.c_void_p, [ctypes.c_void_p]
    pieces = [libc.malloc(10_000) for _ in range(10_000)]
    for piece in pieces: ctypes.memset(piece, 1, 10_000)
    for number, piece in enumerate(pieces):
        if number % 50: libc.free(piece)
    before = resident()
    observing = asyncio.create_task(memory.observe_memory(memory.Collector(1_000_000), memory.Trimmer()))
    for _ in range(100):
        await asyncio.sleep(0.02)
        if before - resident() > 60: break
    print(before - resident())

asyncio.run(main())
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="another C library has no such heaps")
def test_a_process_at_rest_gives_back_what_is_free_between_what_stays() -> None:
    done = subprocess.run([sys.executable, "-c", FREED], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) > 60  # MiB, of some 95


def test_the_heap_is_trimmed_once_each_time_that_the_process_comes_to_rest() -> None:
    spent, trimmed = 0.0, 0

    def trim() -> None:
        nonlocal trimmed
        trimmed += 1

    trimmer = Trimmer(cpu_seconds=lambda: spent, trim=trim)
    for share, expected in ((0.9, 0), (0.01, 1), (0.01, 1), (0.5, 1), (0.05, 2)):
        for _second in range(RESTING_OBSERVATIONS):
            spent += share
            trimmer.observe()
        assert trimmed == expected


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="another C library has no such heaps")
def test_a_process_has_one_heap() -> None:
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert "Arena 0:" in done.stderr
    assert "Arena 1:" not in done.stderr


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


def observed(collector: Collector, times: int = WINDOW) -> bool:
    return sum(collector.observe() for _ in range(times)) > 0


def test_cycles_are_collected_when_they_stay() -> None:
    collector = Collector(10_000)
    collector.freeze()
    first = weakref.ref(Cycle())
    cycles = [Cycle() for _ in range(12_000)]
    del cycles
    assert first() is not None
    assert observed(collector)
    assert first() is None
    assert not observed(collector), "the count began again"


def test_trap_g14_batches_in_work_are_not_looked_through() -> None:
    collector = Collector(10_000)
    collector.freeze()
    before = collections()
    collected = False
    for _ in range(2 * WINDOW):
        rows = [{"n": [number]} for number in range(12_000)]
        collected |= collector.observe()
        del rows
        collected |= collector.observe()
    assert not collected
    assert collections() == before


def test_in_an_emergency_python_collects_by_itself() -> None:
    Collector(1_000).freeze()
    first = weakref.ref(Cycle())
    alive: weakref.WeakSet[Cycle] = weakref.WeakSet()
    most = 0
    for _ in range(50_000):
        alive.add(Cycle())
        most = max(most, len(alive))
    assert first() is None
    assert most < 1_000 * EMERGENCY * 2


def test_the_lowest_count_of_a_window_decides() -> None:
    counts = iter([5_000_000] * (WINDOW - 1) + [900] + [5_000_000] * WINDOW)
    collector = Collector(1_000, count=lambda: next(counts))
    assert not observed(collector)
    assert observed(collector)
