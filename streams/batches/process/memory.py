"""How the process uses memory: one heap for all threads, and garbage in cycles collected between batches."""

from __future__ import annotations

import asyncio
import ctypes
import gc
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

    async def run(self) -> None:
        """Observe every second, until cancelled."""
        while True:
            await asyncio.sleep(EVERY_SECONDS)
            self.observe()
