"""A row that came late is published once, whatever lists the job asked for while it came."""

from collections import Counter

import pytest

from connectors.devkit.simulator.server import Simulator
from connectors.devkit.simulator.settings import SimulatorSettings
from connectors.importer.readers import late_rows
from tests.integration.importer.importing import (
    books_activity,
    ids,
    import_job,
    published_activity,
    values,
)
from tests.unit.importer.import_world import ImportWorld
from tests.unit.importer.test_plays import moment_at, moment_of

LATE = 8 * 86_400


async def again(world: ImportWorld, **change) -> None:
    """Change the job, and run it twice: a run may be open with what was asked for before."""
    world.change(**change)
    for _run in range(2):
        world.ask_for_a_run()
        await world.work()


def mailed(simulator: Simulator) -> tuple[str, list[str], str]:
    """Make a client with two lists of 20 people, and a campaign to both. Returns their ids."""
    controls = simulator.controls
    client = controls.add_client("Acme", "(GMT) Coordinated Universal Time")
    lists = [controls.add_list(client, name) for name in ("News", "Offers")]
    controls.seed_subscribers(lists[0], 20)
    controls.seed_subscribers(lists[1], 20, first_person=20)
    mail = controls.add_campaign(lists, "Spring", days_ago=9, opens=40, clicks=15, days=9)
    return client, lists, mail


@pytest.mark.parametrize("runs", [False, True], ids=["widened at once", "left out by a run"])
@pytest.mark.parametrize("of", [0, 1])
@pytest.mark.parametrize(
    "scopes",
    [
        [[0, 1], [0], [0, 1]],
        [[0, 1], [1], []],
        [[], [0], [1], []],
        [[0], [0, 1]],
        [[0], [1], [0, 1]],
    ],
    ids=str,
)
async def test_a_late_row_comes_once_whatever_lists_were_asked_for(scopes, of, runs):
    async with Simulator(SimulatorSettings()) as simulator:
        controls = simulator.controls
        client, lists, mail = mailed(simulator)
        people = simulator.state.campaigns[mail].recipients
        now = simulator.state.clock.time()
        first, *others = [[lists[number] for number in scope] for scope in scopes]
        async with ImportWorld(simulator, import_job(client, lists=first), 1) as world:
            await again(world)
            for number, scope in enumerate(others):
                world.change(lists=scope)
                if number == 0 and runs:
                    await again(world)
                if number == 0:
                    for report in (controls.open, controls.click):
                        report(mail, people.email(20 * of + 3), at=now - LATE)
                await again(world)
            await again(world, lists=[])
        activity = [record for record in world.published if record.topic == "cm_activity"]
        assert max(Counter(ids(activity)).values()) == 1
        assert published_activity(activity, moment_of) == books_activity(simulator, moment_at)


@pytest.mark.parametrize("forgotten", [False, True])
async def test_of_too_many_late_rows_all_that_was_left_out_comes_again(forgotten, monkeypatch):
    if forgotten:
        monkeypatch.setattr(late_rows, "MAX_LEFT_OUT", 2)
    async with Simulator(SimulatorSettings()) as simulator:
        controls = simulator.controls
        client, lists, mail = mailed(simulator)
        people = simulator.state.campaigns[mail].recipients
        now = simulator.state.clock.time()
        async with ImportWorld(simulator, import_job(client), 1) as world:
            await again(world)
            await again(world, lists=lists[:1])
            for number in range(3):
                controls.open(mail, people.email(20 + number), at=now - LATE)
            await again(world)
            await again(world, lists=[])
            before = len(world.published)
            await again(world)
        assert len(world.published) == before
        reported = [value for value in values(world.published) if value.get("source") == "campaign"]
        counts = Counter(value["event_id"] for value in reported)
        assert len(counts) == books_activity(simulator, moment_at).total()
        assert (max(counts.values()) > 1) is forgotten
