"""What was read a moment ago: lists of an account, audiences of the topic. Each is read once however many ask."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

T = TypeVar("T")

KEEP_SECONDS = 30.0
"""Somebody fills in a form meanwhile; a list that was just made is there after so long, or after Refresh."""
MAX_KEPT = 256


class Recent:
    """Answers by key, kept for KEEP_SECONDS; failures are not kept."""

    def __init__(self) -> None:
        self._kept: dict[tuple[str, ...], tuple[float, asyncio.Future[Any]]] = {}

    async def get(self, key: tuple[str, ...], read: Callable[[], Awaitable[T]], seconds: float = KEEP_SECONDS) -> T:
        """Return what `read` returned lately, or returns now. Whoever asks meanwhile waits for the same answer.

        Somebody who goes away does not end it. Raises what `read` raises.
        """
        now = asyncio.get_running_loop().time()
        kept = self._kept.get(key)
        if kept is None or now >= kept[0] or _failed(kept[1]):
            while len(self._kept) >= MAX_KEPT:
                del self._kept[next(iter(self._kept))]
            kept = now + seconds, asyncio.ensure_future(_awaited(read))
            kept[1].add_done_callback(_failed)  # retrieved, also when nobody waits any more
            self._kept.pop(key, None)
            self._kept[key] = kept
        answer: T = await asyncio.shield(kept[1])
        return answer

    def forget(self) -> None:
        """Read everything again."""
        self._kept.clear()


async def _awaited(read: Callable[[], Awaitable[T]]) -> T:
    return await read()


def _failed(answer: asyncio.Future[Any]) -> bool:
    return answer.done() and (answer.cancelled() or answer.exception() is not None)
