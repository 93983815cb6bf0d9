"""Noticing that the process stood still: after SIGCONT it must not send what it had in hand.

Nothing fences a paused worker in Kafka: its rows would land in the changelog behind the new owner's.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from .errors import ExitCode
from .halt import halt


def boot_seconds() -> float:
    """Seconds that also pass while the machine is suspended."""
    return time.clock_gettime(time.CLOCK_BOOTTIME) if hasattr(time, "CLOCK_BOOTTIME") else time.monotonic()


class PauseGuard:
    """A ticking thread; a gap between two ticks more than allowed ends the process."""

    def __init__(
        self,
        allowed_seconds: float,
        *,
        clock: Callable[[], float] = boot_seconds,
        ended: Callable[[ExitCode, str], None] = halt,
    ) -> None:
        self._allowed = allowed_seconds
        self._clock = clock
        self._ended = ended
        self._last = clock()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="pause-guard", daemon=True)

    def start(self) -> None:
        """Begin to tick."""
        self._last = self._clock()
        self._thread.start()

    def stop(self) -> None:
        """Tick no more."""
        self._stopping.set()

    def check(self) -> None:
        """Called before anything is sent; whoever wakes first after a pause notices it."""
        gap = self._clock() - self._last
        if gap > self._allowed and not self._stopping.is_set():
            self._ended(
                ExitCode.PAUSED,
                f"stood still for {gap:.1f} s, more than {self._allowed:.0f} s: others may own the partitions",
            )

    def _run(self) -> None:
        step = min(1.0, self._allowed / 5)
        while not self._stopping.wait(step):
            self.check()
            self._last = self._clock()
