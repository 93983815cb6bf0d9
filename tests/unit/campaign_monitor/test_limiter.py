"""Turns: bounds hold, priorities keep their order, nothing leaks when a call is cancelled."""

import asyncio

from connectors.campaign_monitor.limits.allowance import RateLimitSignal
from connectors.campaign_monitor.limits.limiter import Limiter, Priority


async def settle() -> None:
    for _ in range(20):
        await asyncio.sleep(0)


class Calls:
    """Calls that hold their slot until they are let go."""

    def __init__(self, limiter: Limiter) -> None:
        self.limiter = limiter
        self.running: list[str] = []
        self.tasks: dict[str, asyncio.Task[None]] = {}
        self.gates: dict[str, asyncio.Event] = {}

    def start(self, name: str, list_id: str | None = None, priority: Priority = "live") -> None:
        self.gates[name] = asyncio.Event()
        self.tasks[name] = asyncio.create_task(self._run(name, list_id, priority))

    async def _run(self, name: str, list_id: str | None, priority: Priority) -> None:
        async with self.limiter.slot(list_id, priority):
            self.running.append(name)
            await self.gates[name].wait()

    async def end(self, name: str) -> None:
        self.gates[name].set()
        await self.tasks[name]
        await settle()

    async def cancel(self, *names: str) -> None:
        for name in names:
            self.tasks[name].cancel()
        await asyncio.gather(*(self.tasks[name] for name in names), return_exceptions=True)
        await settle()


async def test_bounds_per_account_and_per_list() -> None:
    calls = Calls(Limiter(3, 2))
    for name in ("a1", "a2", "a3", "b1", "b2"):
        calls.start(name, name[0])
    await settle()
    assert calls.running == ["a1", "a2", "b1"], "the third of a list waits, another list goes on"
    await calls.end("b1")
    assert calls.running == ["a1", "a2", "b1", "b2"]
    await calls.end("a1")
    assert calls.running[-1] == "a3"
    await calls.cancel("a2", "a3", "b2")
    assert calls.limiter.allowance.in_flight == 0
    assert calls.limiter.free("a") == 2


async def test_a_backfill_leaves_a_slot_and_goes_last() -> None:
    calls = Calls(Limiter(2, 2))
    calls.start("back1", priority="background")
    calls.start("back2", priority="background")
    await settle()
    assert calls.running == ["back1"]
    assert calls.limiter.free(priority="background") == 0
    calls.start("live1")
    await settle()
    assert calls.running == ["back1", "live1"], "a live call never waits for a backfill"
    calls.start("live2")
    await calls.end("live1")
    assert calls.running[-1] == "live2"
    await calls.cancel("back1", "back2", "live2")


async def test_a_busy_live_lane_does_not_starve_a_backfill() -> None:
    calls = Calls(Limiter(1, 1))
    calls.start("first")
    calls.start("back", priority="background")
    for number in range(12):
        calls.start(f"live{number}")
    await settle()
    while "back" not in calls.running:
        await calls.end(calls.running[-1])
    assert calls.running.index("back") == 7
    await calls.cancel(*(name for name, task in calls.tasks.items() if not task.done()))


async def test_a_cancelled_call_gives_its_turn_back() -> None:
    calls = Calls(Limiter(1, 1))
    for name in ("one", "two", "three"):
        calls.start(name, "l")
    await settle()
    await calls.cancel("two")
    await calls.end("one")
    assert calls.running == ["one", "three"]
    await calls.end("three")
    assert (calls.limiter.allowance.in_flight, calls.limiter.waiting) == (0, 0)


async def test_a_turn_that_came_while_being_cancelled_is_given_back() -> None:
    limiter = Limiter(1, 1)
    calls = Calls(limiter)
    async with limiter.slot():
        calls.start("two")
        await settle()
    await calls.cancel("two")  # its turn was set when the slot above ended, and it has not run since
    assert calls.running == []
    assert limiter.allowance.in_flight == 0
    calls.start("three")
    await settle()
    assert calls.running == ["three"]
    await calls.end("three")


async def test_a_pause_holds_everybody_and_ends_by_itself() -> None:
    now = [100.0]
    limiter = Limiter(2, 2, clock=lambda: now[0], jitter=lambda: 0.0)
    async with limiter.slot() as slot:
        slot.answered(RateLimitSignal(throttled=True, limit=10, remaining=0, reset=30.0))
    assert 30 <= limiter.pause_left() <= 31
    assert limiter.free() == 0
    calls = Calls(limiter)
    calls.start("waits")
    await settle()
    assert calls.running == []
    now[0] += 31
    limiter._give_turns()
    await settle()
    assert calls.running == ["waits"]
    await calls.end("waits")


async def test_a_timer_ends_a_real_pause() -> None:
    limiter = Limiter(1, 1, jitter=lambda: 0.0)
    async with limiter.slot() as slot:
        slot.answered(RateLimitSignal(throttled=False, limit=1, remaining=0, reset=0.05))
    async with asyncio.timeout(5), limiter.slot():
        pass


async def test_what_another_process_heard_holds_us_too() -> None:
    ours, theirs = Limiter(2, 2), Limiter(2, 2)
    async with theirs.slot() as slot:
        slot.answered(RateLimitSignal(throttled=True, reset=20.0))
    ours.merge_report(theirs.report())
    assert 15 < ours.pause_left() < 22
