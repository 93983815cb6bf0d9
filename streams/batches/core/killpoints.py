"""Named instants between two effects, at which a test can end the process as SIGKILL would.

`BATCHES_KILL_AT=after-changelog:3` kills the process the third time it passes the point. Unset, a point costs one
comparison. `hook` is the same for tests inside of the process. `POINTS` are those of this package; what is built on it
adds its own with `kill_point`.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from functools import partial

POINTS = (
    "after-read",
    "after-dead-letters",
    "after-outputs",
    "before-changelog",
    "inside-changelog",
    "after-changelog",
    "after-store",
    "after-settle",
    "after-commit",
    "inside-recovery",
    "after-recovery",
    "before-close",
)

hook: Callable[[str], None] | None = None
_others: set[str] = set()


def reached(point: str) -> None:
    """Mark that the process has reached this point; a test may kill it here."""
    if hook is not None:
        hook(point)


def kill_point(name: str) -> Callable[[], None]:
    """Declare a point, at import; returns what marks that the process has reached it."""
    _others.add(name)
    return partial(reached, name)


def from_environment(environment: dict[str, str] | os._Environ[str]) -> None:
    """Arm the point that the environment names; ValueError for a name that does not exist."""
    wanted = environment.get("BATCHES_KILL_AT")
    if not wanted:
        return
    name, _, times = wanted.partition(":")
    if name not in {*POINTS, *_others}:
        raise ValueError(f"BATCHES_KILL_AT: no point {name!r}; there are {', '.join([*POINTS, *sorted(_others)])}")
    left = int(times or "1")

    def kill(point: str) -> None:
        nonlocal left
        if point == name:
            left -= 1
            if left == 0:
                os.kill(os.getpid(), signal.SIGKILL)

    global hook
    hook = kill
