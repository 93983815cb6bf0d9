"""How a process uses memory: one heap for all threads, garbage in cycles collected between batches, and what is free
given back when the process comes to rest."""

from __future__ import annotations

import asyncio
import ctypes
import gc
import time
from collections.abc import Callable

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD, _M_ARENA_MAX = -1, -3, -8  # malloc.h
_KEPT_BYTES = 128 << 20
"""Free memory at the heap's end beyond this is given back."""
_MAPPED_BYTES = 4 << 20
"""Pieces from this size on are mapped by themselves: a fetch's, not a row's."""


def use_one_heap() -> None:
    """Let all threads allocate from one heap of glibc; call it before threads start. Others are left alone.

    Each thread otherwise gets a heap of its own (up to eight a core), and what the threads of consumer, producer
    and store free there is of no use to the others: that was a tenth of a worker's peak. Most is allocated by one
    thread, so sharing the heap was not seen to cost speed. Freed memory is kept (up to a bound), not returned and taken
    again.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError):
        return
    for option, value in ((_M_ARENA_MAX, 1), (_M_TRIM_THRESHOLD, _KEPT_BYTES), (_M_MMAP_THRESHOLD, _MAPPED_BYTES)):
        mallopt(option, value)


EVERY_SECONDS = 1.0
WINDOW = 30
"""Observations of the count; the lowest of them decides."""
EMERGENCY = 20
"""Times the threshold: from there on Python collects by itself, batch in work or not."""


class Collector:
    """Collects when more than `threshold` objects stay between batches. The code itself is never searched.

    Python counts the objects that were created less those that were freed, and searches them all at a threshold. A
    batch in work is a million living objects, so a threshold that bounds cycles well makes it search every batch (11 %
    of the time where each event makes a new row). What is left between batches matters: the lowest count of a window.
    """

    def __init__(self, threshold: int, *, count: Callable[[], int] = lambda: gc.get_count()[0]) -> None:
        self._threshold = threshold
        self._count = count
        self._lowest = self._observed = 0

    def freeze(self) -> None:
        """Exclude what lives now, which is code; from here on Python collects by itself in an emergency only."""
        gc.collect()
        gc.freeze()
        gc.set_threshold(EMERGENCY * self._threshold, 5, 5)

    def observe(self) -> bool:
        """Observe the count; True when that led to a collection."""
        count = self._count()
        self._lowest = count if self._observed == 0 else min(self._lowest, count)
        self._observed += 1
        if self._observed < WINDOW:
            return False
        self._observed = 0
        if self._lowest <= self._threshold:
            return False
        gc.collect()
        return True


RESTING_SHARE = 0.1
"""Of one core; heartbeats and fetches without records take less."""
RESTING_OBSERVATIONS = 3


class Trimmer:
    """Gives the heap's free pages back to the system, once each time that the process comes to rest.

    A backlog's batches leave free pieces between what stays: a sixth of a worker's memory. In work they are used again;
    giving them back takes the heap's lock for some milliseconds, so it is not done then.
    """

    def __init__(
        self, *, cpu_seconds: Callable[[], float] = time.process_time, trim: Callable[[], object] | None = None
    ) -> None:
        self._cpu_seconds = cpu_seconds
        self._trim = trim or trim_heap
        self._spent = cpu_seconds()
        self._resting = 0

    def observe(self) -> bool:
        """Observe what the last second took; True when the heap was trimmed."""
        before, self._spent = self._spent, self._cpu_seconds()
        if self._spent - before > RESTING_SHARE * EVERY_SECONDS:
            self._resting = 0
            return False
        self._resting += 1
        if self._resting != RESTING_OBSERVATIONS:
            return False
        self._trim()
        return True


def trim_heap() -> None:
    """Give free pages back to the system, also those in the heap's middle; nothing where glibc is not the C library."""
    try:
        ctypes.CDLL(None).malloc_trim(0)
    except (AttributeError, OSError):
        return


async def observe_memory(collector: Collector, trimmer: Trimmer) -> None:
    """Observe every second, until cancelled."""
    while True:
        await asyncio.sleep(EVERY_SECONDS)
        collector.observe()
        trimmer.observe()
