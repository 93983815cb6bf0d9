"""The clock of the simulated account: real time, moved by an offset, or frozen."""

import time
from datetime import datetime


class Clock:
    """Seconds since 1970 (UTC). Only `Clock` reads the machine's time; everything else asks it."""

    def __init__(self, start: datetime | None = None, *, frozen: bool = False) -> None:
        self._frozen_at: float | None = None
        self._offset = 0.0
        if start is not None:
            if start.tzinfo is None:
                raise ValueError("the clock's start needs a time zone, e.g. 2026-03-01T12:00:00+00:00")
            self._offset = start.timestamp() - time.time()
        if frozen:
            self.freeze(None if start is None else start.timestamp())

    def time(self) -> float:
        """Return the current time with its fraction."""
        return time.time() + self._offset if self._frozen_at is None else self._frozen_at

    def now(self) -> int:
        """Return the current time in whole seconds."""
        return int(self.time())

    def freeze(self, at: float | None = None) -> None:
        """Stop the clock, at `at` or where it is."""
        self._frozen_at = self.time() if at is None else at

    def resume(self) -> None:
        """Let the clock run on from where it stands."""
        if self._frozen_at is not None:
            self._offset = self._frozen_at - time.time()
            self._frozen_at = None

    def advance(self, seconds: float) -> None:
        """Move the clock, running or frozen."""
        if self._frozen_at is None:
            self._offset += seconds
        else:
            self._frozen_at += seconds
