"""Whose call is next: a bounded number in flight in this process, fair among accounts and jobs.

A slot is held from the moment the account may be called until the body has arrived. While an account's limit or a
pause lets it wait, its calls hold nothing, so other accounts go on; a body is parsed after its slot is free.
"""

import asyncio
import heapq
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import count
from math import inf
from typing import NamedTuple

from prometheus_client import Gauge

from connectors.campaign_monitor.client.caller import Caller
from connectors.campaign_monitor.client.requests import Request

IN_FLIGHT = Gauge(
    "cm_streams_import_pages_in_flight",
    "Slots that are in use by calls of the import. At its bound without progress: Campaign Monitor is slow.",
)


class Turn(NamedTuple):
    """Who wants a slot: the account, the job, and how many pages its chain has left to read."""

    account: str
    job_id: str
    pages_left: int
    wait: Callable[[], float]
    """Seconds until the account may be called; 0 = now, infinity = once one of its calls was answered."""


_Waiting = tuple[int, int, "asyncio.Future[None]"]


@dataclass(slots=True)
class _Share:
    """What an account or one of its jobs has of the slots."""

    in_use: int = 0
    served: int = 0

    @property
    def rank(self) -> tuple[int, int]:
        return self.in_use, self.served


@dataclass(slots=True)
class _Account(_Share):
    wait: Callable[[], float] = lambda: 0.0
    jobs: dict[str, _Share] = field(default_factory=lambda: defaultdict(_Share))
    queues: dict[str, list[_Waiting]] = field(default_factory=dict)


class Slots:
    """Bounds the calls of this process.

    The account with the fewest calls in flight goes first, of it the job with the fewest, of that the chain with most
    pages left, so that no long chain is left alone at the end. Between equals it is the one that waited longer.
    """

    def __init__(self, slots: int) -> None:
        self._free = slots
        self._numbers = count(1)
        self._accounts: dict[str, _Account] = {}
        self._timer: asyncio.TimerHandle | None = None

    async def take(self, turn: Turn) -> None:
        """Wait for a slot. Give it back with `release`."""
        taken: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        account = self._accounts.setdefault(turn.account, _Account())
        account.wait = turn.wait
        queue = account.queues.setdefault(turn.job_id, [])
        heapq.heappush(queue, (-turn.pages_left, next(self._numbers), taken))
        self._give()
        try:
            await taken
        except asyncio.CancelledError:
            if taken.done() and not taken.cancelled():
                self.release(turn)
            raise

    def release(self, turn: Turn) -> None:
        """Give a slot back."""
        account = self._accounts[turn.account]
        account.in_use -= 1
        account.jobs[turn.job_id].in_use -= 1
        self._free += 1
        IN_FLIGHT.dec()
        self._give()

    def _give(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        while self._free and (account := self._next_account()) is not None:
            job_id = min(account.queues, key=lambda job_id: account.jobs[job_id].rank)
            _, _, taken = heapq.heappop(account.queues[job_id])
            _drop_cancelled(account)
            number = next(self._numbers)
            for share in (account, account.jobs[job_id]):
                share.in_use, share.served = share.in_use + 1, number
            self._free -= 1
            IN_FLIGHT.inc()
            taken.set_result(None)

    def _next_account(self) -> _Account | None:
        soonest = inf
        found: _Account | None = None
        for account in self._accounts.values():
            _drop_cancelled(account)
            if account.queues and (found is None or account.rank < found.rank):
                wait = account.wait()
                if wait <= 0:
                    found = account
                soonest = min(soonest, wait if wait > 0 else inf)
        if found is None and soonest < inf:
            self._timer = asyncio.get_running_loop().call_later(soonest, self._give)
        return found


def _drop_cancelled(account: _Account) -> None:
    """Remove calls that nobody waits for any more, and queues that are empty."""
    for job_id, queue in list(account.queues.items()):
        while queue and queue[0][2].done():
            heapq.heappop(queue)
        if not queue:
            del account.queues[job_id]


class SlotCaller:
    """Calls through a slot. It is free as soon as the body has arrived."""

    def __init__(self, caller: Caller, slots: Slots, account: str, job_id: str, pages_left: int) -> None:
        self._caller = caller
        self._slots = slots
        self._turn = Turn(account, job_id, pages_left, caller.wait)

    def wait(self) -> float:
        """Return the seconds until the account may be called."""
        return self._caller.wait()

    async def call(self, request: Request) -> bytes:
        """Make the call when it is its turn. Raises `errors.CampaignMonitorError`."""
        await self._slots.take(self._turn)
        try:
            return await self._caller.call(request)
        finally:
            self._slots.release(self._turn)
