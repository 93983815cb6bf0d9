"""Blocking reads of topics, off the event loop: a few at a time, within a time limit, none while no broker answers.

They have threads of their own: readings that wait for a broker would take those in which passwords are hashed.
"""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from connectors.kafka.read_to_end import ReadError

T = TypeVar("T")

READ_SECONDS = 15.0
"""Somebody waits for the page; a topic that takes longer is read with the command."""
LOOK_SECONDS = 0.25
"""So often somebody who waits looks whether the brokers still answer."""
THREADS = 4
"""A reading that nobody waits for any more goes on until its own limit; more than so many wait for their turn."""


class Reads:
    """`await reads.of(lambda: ...)` returns what a blocking function returns."""

    def __init__(self, problem: Callable[[], str | None] = lambda: None, seconds: float = READ_SECONDS) -> None:
        """`problem`: why no broker answers now; None while they do."""
        self._problem = problem
        self.seconds = seconds
        self._threads = ThreadPoolExecutor(THREADS, "console-read")

    @property
    def problem(self) -> str | None:
        """Why no broker answers now; None while they do."""
        return self._problem()

    async def of(self, read: Callable[[], T]) -> T:
        """Return what `read` returns.

        Raises:
            ReadError: no broker answers now, and nothing was begun; or none answers any more.
            TimeoutError: it took longer than the limit.
        """
        if self.problem is not None:
            raise ReadError("no broker answers")
        reading = asyncio.get_running_loop().run_in_executor(self._threads, read)
        try:
            async with asyncio.timeout(self.seconds):
                while not (await asyncio.wait([reading], timeout=LOOK_SECONDS))[0]:
                    if self.problem is not None:
                        raise ReadError("no broker answers any more")
            return reading.result()
        finally:
            reading.cancel()  # where it has not begun

    def close(self) -> None:
        """Begin nothing any more; what is being read is not waited for."""
        self._threads.shutdown(wait=False, cancel_futures=True)
