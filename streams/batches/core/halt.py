"""Ending the process at once, with its reason in the log: on request, and when it was paused for too long.

What was not settled is delivered again.
"""

from __future__ import annotations

import contextlib
import faulthandler
import logging
import os
import sys
import threading
import time
from collections.abc import Callable
from typing import NoReturn

import structlog

from streams.batches.core.errors import ExitCode

log = structlog.get_logger(__name__)

exit_process: Callable[[int], NoReturn] = os._exit
"""`sys.exit` inside of Faust's services can hang in "Stopping" for ever. Tests put something else here."""


def halt(code: ExitCode, message: str, *, stacks: bool = False, **fields: object) -> None:
    """Log, flush, and end the process with `code`. `stacks`: print what every thread is doing."""
    with contextlib.suppress(Exception):
        write = log.info if code is ExitCode.CLEAN else log.critical
        write("process ends", code=int(code), reason=message, **fields)
    with contextlib.suppress(Exception):
        if stacks:
            faulthandler.dump_traceback(all_threads=True)
    for handler in logging.getLogger().handlers:
        with contextlib.suppress(Exception):
            handler.flush()
    with contextlib.suppress(Exception):
        sys.stdout.flush()
        sys.stderr.flush()
    exit_process(int(code))


def boot_seconds() -> float:
    """Seconds that also pass while the machine is suspended."""
    return time.clock_gettime(time.CLOCK_BOOTTIME) if hasattr(time, "CLOCK_BOOTTIME") else time.monotonic()


class PauseGuard:
    """A ticking thread; a longer gap between two ticks than allowed ends the process.

    Nothing in Kafka fences a paused worker: after SIGCONT its rows would land in the changelog behind the new owner's.
    """

    def __init__(
        self,
        allowed_seconds: float,
        *,
        clock: Callable[[], float] = boot_seconds,
        end_process: Callable[[ExitCode, str], None] = halt,
    ) -> None:
        self._allowed = allowed_seconds
        self._clock = clock
        self._end_process = end_process
        self._last = clock()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="pause-guard", daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._last = self._clock()
        self._thread.start()

    def stop(self) -> None:
        """Stop the thread; later checks do nothing."""
        self._stopping.set()

    def check(self) -> None:
        """End the process after a pause. Called before anything is sent, so that whatever wakes first notices."""
        gap = self._clock() - self._last
        if gap > self._allowed and not self._stopping.is_set():
            self._end_process(
                ExitCode.PAUSED,
                f"paused for {gap:.1f} s, more than {self._allowed:.0f} s: others may own the partitions",
            )

    def _run(self) -> None:
        step = min(1.0, self._allowed / 5)
        while not self._stopping.wait(step):
            self.check()
            self._last = self._clock()
