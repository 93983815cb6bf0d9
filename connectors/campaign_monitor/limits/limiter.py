"""Whose turn it is: a thin shell around `limits`, with a bound on what is in flight per account and per list.

There are two priorities. `live` may use every slot; `background` (a backfill) leaves one slot free and goes after
waiting live calls, but at least every eighth turn. So a live change never waits for a backfill's slow import to end.
"""

import asyncio
import random
import time
from collections import Counter, deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Literal, Self

from connectors.campaign_monitor.credentials import CampaignMonitorSettings
from connectors.campaign_monitor.limits.allowance import NO_SIGNAL, Allowance, RateLimitReport, RateLimitSignal

Priority = Literal["live", "background"]

# More would let a busy live traffic starve a backfill for long; fewer would cost live changes their precedence.
LIVE_TURNS_IN_A_ROW = 7


@dataclass(slots=True)
class Slot:
    """A turn at the limiter. Pass it the answer; without one, the request counts as made and nothing is learned."""

    started_at: float
    seen: RateLimitSignal = NO_SIGNAL

    def answered(self, seen: RateLimitSignal) -> None:
        """Record what the answer shows about the limit."""
        self.seen = seen


@dataclass(slots=True, eq=False)
class _WaitingCall:
    list_id: str | None
    priority: Priority
    turn: asyncio.Future[float]


def _loop_time() -> float:
    """Return the time by which the loop calls later: a wait by another clock would be too long or too short."""
    return asyncio.get_running_loop().time()


class Limiter:
    """Bounds the calls of one account in this process. All calls of the account must go through one limiter."""

    def __init__(
        self,
        in_flight: int = 4,
        in_flight_per_list: int = 4,
        *,
        clock: Callable[[], float] = _loop_time,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self._max_in_flight = in_flight
        self._max_per_list = in_flight_per_list
        self._clock = clock
        self._jitter = jitter
        self.allowance = Allowance()
        self._lists: Counter[str] = Counter()
        self._background = 0
        self._queues: dict[Priority, deque[_WaitingCall]] = {"live": deque(), "background": deque()}
        self._live_in_a_row = 0
        self._timer: asyncio.TimerHandle | None = None

    @classmethod
    def of(cls, settings: CampaignMonitorSettings) -> Self:
        """Return a limiter with the bounds of the settings."""
        return cls(settings.requests_in_flight, settings.requests_in_flight_per_list)

    @property
    def waiting(self) -> int:
        """How many calls wait for their turn."""
        return sum(len(queue) for queue in self._queues.values())

    def free(self, list_id: str | None = None, priority: Priority = "live") -> int:
        """Return how many calls could start at once now; 0 while the account is paused."""
        if self.waiting or self.allowance.wait(self._clock()) > 0:
            return 0
        spare = self._max_in_flight - self.allowance.in_flight
        if priority == "background":
            spare = min(spare, self._max_background - self._background)
        return max(spare if list_id is None else min(spare, self._max_per_list - self._lists[list_id]), 0)

    def pause_left(self) -> float:
        """Return the seconds until the account may be called again; 0 when that depends on a call in flight."""
        wait = self.allowance.wait(self._clock())
        return 0.0 if wait == float("inf") else wait

    def wait(self) -> float:
        """Return the seconds until a call may start; 0 = now, infinity = when one in flight has been answered."""
        if self.allowance.in_flight >= self._max_in_flight:
            return float("inf")
        return self.allowance.wait(self._clock())

    def report(self) -> RateLimitReport:
        """Return what other processes on this account should know; see `merge_report`."""
        return self.allowance.report(self._clock(), time.time())

    def merge_report(self, report: RateLimitReport) -> None:
        """Merge a rate-limit report from another process of the same account."""
        self.allowance = self.allowance.merge_report(report, self._clock(), time.time())
        self._give_turns()

    @asynccontextmanager
    async def slot(self, list_id: str | None = None, priority: Priority = "live") -> AsyncIterator[Slot]:
        """Wait for a turn, hold it while the call runs, and learn from its answer."""
        slot = Slot(await self._turn(list_id, priority))
        try:
            yield slot
        finally:
            self._release(list_id, priority, slot)

    async def _turn(self, list_id: str | None, priority: Priority) -> float:
        waiting = _WaitingCall(list_id, priority, asyncio.get_running_loop().create_future())
        self._queues[priority].append(waiting)
        self._give_turns()
        try:
            return await waiting.turn
        except asyncio.CancelledError:
            if waiting.turn.done() and not waiting.turn.cancelled():
                self._release(list_id, priority, Slot(waiting.turn.result()))
            else:
                self._queues[priority].remove(waiting)
            raise

    def _release(self, list_id: str | None, priority: Priority, slot: Slot) -> None:
        self.allowance = self.allowance.answered(slot.seen, slot.started_at, self._clock(), self._jitter())
        if list_id is not None:
            self._lists[list_id] -= 1
            if not self._lists[list_id]:
                del self._lists[list_id]
        self._background -= priority == "background"
        self._give_turns()

    def _give_turns(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        while self.allowance.in_flight < self._max_in_flight and (following := self._next()) is not None:
            now = self._clock()
            wait = self.allowance.wait(now)
            if wait > 0:
                if wait != float("inf"):
                    self._timer = asyncio.get_running_loop().call_later(wait, self._give_turns)
                return
            self._queues[following.priority].remove(following)
            self._live_in_a_row = self._live_in_a_row + 1 if following.priority == "live" else 0
            self._background += following.priority == "background"
            if following.list_id is not None:
                self._lists[following.list_id] += 1
            self.allowance = self.allowance.started(now)
            following.turn.set_result(now)

    @property
    def _max_background(self) -> int:
        return max(self._max_in_flight - 1, 1)

    def _next(self) -> _WaitingCall | None:
        priorities: tuple[Priority, Priority] = ("live", "background")
        if self._live_in_a_row >= LIVE_TURNS_IN_A_ROW:
            priorities = ("background", "live")
        for priority in priorities:
            if priority == "background" and self._background >= self._max_background:
                continue
            for waiting in self._queues[priority]:
                if not waiting.turn.done() and (
                    waiting.list_id is None or self._lists[waiting.list_id] < self._max_per_list
                ):
                    return waiting
        return None
