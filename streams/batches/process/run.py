"""Running a process: signals, a clean stop within its budget, and an end in any case.

How the process uses memory is set up here too: one heap for all threads, and garbage in cycles collected between
batches.
"""

from __future__ import annotations

import asyncio
import ctypes
import gc
import os
import signal
import threading
from collections.abc import Awaitable, Callable
from typing import NoReturn

import structlog
import uvloop

from streams.batches.core import killpoints
from streams.batches.core.errors import ExitCode, FatalError
from streams.batches.core.halt import halt
from streams.batches.core.settings import BatchSettings

log = structlog.get_logger(__name__)


def run_process(
    settings: BatchSettings, start: Callable[[], Awaitable[None]], stop: Callable[[], Awaitable[None]]
) -> NoReturn:
    """Start, wait for SIGTERM or SIGINT, stop, end the process with its exit code; never returns."""
    use_one_heap()
    killpoints.from_environment(os.environ)
    try:
        uvloop.install()
        asyncio.run(_run(settings, start, stop))
    except FatalError as error:
        halt(error.exit_code, str(error))
    except Exception as error:
        log.exception("process failed")
        halt(ExitCode.FATAL, repr(error))
    halt(ExitCode.CLEAN, "stopped")
    raise SystemExit(0)  # only where halt was replaced


async def _run(
    settings: BatchSettings, start: Callable[[], Awaitable[None]], stop: Callable[[], Awaitable[None]]
) -> None:
    loop = asyncio.get_running_loop()
    stopped = asyncio.Event()
    collector = Collector(settings.gc_threshold)
    collector.freeze()
    collecting = loop.create_task(collector.run())
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopped.set)
    await start()
    log.info("running", app=settings.app_id)
    await stopped.wait()
    collecting.cancel()
    # A timer thread, not the loop: it must end the process also when the loop hangs.
    timer = threading.Timer(
        settings.stop_seconds, halt, (ExitCode.STOP_TIMEOUT, "the clean stop took too long"), {"stacks": True}
    )
    timer.daemon = True
    timer.start()
    await stop()
    timer.cancel()


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
