"""Unsubscribes that no report holds: each becomes activity once, however the job's start is edited, and whenever."""

from collections import Counter
from datetime import UTC, datetime, timedelta

import orjson
import pytest

from connectors.devkit.simulator.server import Simulator
from connectors.devkit.simulator.settings import SimulatorSettings
from connectors.importer.readers import reader as readers
from tests.integration.importer.importing import import_job
from tests.unit.importer.import_world import ImportWorld

UTC_ZONE = "(GMT) Coordinated Universal Time"


def books(simulator: Simulator, list_id: str, since: datetime | None) -> Counter[str]:
    """Who unsubscribed since then, as the simulator holds it."""
    first = "" if since is None else f"{since:%Y-%m-%d %H:%M}"
    people = simulator.controls.each_subscriber(list_id)
    return Counter(row["EmailAddress"] for row in people if row["State"] == "Unsubscribed" and row["Date"] >= first)


def published(world: ImportWorld, *, repeat: bool = False) -> Counter[str]:
    """Who was published as unsubscribed, marked as a repeat or not."""
    values = [orjson.loads(record.value) for record in world.published if record.topic == "cm_activity"]
    return Counter(
        value["email"]
        for value in values
        if value.get("status") == "unsubscribe" and value.get("repeat", False) is repeat
    )


async def run(world: ImportWorld) -> None:
    """Take the next run to its end."""
    world.ask_for_a_run()
    await world.work()
    assert world.table.runs[world.job.id].state == "done"


@pytest.mark.parametrize("days", [[400, None], [400, 900, None], [None, 400], [900, 400, None]])
async def test_an_earlier_start_reads_what_it_adds_and_only_that(days):
    async with Simulator(SimulatorSettings()) as simulator:
        client = simulator.controls.add_client("Acme", UTC_ZONE)
        list_id = simulator.controls.add_list(client, "News")
        simulator.controls.seed_subscribers(list_id, 400, since="2022-01-01T00:00:00+00:00")
        now = datetime.now(UTC)
        starts = [None if day is None else now - timedelta(days=day) for day in days]
        assert books(simulator, list_id, None) > books(simulator, list_id, now - timedelta(days=400)) > Counter()
        async with ImportWorld(simulator, import_job(client), 1) as world:
            for since in starts:
                world.change(since=since)
                await run(world)
                earliest = min(
                    starts[: starts.index(since) + 1], key=lambda start: start or datetime.min.replace(tzinfo=UTC)
                )
                assert published(world) == books(simulator, list_id, earliest)
            await run(world)
            assert published(world) == books(simulator, list_id, earliest)
            assert not published(world, repeat=True)


async def test_unsubscribes_are_asked_for_later():
    async with Simulator(SimulatorSettings()) as simulator:
        client = simulator.controls.add_client("Acme", UTC_ZONE)
        list_id = simulator.controls.add_list(client, "News")
        simulator.controls.seed_subscribers(list_id, 60)
        async with ImportWorld(simulator, import_job(client, activities=["open"]), 1) as world:
            await run(world)
            assert not published(world)
            world.change(activities=["open", "unsubscribe"])
            await run(world)
            assert published(world) == books(simulator, list_id, None) > Counter()


@pytest.mark.parametrize("steps", [0, 1, 4])
async def test_who_unsubscribes_while_the_first_run_goes_on_or_shortly_before_is_not_left_out(steps):
    async with Simulator(SimulatorSettings()) as simulator:
        controls = simulator.controls
        client = controls.add_client("Acme", UTC_ZONE)
        list_id = controls.add_list(client, "News")
        controls.seed_subscribers(list_id, 30)
        async with ImportWorld(simulator, import_job(client), 1) as world:
            await world.work(steps)
            controls.unsubscribe(list_id, controls.subscribers(list_id, "Active", limit=1)[0]["EmailAddress"])
            await world.work()
            assert published(world) == books(simulator, list_id, None)


async def test_what_another_job_did_not_publish_is_no_repeat():
    """Its start was later, or they came after its read."""
    async with Simulator(SimulatorSettings()) as simulator:
        controls = simulator.controls
        client = controls.add_client("Acme", UTC_ZONE)
        list_id = controls.add_list(client, "News")
        controls.seed_subscribers(list_id, 300, since="2022-01-01T00:00:00+00:00")
        since = datetime.now(UTC) - timedelta(days=400)
        narrow = import_job(client).model_copy(update={"id": "j", "since": since})
        async with ImportWorld(simulator, narrow, 1) as first:
            await run(first)
        before = books(simulator, list_id, since)
        late = controls.subscribers(list_id, "Active", limit=1)[0]["EmailAddress"]
        controls.unsubscribe(list_id, late)
        wide = import_job(client).model_copy(update={"id": "another"})
        async with ImportWorld(simulator, wide, 2, first.table) as second:
            await run(second)
        assert published(second, repeat=True) == before
        assert published(second) == books(simulator, list_id, None) - before
        assert published(second)[late] == 1


async def test_a_part_that_failed_is_read_by_the_next_run(monkeypatch):
    monkeypatch.setattr(readers, "MIN_PAGES_PER_CHAIN", 2)
    async with Simulator(SimulatorSettings()) as simulator:
        controls = simulator.controls
        client = controls.add_client("Acme", UTC_ZONE)
        list_id = controls.add_list(client, "News")
        controls.seed_subscribers(list_id, 1500)
        async with ImportWorld(simulator, import_job(client), 1) as world:
            while not any(name.startswith("unreported/") and "#" in name for name in world.table.waiting(world.job.id)):
                await world.work(1)
            part = next(
                name for name in world.table.waiting(world.job.id) if name.startswith("unreported/") and "#" in name
            )
            chain = world.table.chains(world.job.id)[part]
            world.table.put(chain.model_copy(update={"state": "failed", "problem": "no"}))
            await world.work()
            assert published(world) < books(simulator, list_id, None)
            world.change(since=None)
            await run(world)
            assert published(world) == books(simulator, list_id, None)
