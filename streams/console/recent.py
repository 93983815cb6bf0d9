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

    async def get(
        self,
        key: tuple[str, ...],
        read: Callable[[], Awaitable[T]],
        seconds: float = KEEP_SECONDS,
        times: float | None = None,
    ) -> T:
        """Return what `read` returned lately, or returns now. Whoever asks meanwhile waits for the same answer.

        It is kept for `seconds`, and no longer than so many `times` what reading took: what is cheap to read is fresh.
        Somebody who goes away does not end it. Raises what `read` raises.
        """
        loop = asyncio.get_running_loop()
        now = loop.time()
        kept = self._kept.get(key)
        if kept is None or now >= kept[0] or _failed(kept[1]):
            while len(self._kept) >= MAX_KEPT:
                del self._kept[next(iter(self._kept))]
            kept = now + seconds, asyncio.ensure_future(_awaited(read))
            kept[1].add_done_callback(_failed)  # retrieved, also when nobody waits any more
            if times is not None:
                kept[1].add_done_callback(lambda answer: self._end_at(key, answer, _end(now, loop.time(), times)))
            self._kept.pop(key, None)
            self._kept[key] = kept
        answer: T = await asyncio.shield(kept[1])
        return answer

    def forget(self, key: tuple[str, ...] | None = None) -> None:
        """Read again what is kept under a key; without one, everything."""
        if key is None:
            self._kept.clear()
        else:
            self._kept.pop(key, None)

    def _end_at(self, key: tuple[str, ...], answer: asyncio.Future[Any], end: float) -> None:
        kept = self._kept.get(key)
        if kept is not None and kept[1] is answer:
            self._kept[key] = min(kept[0], end), answer


def _end(began: float, now: float, times: float) -> float:
    return now + (now - began) * times


async def _awaited(read: Callable[[], Awaitable[T]]) -> T:
    return await read()


def _failed(answer: asyncio.Future[Any]) -> bool:
    return answer.done() and (answer.cancelled() or answer.exception() is not None)
