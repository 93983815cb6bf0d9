"""The size of a first read: what a dry run counts is what the run reads."""

from collections import Counter

import pytest

from connectors.devkit.simulator.server import Simulator
from connectors.devkit.simulator.settings import SimulatorSettings
from connectors.importer.overview import estimate
from connectors.importer.tasks.sources import REPORT_OF
from tests.integration.importer.importing import import_job
from tests.unit.importer.import_world import SETTINGS, ImportWorld


def read_by(world: ImportWorld) -> Counter[str]:
    """Rows of the first read by what they are, also those that the job leaves out; without the catch-up."""
    read = Counter[str]()
    kinds = {report: activity for activity, report in REPORT_OF.items()}
    for name, chain in world.table.chains(world.job.id).items():
        begins, _, rest = name.partition("/")
        rows = chain.tally.rows + chain.tally.left_out
        if begins in ("report", "journey-report"):
            read[kinds[rest.partition("#")[0].rpartition("/")[2]]] += rows
    read["subscribers"] = sum(record.topic == "cm_user" for record in world.published)
    return +read


@pytest.mark.parametrize("chosen", [[], [0], [1]])
async def test_a_dry_run_counts_the_rows_that_the_run_reads(chosen):
    async with Simulator(SimulatorSettings()) as simulator:
        controls = simulator.controls
        client = controls.add_client("Acme")
        lists = [controls.add_list(client, name) for name in ("News", "Offers")]
        controls.seed_subscribers(lists[0], 70)
        controls.seed_subscribers(lists[1], 30, first_person=70)
        controls.add_campaign(lists, "Both", days_ago=9, opens=60, clicks=25, unsubscribes=3, bounces=2, days=3)
        controls.add_campaign(lists[:1], "News only", days_ago=40, recipients=30, opens=25, clicks=5, spam=1)
        controls.add_journey(lists[1], "Welcome", mails=1, sent=20, opens=15, clicks=5, unsubscribes=1)
        async with ImportWorld(simulator, import_job(client, lists=[lists[number] for number in chosen]), 1) as world:
            api = await world._open_api("")
            found = await estimate(api, world.job, int(SETTINGS["page_size"]), 4, {})
            await world.work()
            rows = {name: count for name, count in found.rows.items() if count and name != "suppressed"}
            assert rows == read_by(world)
