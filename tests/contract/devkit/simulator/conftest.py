"""The official client, unchanged: only its addresses, and its transport from HTTPS to plain HTTP on loopback."""

from collections.abc import Iterator
from datetime import UTC, datetime
from http.client import HTTPConnection

import createsend
import createsend.createsend
import pytest

from connectors.devkit.simulator import SimulatorSettings, SimulatorThread

KEY = "contract-key"
NOW = datetime(2026, 6, 15, 12, 0, tzinfo=UTC)


@pytest.fixture
def simulator() -> Iterator[SimulatorThread]:
    settings = SimulatorSettings(
        api_key=KEY, demo=True, subscribers=400, activity=4_000, now=NOW, frozen=True, webhook_timeout_seconds=2
    )
    with SimulatorThread(settings) as running:
        yield running


@pytest.fixture
def auth(simulator: SimulatorThread, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    monkeypatch.setattr(createsend.createsend, "VerifiedHTTPSConnection", HTTPConnection)
    monkeypatch.setattr(createsend.CreateSend, "base_uri", simulator.base_url)
    monkeypatch.setattr(createsend.CreateSend, "oauth_uri", simulator.oauth_url)
    monkeypatch.setattr(createsend.CreateSend, "oauth_token_uri", f"{simulator.oauth_url}/token")
    return {"api_key": KEY}


@pytest.fixture
def ids(simulator: SimulatorThread) -> dict[str, str]:
    """Client and list ids of the demo account, by title."""
    found = {client.name: client.client_id for client in simulator.state.clients.values()}
    return found | {entry.title: entry.list_id for entry in simulator.state.lists.values()}
