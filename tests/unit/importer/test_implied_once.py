"""Activity that listings imply: whichever reads publish it, each event is there once unmarked, and all are there."""

import random
from collections import Counter
from datetime import UTC, datetime, timedelta

import orjson
import pytest

from connectors.devkit.simulator.server import Simulator
from connectors.devkit.simulator.settings import SimulatorSettings
from connectors.importer.tasks import gaps
from connectors.importer.tasks.page import TaskResult
from connectors.importer.tasks.plan import requested
from connectors.importer.translated import ImportedRecord
from schemas.control import ImportJob
from schemas.envelope import rfc3339
from schemas.import_task import ImportTask, key_of
from tests.integration.importer.importing import import_job
from tests.unit.importer.import_world import ImportWorld
from tests.unit.importer.test_unreported import UTC_ZONE, run


def commit(world: ImportWorld, result: TaskResult) -> None:
    for record in result.progress:
        world.table.apply(key_of(record), record.to_bytes())
    for key in result.deleted:
        world.table.apply(key, None)
    for task in result.requests:
        commit(world, requested(task, world.table))


def ask_for_a_poll(world: ImportWorld, list_id: str, since: datetime) -> None:
    """Ask for the events of a list since then, as the receiver does."""
    values = {"list_ids": [list_id], "client_id": world.job.client_id, "since": rfc3339(since)}
    task = ImportTask(
        job_id=world.job.id, run=0, chain=f"gap/{list_id}", kind="gap", started_at=datetime.now(UTC), **values
    )
    commit(world, requested(task, world.table))


def implied(records: list[ImportedRecord]) -> tuple[Counter[str], Counter[str]]:
    """Who was published as gone or come, by a listing: unmarked, and as a repeat."""
    values = [orjson.loads(record.value) for record in records if record.topic == "cm_activity"]
    fresh, repeats = Counter[str](), Counter[str]()
    for value in values:
        if value["source"] == "webhook":
            (repeats if value.get("repeat") else fresh)[f"{value['event']} {value['email']}"] += 1
    return fresh, repeats


class Setting:
    """A list of some people, and who leaves it."""

    def __init__(self, simulator: Simulator) -> None:
        self.simulator = simulator
        self.controls = simulator.controls
        self.client = self.controls.add_client("Acme", UTC_ZONE)
        self.list_id = self.controls.add_list(self.client, "News")
        self.controls.seed_subscribers(self.list_id, 40)
        self.gone: list[str] = []

    def leave(self, people: int = 1) -> None:
        for row in self.controls.subscribers(self.list_id, "Active", limit=people):
            self.controls.unsubscribe(self.list_id, row["EmailAddress"])
            self.gone.append(f"deactivate {row['EmailAddress']}")

    def job(self, name: str = "j") -> ImportJob:
        return import_job(self.client, activities=["unsubscribe"]).model_copy(update={"id": name})

    def world(self, seed: int = 1, before: ImportWorld | None = None, name: str = "j") -> ImportWorld:
        return ImportWorld(self.simulator, self.job(name), seed, before.table if before else None)


@pytest.fixture
async def setting():
    async with Simulator(SimulatorSettings()) as simulator:
        yield Setting(simulator)


@pytest.mark.parametrize("name", ["j", "another"])
async def test_of_the_minute_of_its_read_a_removed_job_has_published_what_it_found(setting, name):
    setting.leave()
    async with setting.world() as first:
        await run(first)
        assert implied(first.published)[0][setting.gone[0]] == 1
        first.remove()
    setting.leave()
    async with setting.world(2, first, name) as second:
        await run(second)
    fresh, repeats = implied(second.published)
    assert (fresh[setting.gone[0]], repeats[setting.gone[0]]) == (0, 1)
    assert (fresh[setting.gone[1]], repeats[setting.gone[1]]) == (1, 0)


