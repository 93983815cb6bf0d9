"""A client that chooses another time zone while a run is open: what goes on is read in the new one, once."""

import asyncio
from collections import Counter
from types import SimpleNamespace
from typing import Any

import orjson
import pytest

from connectors.campaign_monitor.client.entities import ClientDetails
from connectors.campaign_monitor.dates import zone_of
from connectors.devkit.simulator.server import Simulator
from connectors.devkit.simulator.settings import SimulatorSettings
from connectors.importer import client_zones
from connectors.importer.client_zones import LOOK_SECONDS, ClientZones
from tests.integration.importer.importing import import_job
from tests.unit.importer.import_world import ImportWorld

TOKYO = "(GMT+09:00) Osaka, Sapporo, Tokyo"
ARIZONA = "(GMT-07:00) Arizona"


def choose_zone(simulator: Simulator, client: str, label: str) -> None:
    """Change the zone of a client, as its administrator does."""
    chosen: Any = simulator.state.clients[client]
    chosen.zone_label, chosen.zone = label, zone_of(label)


@pytest.mark.parametrize("steps", [0, 3, 10, 25, 60])
@pytest.mark.parametrize("zone", [TOKYO, ARIZONA])
@pytest.mark.parametrize("how", ["crashed", "reads"])
async def test_a_run_goes_on_in_the_zone_that_was_chosen_while_it_was_open(steps, zone, how, monkeypatch):
    """A job that was stopped for a week, or whose access was refused, has tasks from before."""
    async with Simulator(SimulatorSettings()) as simulator:
        controls = simulator.controls
        client = controls.add_client("Acme", "(GMT) Coordinated Universal Time")
        lists = [controls.add_list(client, "News")]
        controls.seed_subscribers(lists[0], 50)
        controls.add_campaign(lists, "Spring", days_ago=9, opens=60, clicks=25, unsubscribes=3, bounces=2, days=3)
        controls.add_journey(lists[0], "Welcome", mails=1, sent=20, opens=15, clicks=5, unsubscribes=1)
        job = import_job(client)
        async with ImportWorld(simulator, job, 1) as world:
            await world.work()
        async with ImportWorld(simulator, job, 2) as other:
            await other.work(steps)
            if how == "crashed":
                other.change(state="stopped")
                await other.work(steps)
                other.crash()
            else:  # pages that were requested ahead have come
                await asyncio.sleep(0.1)
                monkeypatch.setattr(client_zones, "LOOK_SECONDS", 0.0)
            choose_zone(simulator, client, zone)
            other.change(state="running")
            await other.work()
            once = Counter(_moment(record.value) for record in other.published)
            assert once == Counter(_moment(record.value) for record in world.published)
            before = len(other.published)
            other.ask_for_a_run()
            await other.work()
            assert len(other.published) == before


@pytest.mark.parametrize(("after", "calls"), [(LOOK_SECONDS - 1, 1), (LOOK_SECONDS + 1, 2)])
async def test_chains_that_go_on_at_one_time_make_one_call_for_their_zone_and_another_when_it_may_have_changed(
    after, calls, monkeypatch
):
    asked: list[str] = []

    async def details(client_id: str) -> ClientDetails:
        await asyncio.sleep(0)
        asked.append(client_id)
        return ClientDetails(client_id, "Acme", TOKYO, "", {})

    api: Any = SimpleNamespace(clients=SimpleNamespace(details=details))
    zones, now = ClientZones(), 1_000.0
    monkeypatch.setattr(client_zones, "time", SimpleNamespace(monotonic=lambda: now))
    for later in (0, after):
        now += later
        assert set(await asyncio.gather(*(zones.look_up(api, "c") for _chain in range(9)))) == {TOKYO}
    assert len(asked) == calls


def _moment(value: bytes) -> tuple[str, str]:
    held = orjson.loads(value)
    return held["event_id"], held["at"]
