"""Request slots: how many requests of one list are made at a time, in which order, and when the next is prepared.

A request has three phases: it is prepared (rows are read), it is in flight, its outcomes are written. Only the second
is bounded by Campaign Monitor, so the next request is prepared while all slots are taken, and outcomes are written
while the next one is in flight.
"""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Collection, Sequence
from contextlib import asynccontextmanager
from typing import Protocol

from streams.export.sending.queue import QueuedBatch
from streams.export.state import OpenList


class InFlightRequest:
    """One request in its phases."""

    __slots__ = ("answered", "live")

    def __init__(self, live: bool) -> None:
        self.live = live
        self.answered = False
        """Whether it has given its slot back."""


class RequestSlots:
    """The slots of one list. Live requests go before a backfill's, which leave one slot free where there are two."""

    def __init__(self, max_requests: int) -> None:
        self.max_requests = max_requests
        self._live = 0
        self._background = 0
        self._waiting: dict[bool, deque[asyncio.Future[None]]] = {True: deque(), False: deque()}

    @property
    def max_background(self) -> int:
        """How many slots a backfill may have at a time."""
        return max(1, self.max_requests - 1)

    @asynccontextmanager
    async def slot(self, request: InFlightRequest) -> AsyncIterator[None]:
        """Wait for a slot and hold it."""
        while not self._free(request.live) or self._waiting[request.live]:
            granted = asyncio.get_running_loop().create_future()
            self._waiting[request.live].append(granted)
            try:
                await granted
            except asyncio.CancelledError:
                if granted.done() and not granted.cancelled():
                    self._count(request.live, -1)
                elif granted in self._waiting[request.live]:
                    self._waiting[request.live].remove(granted)
                raise
            break
        else:
            self._count(request.live, 1)
        try:
            yield
        finally:
            request.answered = True
            self._count(request.live, -1)

    def _free(self, live: bool) -> bool:
        if self._live + self._background >= self.max_requests:
            return False
        return live or self._background < self.max_background

    def _count(self, live: bool, slots: int) -> None:
        """Take a slot (1) or give it back (-1), and grant what is free to those who wait."""
        if live:
            self._live += slots
        else:
            self._background += slots
        for priority in (True, False):
            while self._waiting[priority] and self._free(priority):
                granted = self._waiting[priority].popleft()
                if granted.done():
                    continue  # cancelled just now: its request has not run since
                if priority:
                    self._live += 1
                else:
                    self._background += 1
                granted.set_result(None)


class CallLimits(Protocol):
    """What bounds the calls of one list, for each of its authorizations; see `limits.limiter.Limiter`."""

    @property
    def waiting(self) -> int: ...
    def free(self, list_id: str) -> int: ...
    def pause_left(self) -> float: ...


class BatchPicker:
    """When another request of a list gets ready: as many as there are slots, and one more where people fill it."""

    def __init__(self, opened: OpenList, slots: RequestSlots, limiter: CallLimits) -> None:
        self._list_id = opened.list_id
        self._queue = opened.queue
        self._breaker = opened.breaker
        self._slots = slots
        self._limiter = limiter

    def next_batch(
        self, now: float, requests: Collection[InFlightRequest], *, backfill: bool = True
    ) -> QueuedBatch | None:
        """Return the people of the next request beside those that are open, or None. `backfill`: also of those."""
        if self._breaker.is_open(now):
            return None
        max_requests = 1 if self._breaker.probing else self._slots.max_requests
        ahead = [request for request in requests if not request.answered]
        if len(requests) - len(ahead) > max_requests:
            return None  # answers that cannot be written yet: no more of them
        background = self._slots.max_background - sum(not request.live for request in ahead)
        if max_requests > len(ahead) and (self._limiter.free(self._list_id) or self._limiter_ready(ahead)):
            free = max_requests - len(ahead)
            batch = self._queue.next_batch(now, free, min(free, background) if backfill else 0)
            if batch is not None:
                return batch
        if self._breaker.probing or len(ahead) > max_requests:
            return None
        return self._next_ahead(now, background if backfill else -1)

    def may_take_direct(self, now: float, requests: Collection[InFlightRequest]) -> bool:
        """Whether a direct call may be made beside the open requests."""
        ahead = sum(not request.answered for request in requests)
        limited = self._limiter.waiting or self._limiter.pause_left() > 0
        free = not limited and ahead <= self._slots.max_requests and not self._breaker.probing
        return free and not self._breaker.is_open(now)

    def may_take_scanned(self, now: float, requests: Collection[InFlightRequest]) -> bool:
        """Whether a backfill's call may be made beside the open requests: one is ready while others have the slots."""
        background = sum(not request.live and not request.answered for request in requests)
        most = self._slots.max_background + (self._slots.max_requests > 1)
        late = sum(request.answered for request in requests) > self._slots.max_requests
        return background < most and not late and self.may_take_direct(now, requests)

    def _next_ahead(self, now: float, background: int) -> QueuedBatch | None:
        """Return a full request to prepare while all slots are taken; a smaller one gathers more changes meanwhile."""
        if self._limiter.waiting or self._limiter.pause_left() > 0:
            return None
        if self._queue.fills_import(True):
            return self._queue.next_batch(now, 1, 0)
        if self._slots.max_requests > 1 and background >= 0 and self._queue.fills_import(False):
            return self._queue.next_batch(now, 0, 1)
        return None

    def _limiter_ready(self, ahead: Sequence[InFlightRequest]) -> bool:
        """Whether only our own requests fill the limiter: they have not reached it, or are about to leave it."""
        return not self._limiter.waiting and self._limiter.pause_left() == 0 and not ahead