async def test_an_event_between_the_borders_of_two_polls_comes_again_as_a_repeat(setting):
    async with setting.world() as world:
        await run(world)
        world.published.clear()
        asked = datetime.now(UTC) - timedelta(minutes=2)
        ask_for_a_poll(world, setting.list_id, asked - timedelta(hours=1))
        setting.leave()  # since it was asked for, and before it is read
        await world.work()
        assert implied(world.published)[0][setting.gone[0]] == 1
        setting.leave()
        ask_for_a_poll(world, setting.list_id, asked)
        await world.work()
    fresh, repeats = implied(world.published)
    assert (fresh[setting.gone[0]], repeats[setting.gone[0]]) == (1, 1)
    assert (fresh[setting.gone[1]], repeats[setting.gone[1]]) == (1, 0)


@pytest.mark.parametrize("poll_first", [True, False])
async def test_what_a_poll_and_the_first_read_of_a_list_hold_is_a_repeat_in_the_later_one(setting, poll_first):
    began = datetime.now(UTC) - timedelta(minutes=1)
    async with setting.world() as world:
        setting.leave()
        if poll_first:
            world.change(activities=["open"])
            await run(world)
            world.change(activities=["unsubscribe"])
        else:
            await run(world)
        ask_for_a_poll(world, setting.list_id, began)
        await world.work()
        await run(world)
    fresh, repeats = implied(world.published)
    assert (fresh[setting.gone[0]], repeats[setting.gone[0]]) == (1, 1)


@pytest.mark.parametrize("how", ["again", "stopped", "removed"])
async def test_of_a_read_that_does_not_go_on_it_is_known_what_it_published(setting, how):
    began = datetime.now(UTC) - timedelta(minutes=1)
    async with setting.world() as world:
        await run(world)
        setting.leave(25)
        ask_for_a_poll(world, setting.list_id, began)
        chain = f"gap/{setting.list_id}/unsubscribed"
        while not (chain in world.table.gaps("j") and world.table.gaps("j")[chain].tally.rows):
            await world.work(1)
        before = implied(world.published)[0]
        part = sum(before[name] for name in setting.gone)
        assert 0 < part < 25
        records = world.published
        if how == "again":
            ask_for_a_poll(world, setting.list_id, began)
            await world.work()
        else:
            other = setting.job("other")
            owner = {"j": world.job.model_copy(update={"state": "stopped"})} if how == "stopped" else {}
            if how == "removed":
                world.remove()
            for left in list(world.table.gaps("j").values()):
                result = TaskResult()
                gaps.take_over(
                    left.model_copy(update={"state": "parked"}),
                    {"other": other, **owner},
                    world.table,
                    datetime.now(UTC),
                    result,
                )
                commit(world, result)
            async with setting.world(2, world, "other") as taker:
                await taker.work()
                records = records + taker.published
    fresh, repeats = implied(records)
    assert {name: fresh[name] for name in setting.gone} == dict.fromkeys(setting.gone, 1)
    assert sum(repeats[name] for name in setting.gone) >= part


@pytest.mark.parametrize("seed", range(8))
async def test_in_any_order_each_event_is_there_once_unmarked(setting, seed):
    dice = random.Random(seed)
    polled = datetime.now(UTC) - timedelta(minutes=1)
    records: list[ImportedRecord] = []
    world = setting.world(seed)
    for number in range(3):
        async with world:
            for _turn in range(dice.randint(3, 8)):
                match dice.choice(["leave", "poll", "run", "work", "crash"]):
                    case "leave":
                        setting.leave(dice.choice([1, 3]))
                    case "poll":
                        ask_for_a_poll(world, setting.list_id, polled)
                        polled = datetime.now(UTC)
                    case "run":
                        world.ask_for_a_run()
                    case "crash":
                        world.crash()
                await world.work(dice.choice([0, 2, 9, 60]))
            await world.work()
            await run(world)
            ask_for_a_poll(world, setting.list_id, polled)
            await world.work()
            polled = datetime.now(UTC)
            records += world.published
            world.remove()
        world = setting.world(seed, world, dice.choice(["j", f"j{number}"]))
    fresh, _repeats = implied(records)
    gone = {name: fresh[name] for name in setting.gone}
    assert gone == dict.fromkeys(setting.gone, 1)
