"""Plays of people whose addresses change, with deliveries, clean ends and crashes anywhere in between."""

import asyncio
import random
from collections import Counter
from typing import Any, NamedTuple

from connectors.devkit.simulator import Simulator, SimulatorSettings
from schemas.membership_command import LEAVE
from tests.unit.export.export_world import FastLoop, World

ADDRESSES = [f"{name}@example.com" for name in ("ann", "bob", "cem", "dee", "eve")]
AUDIENCES = ["vip", "eu", "new"]
CHANGES = ("change", "change", "change", "move", "swap", "cycle", "follow")
MEANWHILE = ("", "", "fold", "some", "rest", "stop", "crash", "kill", "reset", "hand over")


class Change(NamedTuple):
    """One record of upstream."""

    address: str
    change: str
    audience: str
    at: int
    previous: str | None = None


class Upstream:
    """Who has which address, and what was published about them, in the order in which it happened."""

    def __init__(self) -> None:
        self.address = {"p": ADDRESSES[0], "q": ADDRESSES[1], "r": ADDRESSES[2]}
        self.inside: dict[str, set[str]] = {"p": set(), "q": set(), "r": set()}
        self.at = 0
        self.records: list[Change] = []

    def change(self, person: str, audience: str, enters: bool, previous: str | None = None) -> None:
        """Enter or leave."""
        (self.inside[person].add if enters else self.inside[person].discard)(audience)
        change = "enter" if enters else "exit"
        self.records.append(Change(self.address[person], change, audience, self.at, previous))

    def move(self, targets: dict[str, str], audience: str) -> None:
        """Several people have other addresses, at one instant."""
        before = {person: self.address[person] for person in targets}
        self.address |= targets
        for person in targets:
            self.change(person, audience, True, before[person])

    def act(self, dice: random.Random) -> None:
        """Do something."""
        self.at += 1
        people = sorted(self.address)
        dice.shuffle(people)
        person, other, audience = people[0], people[1], dice.choice(AUDIENCES)
        free = [address for address in ADDRESSES if address not in self.address.values()]
        have = dict(self.address)
        match dice.choice(CHANGES):
            case "change":
                self.change(person, audience, dice.random() < 0.6)
            case "move":
                self.move({person: dice.choice(free)}, audience)
            case "swap":
                self.move({person: have[other], other: have[person]}, audience)
            case "cycle":
                self.move({people[i]: have[people[(i + 1) % 3]] for i in range(3)}, audience)
            case "follow":
                self.move({person: have[other], other: dice.choice(free)}, audience)

    def wanted(self) -> dict[str, list[str]]:
        """Return the options that each address is to have."""
        wanted: dict[str, list[str]] = {address: [] for address in ADDRESSES}
        for person, address in self.address.items():
            wanted[address] = sorted(audience.upper() for audience in self.inside[person])
        return wanted


def in_order(records: list[Change], numbers: list[int]) -> list[int]:
    """Return the order as far as upstream has to keep it, the rest as it is.

    Who left one address after each other: in their order. Of one key: a change of address before what is later.
    """
    former = [records[number].previous for number in numbers]
    for address in ADDRESSES:
        places = [place for place, left in enumerate(former) if left == address]
        for place, number in zip(places, sorted(numbers[place] for place in places), strict=True):
            numbers[place] = number
    ordered: list[int] = []

    def publish(number: int) -> None:
        key, at, former = records[number].address, records[number].at, records[number].previous
        for other in range(number):  # also of what is published earlier than its place for this
            before = records[other]
            arrives = before.previous and before.address == key and before.at < at
            if other not in ordered and (arrives or (former and before.previous == former)):
                publish(other)
        if number not in ordered:
            ordered.append(number)

    for number in numbers:
        publish(number)
    return ordered


