"""Whose turn it is: a thin shell around `limits`, with a bound on what is in flight per account and per list.

Two lanes. `live` may use every slot; `background` (a backfill) leaves one slot free and goes after waiting live calls,
but at least every eighth turn. So a live change never waits for a backfill's slow import to end.
"""

import asyncio
import random
import time
from collections import Counter, deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Literal, Self

from connectors.campaign_monitor.limits.allowance import NOTHING_SEEN, Allowance, Seen, Told
from connectors.campaign_monitor.settings import CampaignMonitorSettings

Lane = Literal["live", "background"]

# More would let a busy live lane starve a backfill for long; fewer would cost live changes their precedence.
LIVE_TURNS_IN_A_ROW = 7


@dataclass(slots=True)
class Slot:
    """A turn that was given. Tell it the answer; without one, the request counts as made and nothing is learned."""

    started_at: float
    seen: Seen = NOTHING_SEEN

    def answered(self, seen: Seen) -> None:
        """Keep what the answer says about the limit."""
        self.seen = seen


@dataclass(slots=True, eq=False)
class _Waiting:
    list_id: str | None
    lane: Lane
    turn: asyncio.Future[float]


class Limiter:
    """Bounds the calls of one account in this process. All calls of the account must go through one limiter."""

    def __init__(
        self,
        in_flight: int = 4,
        in_flight_per_list: int = 4,
        *,
        clock: Callable[[], float] = time.monotonic,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self._most = in_flight
        self._most_per_list = in_flight_per_list
        self._clock = clock
        self._jitter = jitter
        self.allowance = Allowance()
        self._lists: Counter[str] = Counter()
        self._background = 0
        self._queues: dict[Lane, deque[_Waiting]] = {"live": deque(), "background": deque()}
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

    def free(self, list_id: str | None = None, lane: Lane = "live") -> int:
        """Return how many calls could start at once now; 0 while the account is paused."""
        if self.waiting or self.allowance.wait(self._clock()) > 0:
            return 0
        spare = self._most - self.allowance.in_flight
        if lane == "background":
            spare = min(spare, self._most_background - self._background)
        return max(spare if list_id is None else min(spare, self._most_per_list - self._lists[list_id]), 0)

    def pause_left(self) -> float:
        """Return the seconds until the account may be asked again: what a person or a planner wants to know."""
        wait = self.allowance.wait(self._clock())
        return 0.0 if wait == float("inf") else wait

    def told(self) -> Told:
        """Return what other processes on this account should know; see `heard`."""
        return self.allowance.told(self._clock(), time.time())

    def heard(self, told: Told) -> None:
        """Take in what another process on this account told."""
        self.allowance = self.allowance.heard(told, self._clock(), time.time())
        self._give_turns()

    @asynccontextmanager
    async def slot(self, list_id: str | None = None, lane: Lane = "live") -> AsyncIterator[Slot]:
        """Wait for a turn, hold it while the call runs, and learn from its answer."""
        slot = Slot(await self._turn(list_id, lane))
        try:
            yield slot
        finally:
            self._release(list_id, lane, slot)

    async def _turn(self, list_id: str | None, lane: Lane) -> float:
        waiting = _Waiting(list_id, lane, asyncio.get_running_loop().create_future())
        self._queues[lane].append(waiting)
        self._give_turns()
        try:
            return await waiting.turn
        except asyncio.CancelledError:
            if waiting.turn.done() and not waiting.turn.cancelled():
                self._release(list_id, lane, Slot(waiting.turn.result()))
            else:
                self._queues[lane].remove(waiting)
            raise

    def _release(self, list_id: str | None, lane: Lane, slot: Slot) -> None:
        self.allowance = self.allowance.answered(slot.seen, slot.started_at, self._clock(), self._jitter())
        if list_id is not None:
            self._lists[list_id] -= 1
            if not self._lists[list_id]:
                del self._lists[list_id]
        self._background -= lane == "background"
        self._give_turns()

    def _give_turns(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        while self.allowance.in_flight < self._most and (chosen := self._next()) is not None:
            now = self._clock()
            wait = self.allowance.wait(now)
            if wait > 0:
                if wait != float("inf"):
                    self._timer = asyncio.get_running_loop().call_later(wait, self._give_turns)
                return
            self._queues[chosen.lane].remove(chosen)
            self._live_in_a_row = self._live_in_a_row + 1 if chosen.lane == "live" else 0
            self._background += chosen.lane == "background"
            if chosen.list_id is not None:
                self._lists[chosen.list_id] += 1
            self.allowance = self.allowance.started(now)
            chosen.turn.set_result(now)

    @property
    def _most_background(self) -> int:
        return max(self._most - 1, 1)

    def _next(self) -> _Waiting | None:
        lanes: tuple[Lane, Lane] = ("live", "background")
        if self._live_in_a_row >= LIVE_TURNS_IN_A_ROW:
            lanes = ("background", "live")
        for lane in lanes:
            if lane == "background" and self._background >= self._most_background:
                continue
            for waiting in self._queues[lane]:
                if not waiting.turn.done() and (
                    waiting.list_id is None or self._lists[waiting.list_id] < self._most_per_list
                ):
                    return waiting
        return None
