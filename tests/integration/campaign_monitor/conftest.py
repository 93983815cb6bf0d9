"""A simulated Campaign Monitor with one client and one list, and our client connected to it."""

from collections.abc import AsyncIterator

import pytest
from pydantic import SecretStr

from connectors.campaign_monitor.client.api import CampaignMonitor
from connectors.campaign_monitor.credentials import ApiKey, CampaignMonitorSettings
from connectors.devkit.simulator import Simulator, SimulatorSettings

ZONE = "(GMT+10:00) Canberra, Melbourne, Sydney"


@pytest.fixture
async def sim() -> AsyncIterator[Simulator]:
    async with Simulator(SimulatorSettings(gzip=True)) as running:
        yield running


@pytest.fixture
async def api(sim: Simulator) -> AsyncIterator[CampaignMonitor]:
    settings = CampaignMonitorSettings(base_url=sim.base_url, oauth_url=sim.oauth_url)
    async with CampaignMonitor.open(ApiKey(SecretStr(sim.api_key)), settings) as client:
        yield client


@pytest.fixture
def client_id(sim: Simulator) -> str:
    return sim.controls.add_client("Acme", ZONE, api_key="canary-client-key")


@pytest.fixture
def list_id(sim: Simulator, client_id: str) -> str:
    return sim.controls.add_list(client_id, "Newsletter")
