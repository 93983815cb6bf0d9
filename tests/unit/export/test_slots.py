"""Request slots: never more than allowed, live before backfill, and none is lost when a request is cancelled."""

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.export.sending.slots import InFlightRequest, RequestSlots


class Player:
    """A request that holds its slot until the test ends it."""

    def __init__(self, slots: RequestSlots, live: bool, log: list["Player"]) -> None:
        self.request = InFlightRequest(live)
        self.end = asyncio.Event()
        self.holds_slot = False
        self.task = asyncio.create_task(self._run(slots, log))

    async def _run(self, slots: RequestSlots, log: list["Player"]) -> None:
        async with slots.slot(self.request):
            self.holds_slot = True
            log.append(self)
            try:
                await self.end.wait()
            finally:
                self.holds_slot = False


async def settle() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


@given(
    max_requests=st.integers(1, 4),
    steps=st.lists(st.tuples(st.sampled_from(["live", "backfill", "end", "cancel"]), st.integers(0, 20)), max_size=40),
)
def test_slots_are_bounded_and_none_is_lost(max_requests: int, steps: list[tuple[str, int]]) -> None:
    async def play() -> None:
        slots, log, players = RequestSlots(max_requests), list[Player](), list[Player]()
        for step, which in steps:
            if step in ("live", "backfill"):
                players.append(Player(slots, step == "live", log))
            elif players:
                player = players[which % len(players)]
                if step == "end":
                    player.end.set()
                else:
                    player.task.cancel()
            await settle()
            running = [player for player in players if player.holds_slot]
            waiting = [player for player in players if not player.holds_slot and not player.task.done()]
            assert len(running) <= max_requests
            assert sum(not player.request.live for player in running) <= slots.max_background
            if any(player.request.live for player in waiting):
                assert len(running) == max_requests, "a live request waits although a slot is free"
            if waiting and len(running) < max_requests:
                assert sum(not player.request.live for player in running) == slots.max_background
        for player in players:
            player.end.set()
        await asyncio.gather(*(player.task for player in players), return_exceptions=True)
        async with asyncio.timeout(1), slots.slot(InFlightRequest(True)):
            pass

    asyncio.run(play())


@pytest.mark.parametrize("max_requests", [1, 3])
async def test_a_live_request_goes_before_backfills_that_wait_longer(max_requests: int) -> None:
    slots, log = RequestSlots(max_requests), list[Player]()
    first = [Player(slots, True, log) for _ in range(max_requests)]
    await settle()
    backfill, live = Player(slots, False, log), Player(slots, True, log)
    await settle()
    assert log == first
    first[0].end.set()
    await settle()
    assert log[-1] is live
    for player in [*first, live, backfill]:
        player.end.set()
    await asyncio.gather(*(player.task for player in [*first, live, backfill]))
    assert log[-1] is backfill
    assert backfill.request.answered


async def test_a_request_that_is_cancelled_as_a_slot_becomes_free_takes_none() -> None:
    slots, log = RequestSlots(1), list[Player]()
    first, cancelled, third = (Player(slots, True, log) for _ in range(3))
    await settle()
    first.end.set()
    cancelled.task.cancel()
    await settle()
    assert log == [first, third]
    third.end.set()
    await asyncio.gather(third.task)
    assert isinstance((await asyncio.gather(cancelled.task, return_exceptions=True))[0], asyncio.CancelledError)
