"""Random stories of people who change their address themselves: at rest one subscriber has what the person should have.

Upstream goes on meanwhile, a webhook comes at once or later, and the worker is killed and started again.
"""

import asyncio
import contextlib

import pytest
from hypothesis import HealthCheck, given, seed, settings
from hypothesis import strategies as st

from connectors.devkit.simulator import Simulator, SimulatorSettings
from streams.batches import Revoked
from tests.unit.export.export_world import FastLoop, World
from tests.unit.export.test_own_addresses import ANN, webhook

AUDIENCES = ("vip", "eu")
LATE_CALL_SECONDS = 20.0

steps = st.one_of(
    st.tuples(st.sampled_from(["enter", "exit"]), st.sampled_from(AUDIENCES)),
    st.tuples(st.sampled_from(["own", "own", "report", "rest", "restart"]), st.just("")),
    st.tuples(st.just("kill"), st.integers(1, 12).map(str)),
)
Story = list[tuple[str, str]]


class Play:
    """Ann, her addresses, and what upstream stated of her."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.addresses = [ANN]
        self.unreported: list[tuple[str, str]] = []
        self.inside: set[str] = set()

    async def play(self, story: Story, policy: str) -> None:
        """Play a story. Raises AssertionError."""
        self.world.job(on_last_exit=policy)
        self.worker = await self.world.start()
        for number, (action, what) in enumerate([("enter", "vip"), ("rest", ""), *story], 1):
            if action in ("enter", "exit"):
                self.world.change(ANN, action, what, number)
                (self.inside.add if action == "enter" else self.inside.discard)(what)
                await self.worker.consume()
            else:
                await getattr(self, action)(what)
        await self.report("")
        await self.look()
        held = {address: self.world.options(address) for address in self.addresses}
        there = [address for address, options in held.items() if options]
        wanted = sorted(audience.upper() for audience in self.inside)
        assert [held[address] for address in there] == ([wanted] if wanted else []), "not one subscriber of one person"
        if wanted:
            assert there == [self.addresses[-1]], "under another address than theirs"
        receipts = self.world.receipts()
        assert len({receipt["event_id"] for receipt in receipts}) == len(receipts)

    async def own(self, _: str) -> None:
        """Change the address, where she can; a change before it was followed."""
        await self.report("")
        await self.rest("")
        found = self.world.subscriber(self.addresses[-1])
        if found is None or found["State"] != "Active":
            return
        new = f"ann{len(self.addresses)}@example.org"
        self.world.controls.edit_profile(self.world.list_id, self.addresses[-1], new_email=new)
        self.unreported.append((self.addresses[-1], new))
        self.addresses.append(new)

    async def report(self, _: str) -> None:
        """Let the webhooks come."""
        for former, address in self.unreported:
            webhook(self.world, former, address)
        self.unreported = []
        await self.worker.consume()

    async def rest(self, _: str) -> None:
        """Work until nothing is left."""
        await self.worker.rest()

    async def look(self) -> None:
        """Rest, and let what a look finds be done, too."""
        for _ in range(2):
            await self.worker.rest()
            self.world.pass_time(2 * LATE_CALL_SECONDS)
            await asyncio.sleep(LATE_CALL_SECONDS)
        await self.worker.rest()

    async def restart(self, _: str) -> None:
        """End cleanly and start again."""
        await self.worker.stop()
        self.worker = await self.world.start()

    async def kill(self, effects: str) -> None:
        """Report, and die at an effect of what follows."""
        self.worker.process.kill_at = self.worker.process.effects + int(effects)
        with contextlib.suppress(Revoked):
            await self.report("")
            await asyncio.sleep(1.0)
        await self.worker.crash()
        self.worker = await self.world.start()


async def _played(story: Story, policy: str) -> None:
    async with Simulator(SimulatorSettings()) as simulator:
        world = World(simulator, late_call_seconds=LATE_CALL_SECONDS)
        try:
            await Play(world).play(story, policy)
        finally:
            if world.worker is not None:
                await world.worker.crash()


@pytest.mark.parametrize("policy", ["keep", "unsubscribe"])
def test_one_subscriber_has_what_the_person_should_have(policy: str) -> None:
    @seed(1)
    @settings(max_examples=6, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    @given(st.lists(steps, max_size=6))
    def plays(story: Story) -> None:
        with asyncio.Runner(loop_factory=FastLoop) as runner:
            runner.run(_played(story, policy))

    plays()


LEFT_MEANWHILE = [("enter", "eu"), ("kill", "7"), ("own", ""), ("exit", "eu"), ("kill", "4"), ("exit", "vip")]
WRITTEN_MEANWHILE = [("own", ""), ("own", ""), ("enter", "vip")]


@pytest.mark.parametrize("story", [LEFT_MEANWHILE, WRITTEN_MEANWHILE])
def test_what_is_written_meanwhile_is_taken_back(story: Story) -> None:
    with asyncio.Runner(loop_factory=FastLoop) as runner:
        runner.run(_played(story, "unsubscribe"))
