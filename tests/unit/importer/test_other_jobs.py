"""What a client's lists and campaigns have published is known, whatever job asked: for another job it is a repeat."""

from collections import Counter
from datetime import UTC, datetime, timedelta

import orjson
import pytest

from connectors.devkit.simulator.server import Simulator
from connectors.devkit.simulator.settings import SimulatorSettings
from connectors.importer.translated import ImportedRecord
from tests.integration.importer.importing import books_activity, import_job, published_activity
from tests.unit.importer.import_world import ImportWorld


def is_repeat(record: ImportedRecord) -> bool:
    return bool(orjson.loads(record.value).get("repeat"))


def event_ids(records: list[ImportedRecord]) -> Counter[str]:
    return Counter(orjson.loads(record.value)["event_id"] for record in records)


async def once(world: ImportWorld) -> None:
    await world.work()
    world.ask_for_a_run()
    await world.work()


@pytest.mark.parametrize("removed", [True, False])
@pytest.mark.parametrize("name", ["j", "another"])
@pytest.mark.parametrize("narrow", [True, False])
async def test_what_another_job_has_published_is_a_repeat_and_the_rest_is_none(removed, name, narrow):
    if name == "j" and not removed:
        return
    async with Simulator(SimulatorSettings()) as simulator:
        controls = simulator.controls
        client = controls.add_client("Acme", "(GMT) Coordinated Universal Time")
        lists = [controls.add_list(client, title) for title in ("News", "Offers")]
        controls.seed_subscribers(lists[0], 40)
        controls.seed_subscribers(lists[1], 30, first_person=30)
        mail = controls.add_campaign(lists, "Spring", days_ago=9, opens=60, clicks=25, unsubscribes=3, days=3)
        controls.add_journey(lists[1], "Welcome", mails=1, sent=20, opens=15, clicks=5, unsubscribes=1)
        first = import_job(client, lists=lists[:1] if narrow else []).model_copy(update={"id": "j"})
        async with ImportWorld(simulator, first, 1) as world:
            await once(world)
            assert not any(map(is_repeat, world.published))
        if removed:
            world.remove()
            assert "j" not in world.table.jobs()
        people = simulator.state.campaigns[mail].recipients
        now = simulator.state.clock.time()
        for number in range(5):
            controls.open(mail, people.email(number), at=now - number)
        controls.sign_up(lists[0], "new@example.com")
        second = import_job(client).model_copy(update={"id": name})
        async with ImportWorld(simulator, second, 2, world.table) as other:
            await once(other)
        before, repeats = event_ids(world.published), event_ids(list(filter(is_repeat, other.published)))
        fresh = event_ids([record for record in other.published if not is_repeat(record)])
        assert not before & fresh, "nothing that was published comes again unmarked"
        assert not repeats - before, "and nothing else is marked"
        assert sum(fresh.values()) > 5
        activity = [record for record in other.published if record.topic == "cm_activity"]
        assert published_activity(activity) == books_activity(simulator), "a consumer that came since has all of it"
        assert max(event_ids(activity).values()) == 1


async def test_a_job_whose_marks_were_removed_twice_is_known_still():
    async with Simulator(SimulatorSettings()) as simulator:
        controls = simulator.controls
        client = controls.add_client("Acme", "(GMT) Coordinated Universal Time")
        lists = [controls.add_list(client, "News")]
        controls.seed_subscribers(lists[0], 30)
        controls.add_campaign(lists, "Spring", days_ago=9, opens=20, clicks=5)
        job = import_job(client).model_copy(update={"id": "j", "since": datetime.now(UTC) - timedelta(days=60)})
        table = None
        for run in range(3):
            async with ImportWorld(simulator, job, run, table) as world:
                await once(world)
            assert [is_repeat(record) for record in world.published].count(run == 0) == 0
            world.remove()
            table = world.table


@pytest.mark.parametrize("name", ["j", "another"])
@pytest.mark.parametrize("removals", [1, 2])
async def test_what_a_removed_job_has_published_is_a_repeat_also_when_a_narrower_one_is_given_more_later(
    name, removals
):
    """The marks of a job that was created again under the same id replaced those of the one before."""
    async with Simulator(SimulatorSettings()) as simulator:
        controls = simulator.controls
        client = controls.add_client("Acme", "(GMT) Coordinated Universal Time")
        lists = [controls.add_list(client, title) for title in ("News", "Offers")]
        controls.seed_subscribers(lists[0], 30)
        controls.seed_subscribers(lists[1], 30, first_person=30)
        controls.add_campaign(lists, "Spring", days_ago=9, opens=60, clicks=25, unsubscribes=3, days=3)
        async with ImportWorld(simulator, import_job(client).model_copy(update={"id": "j"}), 1) as first:
            await once(first)
            first.remove()
        table = first.table
        for removal in range(removals):
            narrow = import_job(client, lists=lists[:1]).model_copy(update={"id": name})
            async with ImportWorld(simulator, narrow, 2, table) as other:
                await once(other)
                if removal < removals - 1:
                    other.remove()
                else:
                    other.change(lists=[])
                    await once(other)
        unmarked = [record for record in other.published if not is_repeat(record)]
        assert event_ids(unmarked).keys().isdisjoint(event_ids(first.published))
        activity = [record for record in other.published if record.topic == "cm_activity"]
        assert published_activity(activity) == books_activity(simulator)
