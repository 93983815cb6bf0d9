"""When Python looks for garbage in cycles: hardly ever while batches are in work, and before it adds up.

Python counts the objects that were made less those that went away, and looks through them all at a threshold. A batch
in work is a million living objects, so a threshold that bounds cycles well makes it look through every batch (11 % of
the time where each event makes a new row). What is left between batches matters: the lowest count of a while.
"""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Callable

EVERY_SECONDS = 1.0
WHILE = 30
"""Looks at the count whose lowest is judged."""
EMERGENCY = 20
"""Times the threshold: Python collects by itself, in work or not."""


class Collector:
    """Collects when more than `threshold` objects stay. The code itself is never looked at."""

    def __init__(self, threshold: int, *, count: Callable[[], int] = lambda: gc.get_count()[0]) -> None:
        self._threshold = threshold
        self._count = count
        self._lowest = self._looks = 0

    def take_over(self) -> None:
        """What lives now is code; from here on Python collects by itself in an emergency only."""
        gc.collect()
        gc.freeze()
        gc.set_threshold(EMERGENCY * self._threshold, 5, 5)

    def look(self) -> bool:
        """Judge the count; True when that led to a collection."""
        count = self._count()
        self._lowest = count if self._looks == 0 else min(self._lowest, count)
        self._looks += 1
        if self._looks < WHILE:
            return False
        self._looks = 0
        if self._lowest <= self._threshold:
            return False
        gc.collect()
        return True

    async def run(self) -> None:
        """Look every second, until cancelled."""
        while True:
            await asyncio.sleep(EVERY_SECONDS)
            self.look()
