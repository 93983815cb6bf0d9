"""Waiting with a deadline."""

import time
from collections.abc import Callable

from benchmarks.contest import WrongOutputError


def until(condition: Callable[[], bool], seconds: float, what: str, *, every: float = 0.1) -> None:
    """Wait until something is true. Raises WrongOutputError when it is not in time."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise WrongOutputError(f"no {what} in {seconds:.0f} s")
        time.sleep(every)
