"""What is refused or removed concerns nothing else; the next run reads what is missing, and only that."""

import asyncio
from typing import Any

from connectors.devkit.simulator.server import Simulator
from connectors.devkit.simulator.settings import SimulatorSettings
from tests.deadline import eventually
from tests.integration.importer.importing import (
    ask_for_a_run,
    books_activity,
    books_users,
    connector,
    ids,
    import_job,
    kafka_settings,
    progress,
    published_activity,
    published_users,
    topic,
)
from tests.integration.importer.test_import import seed


async def run_state(kafka, run: int, job: str = "imp") -> str:
    async def ended():
        found = (await asyncio.to_thread(progress, kafka)).get(f"run:{job}".encode())
        return found.state if found is not None and found.run >= run and found.state != "open" else None

    return await eventually(ended, seconds=60, every=0.3)


async def test_what_was_refused_is_named_and_read_by_the_next_run_once(bootstrap_servers, namespace):
    kafka = kafka_settings(bootstrap_servers, namespace)
    async with Simulator(SimulatorSettings()) as simulator:
        client, news, _campaign = seed(simulator, people=1200)
        controls = simulator.controls
        for path in ("/clients/*/journeys*", "/campaigns/*/clicks*"):
            controls.inject(kind="status", path=path, status=403, code=403, count=None)
        # A divided listing: from some page on all parts of it fail, and so does the catch-up.
        controls.inject(kind="status", path=f"/lists/{news}/active*", status=404, code=101, skip=40, count=None)
        async with connector(kafka, simulator, [import_job(client)], page_size=10, chains_per_read=4):
            assert await run_state(kafka, 1) == "incomplete"
            failed = {chain.chain for chain in progress(kafka).values() if chain.kind == "chain" and chain.problem}
            assert "discover/journeys" in failed
            assert len([name for name in failed if name.startswith(f"users/{news}/active")]) > 1
            assert {name.split("/")[2] for name in failed if name.startswith("report/")} == {"clicks"}
            first = published_users(topic(kafka, "cm_user")), topic(kafka, "cm_activity")
            assert first[0] != books_users(simulator, client)
            assert {mail for _kind, mail, *_rest in published_activity(first[1])} <= set(simulator.state.campaigns)
            controls.clear_faults()
            await ask_for_a_run(kafka)
            assert await run_state(kafka, 2) == "done"
        people, activity = topic(kafka, "cm_user"), topic(kafka, "cm_activity")
        assert published_users(people) == books_users(simulator, client), "each once: only what was missing was read"
        assert published_activity(activity) == books_activity(simulator)
        assert len(ids(people)) == len(set(ids(people)))


async def test_removing_a_job_holds_up_no_other_and_leaves_nothing(bootstrap_servers, namespace):
    kafka = kafka_settings(bootstrap_servers, namespace)
    async with Simulator(SimulatorSettings(latency_ms=200)) as simulator:
        large = simulator.controls.add_client("Large", "(GMT) Coordinated Universal Time")
        for number in range(60):
            simulator.controls.seed_subscribers(simulator.controls.add_list(large, f"List {number}"), 5)
        small = simulator.controls.add_client("Small", "(GMT) Coordinated Universal Time")
        simulator.controls.seed_subscribers(simulator.controls.add_list(small, "News"), 5)
        jobs = [import_job(large, id="large")]
        async with connector(kafka, simulator, jobs, pages_in_flight=2):

            async def records() -> list[Any]:
                # In a thread: the connector shares this loop, and reads nothing while it is blocked.
                return list((await asyncio.to_thread(progress, kafka)).values())

            async def begun() -> bool:
                return sum(record.kind == "chain" and record.state == "open" for record in await records()) > 200

            await eventually(begun, seconds=60, every=0.2)
            jobs[:] = [import_job(small, id="small")]
            assert await run_state(kafka, 1, "small") == "done"

            async def forgotten() -> bool:
                kept = [record for record in await records() if getattr(record, "job_id", "") == "large"]
                return all(record.kind == "mark" and record.removed for record in kept)

            await eventually(forgotten, seconds=60, every=0.2)


async def test_a_run_with_nothing_new_takes_one_call_for_each_list_and_state(bootstrap_servers, namespace):
    kafka = kafka_settings(bootstrap_servers, namespace)
    async with Simulator(SimulatorSettings()) as simulator:
        client = simulator.controls.add_client("Acme", "(GMT+10:00) Canberra, Melbourne, Sydney")
        lists = [simulator.controls.add_list(client, f"List {number}") for number in range(60)]
        simulator.controls.seed_subscribers(lists[0], 30)
        async with connector(kafka, simulator, [import_job(client, keep_updated=True)]):
            await run_state(kafka, 1)
            before = simulator.state.request_log.calls.copy()
            await ask_for_a_run(kafka)
            await run_state(kafka, 2)
        calls = simulator.state.request_log.calls - before
        assert len([name for name in calls if "{listid}" in name]) == 5
        assert max(calls.values()) <= len(lists)
        assert calls.total() <= 5 * len(lists) + 5