class Play:
    """One world, and the worker that runs in it now."""

    def __init__(self, world: World, dice: random.Random) -> None:
        self.world = world
        self.dice = dice
        self.steps: list[str] = []

    async def run(self, records: list[Change], meanwhile: tuple[str, ...]) -> None:
        """Publish the records, with other things in between, until nothing is left to do."""
        await self.world.start()
        for record in records:
            more = {"previous_email": record.previous} if record.previous else {}
            self.world.change(record.address, record.change, record.audience, record.at, **more)
            self.steps.append(" ".join(map(str, record)))
            await self._meanwhile(self.dice.choice(meanwhile))
        for _ in range(3):
            await self._restarted(lambda worker: worker.rest())
            await asyncio.sleep(6)
            self.world.pass_time(1000)

    async def _meanwhile(self, what: str) -> None:
        worker = self.world.worker
        assert worker is not None
        self.steps.append(f"    {what}")
        match what:
            case "fold":
                await self._restarted(lambda worker: worker.consume())
            case "some":
                await self._restarted(lambda worker: worker.consume())
                await asyncio.sleep(self.dice.random() / 2)
            case "rest":
                await self._restarted(lambda worker: worker.rest())
            case "stop" if worker.process.alive:
                await worker.stop()
                await self.world.start()
            case "crash":
                await worker.crash()
                await self.world.start()
            case "kill" if worker.process.alive:
                worker.process.kill_at = worker.process.effects + self.dice.randint(1, 12)
            case "hand over" if worker.process.alive and worker.process.kill_at is None:
                await worker.hand_over(self.dice.randrange(self.world.log.partitions))
            case "reset":
                self.world.controls.inject(kind="reset", after=self.dice.random() < 0.5, path="/subscribers/*")

    async def _restarted(self, job: Any) -> None:
        """Run a job; a worker that is killed meanwhile is followed by another one."""
        while True:
            worker = self.world.worker
            assert worker is not None
            task = asyncio.ensure_future(job(worker))
            while worker.process.alive and not task.done():  # noqa: ASYNC110 - a process that is killed wakes nobody
                await asyncio.sleep(0.05)
            if worker.process.alive:
                await task
                return
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            await worker.crash()
            await self.world.start()


async def _play(seed: int, meanwhile: tuple[str, ...]) -> str:
    dice = random.Random(seed)
    upstream = Upstream()
    for _ in range(dice.randint(2, 8)):
        upstream.act(dice)
    numbers = list(range(len(upstream.records)))
    late = dice.choice([0, 0, 1, 2, 8])  # how far a record may come from its place
    numbers.sort(key=lambda number: number + dice.randint(0, late))
    records = [upstream.records[number] for number in in_order(upstream.records, numbers)]
    async with Simulator(SimulatorSettings()) as simulator:
        world = World(simulator, late_call_seconds=0.2)
        world.min_people = 1 if seed % 2 else world.min_people
        world.job()
        play = Play(world, dice)
        await play.run(records, meanwhile)
        found = {address: world.options(address) for address in ADDRESSES}
        assert world.worker is not None
        await world.worker.crash()
        faults = [] if found == upstream.wanted() else [f"found {found}", f"wanted {upstream.wanted()}"]
        faults += _receipts(world)
        return "\n".join([f"seed {seed}", *play.steps, *faults]) if faults else ""


def _receipts(world: World) -> list[str]:
    """Return what is wrong with the receipts: one for each change of upstream, none for records of our own."""
    answered = Counter((receipt["source"]["partition"], receipt["source"]["offset"]) for receipt in world.receipts())
    faults: list[str] = []
    for partition in range(world.log.partitions):
        for record in world.log.topics.get(("audience-membership", partition), ()):
            expected = 0 if any(name == LEAVE for name, _ in record.headers) else 1
            if answered[partition, record.offset] != expected:
                faults.append(f"{answered[partition, record.offset]} receipts of {record.value!r}")
    return faults


def play_addresses(seed: int, meanwhile: tuple[str, ...] = MEANWHILE) -> str:
    """Return what is wrong after the play of this seed, with all that was done; empty: nothing is."""
    with asyncio.Runner(loop_factory=FastLoop) as runner:
        return runner.run(_play(seed, meanwhile))
