"""Turns on the wire: never more than allowed, live before backfill, and none is lost when a request is given up."""

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.delivery.wire import Passage, Wire


class Player:
    """A request that holds its turn until it is told to end."""

    def __init__(self, wire: Wire, live: bool, log: list["Player"]) -> None:
        self.passage = Passage(live)
        self.end = asyncio.Event()
        self.on_it = False
        self.task = asyncio.create_task(self._run(wire, log))

    async def _run(self, wire: Wire, log: list["Player"]) -> None:
        async with wire.turn(self.passage):
            self.on_it = True
            log.append(self)
            try:
                await self.end.wait()
            finally:
                self.on_it = False


async def settle() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


@given(
    most=st.integers(1, 4),
    steps=st.lists(st.tuples(st.sampled_from(["live", "backfill", "end", "cancel"]), st.integers(0, 20)), max_size=40),
)
def test_turns_are_bounded_and_none_is_lost(most: int, steps: list[tuple[str, int]]) -> None:
    async def play() -> None:
        wire, log, players = Wire(most), list[Player](), list[Player]()
        for step, which in steps:
            if step in ("live", "backfill"):
                players.append(Player(wire, step == "live", log))
            elif players:
                player = players[which % len(players)]
                if step == "end":
                    player.end.set()
                else:
                    player.task.cancel()
            await settle()
            running = [it for it in players if it.on_it]
            waiting = [it for it in players if not it.on_it and not it.task.done()]
            assert len(running) <= most
            assert sum(not it.passage.live for it in running) <= wire.most_background
            if any(it.passage.live for it in waiting):
                assert len(running) == most, "a live request waits although a turn is free"
            if waiting and len(running) < most:
                assert sum(not it.passage.live for it in running) == wire.most_background
        for player in players:
            player.end.set()
        await asyncio.gather(*(it.task for it in players), return_exceptions=True)
        async with asyncio.timeout(1), wire.turn(Passage(True)):
            pass

    asyncio.run(play())


@pytest.mark.parametrize("most", [1, 3])
async def test_a_live_request_goes_before_backfills_that_wait_longer(most: int) -> None:
    wire, log = Wire(most), list[Player]()
    first = [Player(wire, True, log) for _ in range(most)]
    await settle()
    backfill, live = Player(wire, False, log), Player(wire, True, log)
    await settle()
    assert log == first
    first[0].end.set()
    await settle()
    assert log[-1] is live
    for it in [*first, live, backfill]:
        it.end.set()
    await asyncio.gather(*(it.task for it in [*first, live, backfill]))
    assert log[-1] is backfill
    assert backfill.passage.answered
