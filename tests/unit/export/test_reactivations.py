"""Property: nobody is made active again more often than they entered an audience since they left by themselves.

Whatever happens in between: fields, jobs and names change, events come late or again, webhooks come or are lost, the
worker is started again or loses its table, somebody asks for a repair, a job takes people off. At rest or not.
"""

import asyncio
import random
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from connectors.devkit.simulator import Simulator, SimulatorSettings
from tests.unit.export.export_world import DAY, FastLoop, World
from tests.unit.export.test_consent import ANN, repair_is_asked_for, table_is_lost, webhook_reports

AUDIENCES = ["vip", "eu", "new"]
LEAVE = ["unsubscribe", "delete_subscriber", "hard_bounce", "complain"]
STATUS = {"delete_subscriber": "delete", "hard_bounce": "bounce"}
POLICIES = ["keep", "unsubscribe", "delete"]
STEPS = [
    "enter", "enter", "exit", "snapshot", "field", "rename", "edit", "leave", "leave", "again", "repair", "restart",
    "rebuild", "rest", "removal reported",
]  # fmt: skip

Step = tuple[str, int, int]
"""What happens, how many seconds later, and a number that settles the details."""


class Play:
    """One sequence of steps, and what was entered and left by then."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.now = 60
        self.entries: set[tuple[str, int]] = set()
        self.left: list[int] = []
        self.published: list[tuple[str, str, int]] = []

    def configure(self, number: int) -> None:
        """Create the jobs, or edit them: now they resubscribe, now they do not."""
        options: dict[str, Any] = {
            "field_mappings": [{"user_field": "city", "custom_field": "City"}],
            "on_last_exit": POLICIES[number % 3],
            "update_only": number % 5 == 4,
            "restart_autoresponders": number % 2 == 0,
            "existing_users": number % 7 > 3,
        }
        self.world.job("job-1", resubscribe_users=number % 4 > 0, audiences=["vip", "new"], **options)
        self.world.job("job-2", resubscribe_users=number % 8 > 0, audiences=["eu", "new"])

    async def step(self, name: str, number: int) -> None:
        """Let one thing happen."""
        world, audience, late = self.world, AUDIENCES[number % 3], number % 4 * 40
        assert world.worker is not None
        if name == "enter":
            self._change("enter", audience, self.now - late)
        elif name == "exit":
            self._change("exit", audience, self.now - late)
        elif name == "again" and self.published:
            self._change(*self.published[number % len(self.published)])
        elif name == "snapshot":
            inside = [audience for place, audience in enumerate(AUDIENCES) if number >> place & 1]
            world.snapshot(ANN, inside, self.now - late, user={"city": f"City {number % 3}"})
            self.entries.add(("snapshot", self.now - late))
        elif name == "field":
            world.publish(ANN, {"email": ANN, "change": "snapshot", "audiences": [], "at": "2026-02-01T00:00:00Z",
                                "user": {"city": f"City {number}"}})  # fmt: skip
        elif name == "rename":
            world.change("bob@example.com", "enter", audience, self.now, name=f"Name {number}")
        elif name == "edit":
            self.configure(number)
        elif name == "leave":
            self._leave(number)
        elif name == "removal reported":
            webhook_reports(world, self.now, POLICIES[1 + number % 2])
        elif name == "repair":
            repair_is_asked_for(world, self.now)
        elif name in ("restart", "rebuild"):
            await (world.worker.crash() if number % 2 else world.worker.stop())
            if name == "rebuild":
                table_is_lost(world, self.now)
            await world.start()
        if name == "rest" or number % 3:
            await world.worker.rest()

    def _change(self, change: str, audience: str, at: int) -> None:
        self.world.change(ANN, change, audience, at)
        self.published.append((change, audience, at))
        if change == "enter":
            self.entries.add((audience, at))

    def _leave(self, number: int) -> None:
        found = self.world.subscriber(ANN)
        if found is None or found["State"] != "Active":
            return
        leave = LEAVE[number % 4]
        getattr(self.world.controls, leave)(self.world.list_id, ANN)
        self.left.append(self.now)
        if number % 2:
            webhook_reports(self.world, self.now, STATUS.get(leave, "unsubscribe"))

    def check(self) -> None:
        """Count, from each own act to the next one, how often we made her active again."""
        day = DAY.timestamp()
        writes = [write for write in self.world.controls.writes(list_id=self.world.list_id) if write["email"] == ANN]
        ours = [
            write["at"] - day
            for write in writes
            if write["who"] != "person" and write["before"] not in (None, "Active") and write["after"] == "Active"
        ]
        for place, left in enumerate(self.left):
            until = self.left[place + 1] if place + 1 < len(self.left) else float("inf")
            reactivated = sum(left <= at < until for at in ours)
            entered = sum(at > left for _, at in self.entries)
            assert reactivated <= entered, f"{reactivated} times after {left}, with {entered} entries"


async def play(steps: list[Step], number: int) -> None:
    async with Simulator(SimulatorSettings()) as simulator:
        world = World(simulator)
        world.at(60)
        world.controls.add_subscriber(world.list_id, ANN)
        it = Play(world)
        it.configure(number)
        await world.start()
        try:
            for name, seconds, detail in steps:
                it.now += seconds
                world.at(it.now)
                await it.step(name, detail)
            assert world.worker is not None
            await world.worker.rest()
            it.check()
        finally:
            if world.worker is not None:
                await world.worker.crash()


def run(steps: list[Step], number: int) -> None:
    with asyncio.Runner(loop_factory=FastLoop) as runner:
        runner.run(play(steps, number))


STEP = st.tuples(st.sampled_from(STEPS), st.integers(1, 150), st.integers(0, 63))


@pytest.mark.slow
@given(steps=st.lists(STEP, min_size=5, max_size=25), number=st.integers(0, 31))
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_reactivations_never_exceed_the_entries_since_they_left(steps: list[Step], number: int) -> None:
    run(steps, number)


@pytest.mark.parametrize("seed", range(4))
def test_reactivations_of_fixed_plays(seed: int) -> None:
    dice = random.Random(seed)
    run([(dice.choice(STEPS), dice.randint(1, 150), dice.randint(0, 63)) for _ in range(15)], 1)
