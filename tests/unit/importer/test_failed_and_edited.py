"""A read that failed halfway, and a job that asks for something else by the next run: nothing is published twice."""

from collections import Counter
from datetime import UTC, datetime, timedelta

import pytest

from connectors.devkit.simulator.server import Simulator
from connectors.devkit.simulator.settings import SimulatorSettings
from tests.integration.importer.importing import books_activity, ids, import_job, published_activity, values
from tests.unit.importer.import_world import ImportWorld
from tests.unit.importer.test_plays import moment_at, moment_of


async def run(world: ImportWorld) -> None:
    world.ask_for_a_run()
    await world.work()


@pytest.mark.parametrize("report", ["recipients", "clicks"])
@pytest.mark.parametrize("scopes", [[[0], []], [[0], [1], []], [[0, 1], [1], []], [[], [0], []]], ids=str)
async def test_a_report_that_failed_halfway_is_read_for_other_lists(scopes, report):
    async with Simulator(SimulatorSettings()) as simulator:
        controls = simulator.controls
        client = controls.add_client("Acme", "(GMT) Coordinated Universal Time")
        lists = [controls.add_list(client, name) for name in ("News", "Offers")]
        controls.seed_subscribers(lists[0], 40)
        controls.seed_subscribers(lists[1], 30, first_person=40)
        mail = controls.add_campaign(lists, "Spring", days_ago=9, opens=20, clicks=60, days=3)
        chosen = [[lists[number] for number in scope] for scope in scopes]
        async with ImportWorld(simulator, import_job(client), 1) as world:
            for scope in chosen[:-1]:
                world.change(lists=scope)
                world.ask_for_a_run()
                for _step in range(300):
                    await world.work(1)
                    chain = world.table.waiting(world.job.id).get(f"report/{mail}/{report}")
                    if chain is not None and chain.task is not None and chain.task.step >= 2:
                        break
                controls.inject(kind="status", path=f"/campaigns/*/{report}*", status=403, code=403, count=None)
                world.crash()  # pages were requested ahead
                await world.work()
                assert f"report/{mail}/{report}" in world.table.failed(world.job.id)
                controls.clear_faults()
            world.change(lists=chosen[-1])
            for _run in range(3):
                await run(world)
        activity = [record for record in world.published if record.topic == "cm_activity"]
        assert max(Counter(ids(activity)).values()) == 1
        assert published_activity(activity, moment_of) == books_activity(simulator, moment_at)


async def test_unsubscribes_that_could_not_be_read_are_read_once_when_the_job_begins_earlier():
    async with Simulator(SimulatorSettings()) as simulator:
        controls = simulator.controls
        client = controls.add_client("Acme", "(GMT) Coordinated Universal Time")
        news = controls.add_list(client, "News")
        controls.seed_subscribers(news, 200)
        job = import_job(client).model_copy(update={"since": datetime.now(UTC) - timedelta(days=200)})
        async with ImportWorld(simulator, job, 1) as world:
            for _step in range(300):
                await world.work(1)
                if any(name.startswith("unreported/") for name in world.table.waiting(job.id)):
                    break
            controls.inject(kind="status", path="/lists/*/unsubscribed*", status=404, code=101, count=None)
            world.crash()
            await world.work()
            world.change(since=None)
            world.ask_for_a_run()
            for _step in range(300):
                await world.work(1)
                if world.table.runs[job.id].run == 2 and world.table.runs[job.id].swept_at is not None:
                    break
            controls.clear_faults()
            for _run in range(3):
                await run(world)
        left = [value["event_id"] for value in values(world.published) if value.get("status") == "unsubscribe"]
        rows = controls.each_subscriber(news)
        assert len(left) == len(set(left)) == sum(row["State"] == "Unsubscribed" for row in rows) > 5
