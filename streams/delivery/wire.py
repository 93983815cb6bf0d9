"""Turns on the wire: how many requests of one list are made at a time, and who goes next.

A request has three phases: it gets ready (rows are read), it is on the wire, its answers are written. Only the second
is bounded by Campaign Monitor, so the next request gets ready while the wire is taken, and answers are written while
the next one is on it.
"""

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager


class Passage:
    """One request's way through its phases."""

    __slots__ = ("answered", "live")

    def __init__(self, live: bool) -> None:
        self.live = live
        self.answered = False
        """Whether it is off the wire."""


class Wire:
    """The turns of one list. Live requests go before a backfill's, which leave one turn free where there are two."""

    def __init__(self, most: int) -> None:
        self.most = most
        self._live = 0
        self._background = 0
        self._waiting: dict[bool, deque[asyncio.Future[None]]] = {True: deque(), False: deque()}

    @property
    def most_background(self) -> int:
        """How many turns a backfill may have at a time."""
        return max(1, self.most - 1)

    @asynccontextmanager
    async def turn(self, passage: Passage) -> AsyncIterator[None]:
        """Wait for a turn and hold it."""
        while not self._free(passage.live) or self._waiting[passage.live]:
            turn = asyncio.get_running_loop().create_future()
            self._waiting[passage.live].append(turn)
            try:
                await turn
            except asyncio.CancelledError:
                if turn.done() and not turn.cancelled():
                    self._give(passage.live, -1)
                else:
                    self._waiting[passage.live].remove(turn)
                raise
            break
        else:
            self._give(passage.live, 1)
        try:
            yield
        finally:
            passage.answered = True
            self._give(passage.live, -1)

    def _free(self, live: bool) -> bool:
        if self._live + self._background >= self.most:
            return False
        return live or self._background < self.most_background

    def _give(self, live: bool, turns: int) -> None:
        """Take a turn (1) or give it back (-1); whoever waits and may go has it from then on."""
        if live:
            self._live += turns
        else:
            self._background += turns
        for lane in (True, False):
            while self._waiting[lane] and self._free(lane):
                turn = self._waiting[lane].popleft()
                if lane:
                    self._live += 1
                else:
                    self._background += 1
                turn.set_result(None)
