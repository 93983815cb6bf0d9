"""Waiting for something that another process or task does: ask again until a deadline, never sleep and hope."""

import asyncio
import inspect
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

T = TypeVar("T")


def within(seconds: float, ask: Callable[[], T], *, every: float = 0.02) -> T:
    """Return the first true answer. Fails, naming the last answer, when there is none in time."""
    deadline = time.monotonic() + seconds
    while True:
        answer = ask()
        if answer:
            return answer
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {seconds:g} s; the last answer was {answer!r}")
        time.sleep(every)


async def eventually(ask: Callable[[], T | Awaitable[T]], *, seconds: float = 30.0, every: float = 0.02) -> T:
    """Return the first true answer of a function or coroutine function, leaving the loop free meanwhile."""
    deadline = time.monotonic() + seconds
    while True:
        answer = ask()
        found: T = await answer if inspect.isawaitable(answer) else answer
        if found:
            return found
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {seconds:g} s; the last answer was {found!r}")
        await asyncio.sleep(every)
