"""Faults of the simulated Campaign Monitor and what the client makes of them; credentials that end in the middle."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from pydantic import SecretStr
from yarl import URL

from connectors.campaign_monitor import oauth
from connectors.campaign_monitor.account import Account
from connectors.campaign_monitor.client.api import CampaignMonitor
from connectors.campaign_monitor.client.requests import SubscriberWrite
from connectors.campaign_monitor.client.transport import Transport
from connectors.campaign_monitor.credentials import ApiKey, CampaignMonitorSettings, OAuth, Tokens
from connectors.campaign_monitor.errors.backoff import call_with_retries
from connectors.campaign_monitor.errors.exceptions import (
    AccessDenied,
    CampaignMonitorError,
    OAuthRefused,
    OutcomeUnknown,
    PermissionMissing,
    RateLimited,
    ReconnectNeeded,
    ResourceMissing,
    Unavailable,
)
from connectors.campaign_monitor.errors.verdicts import Transient
from connectors.campaign_monitor.limits.limiter import Limiter
from connectors.devkit.simulator import Simulator, SimulatorSettings
from tests.person import Person

WRITE = SubscriberWrite("mara@example.net", "Mara")


@asynccontextmanager
async def connected(
    settings: SimulatorSettings | None = None, **changed: Any
) -> AsyncIterator[tuple[CampaignMonitor, Simulator, str]]:
    async with Simulator(settings) as sim:
        list_id = sim.controls.add_list(sim.controls.add_client("Acme"), "Newsletter")
        ours = CampaignMonitorSettings(base_url=sim.base_url, oauth_url=sim.oauth_url, **changed)
        async with CampaignMonitor.open(ApiKey(SecretStr(sim.api_key)), ours) as api:
            yield api, sim, list_id


@pytest.mark.parametrize(
    ("fault", "error", "verdict"),
    [
        ({"kind": "status", "status": 429, "code": 429}, RateLimited, Transient("rate_limited")),
        (
            {"kind": "status", "status": 429, "headers": {"X-RateLimit-Reset": "1", "X-RateLimit-Remaining": "0"}},
            RateLimited,
            Transient("rate_limited", 1),
        ),
        ({"kind": "status", "status": 500}, Unavailable, Transient("server_error", outcome_unknown=True)),
        (
            {"kind": "status", "status": 500, "body": "html"},
            Unavailable,
            Transient("server_error", outcome_unknown=True),
        ),
        ({"kind": "status", "status": 504, "body": "empty"}, Unavailable, Transient("gateway", outcome_unknown=True)),
        ({"kind": "reset"}, OutcomeUnknown, Transient("network", outcome_unknown=True)),
        ({"kind": "reset", "after": True}, OutcomeUnknown, Transient("network", outcome_unknown=True)),
        ({"kind": "truncate"}, OutcomeUnknown, Transient("network", outcome_unknown=True)),
        ({"kind": "hang", "seconds": 30}, OutcomeUnknown, Transient("timeout", outcome_unknown=True)),
        ({"kind": "slow"}, OutcomeUnknown, Transient("timeout", outcome_unknown=True)),
    ],
)
async def test_a_fault_is_classed_and_a_repeat_succeeds(
    fault: dict[str, Any], error: type[CampaignMonitorError], verdict: Transient
) -> None:
    async with connected(read_timeout_seconds=0.5, connect_timeout_seconds=0.5) as (api, sim, list_id):
        sim.controls.inject(path="/subscribers/*", method="POST", **fault)
        with pytest.raises(error) as caught:
            await api.subscribers.add(list_id, WRITE)
        assert caught.value.verdict == verdict
        sim.controls.clear_faults()
        assert await call_with_retries(lambda: api.subscribers.add(list_id, WRITE), seconds=20) == WRITE.email
        assert sim.controls.list_state(list_id)["Active"] == 1


async def test_persisting_through_a_bad_half_minute() -> None:
    async with connected() as (api, sim, list_id):
        for status in (500, 502, 429):
            sim.controls.inject(kind="status", status=status, path="/subscribers/*")
        naps: list[float] = []

        async def nap(seconds: float) -> None:
            naps.append(seconds)

        await call_with_retries(lambda: api.subscribers.add(list_id, WRITE), sleep=nap)
        assert len(naps) == 3
        assert len(sim.controls.writes()) == 1


async def test_an_announced_limit_costs_hardly_a_refusal() -> None:
    limited = SimulatorSettings(rate_limit=20, rate_window_seconds=1.0)
    async with connected(limited, requests_in_flight=4) as (api, _, __):
        results = await asyncio.gather(*(api.systemdate() for _ in range(60)), return_exceptions=True)
        refused = [result for result in results if isinstance(result, RateLimited)]
        assert len(refused) <= 4
        assert len(results) - len(refused) >= 56


async def test_an_unannounced_limit_is_survived_by_persisting() -> None:
    limited = SimulatorSettings(rate_limit=5, rate_window_seconds=0.5, rate_limit_headers=False)
    async with connected(limited) as (api, _, __):
        async with asyncio.timeout(60):
            await asyncio.gather(*(call_with_retries(api.systemdate) for _ in range(25)))


@pytest.mark.parametrize(
    ("code", "error"),
    [
        (60, PermissionMissing),
        (100, ReconnectNeeded),
        (102, AccessDenied),
        (120, ReconnectNeeded),
        (122, ReconnectNeeded),
        (403, AccessDenied),
    ],
)
async def test_credential_codes_end_after_one_attempt(code: int, error: type[CampaignMonitorError]) -> None:
    async with connected() as (api, sim, list_id):
        sim.controls.answer_credential(sim.api_key, code)
        with pytest.raises(error) as caught:
            await api.lists.details(list_id)
        assert caught.value.code == code
        assert sum(sim.state.request_log.answers.values()) == 1


async def test_an_id_of_somebody_else() -> None:
    async with connected() as (api, sim, _):
        sim.controls.add_account("Other", "other-key")
        theirs = sim.controls.add_client("Theirs", account_key="other-key")
        with pytest.raises(AccessDenied) as caught:
            await api.clients.details(theirs)
        assert caught.value.code == 102


class TokenWorld:
    """A simulator with OAuth tokens, and a store."""

    def __init__(self, sim: Simulator, settings: CampaignMonitorSettings, transport: Transport) -> None:
        self.sim = sim
        self.stored: list[Tokens] = []
        granted = sim.controls.grant_token()
        first = Tokens(
            SecretStr(granted["access_token"]), SecretStr(granted["refresh_token"]), sim.state.clock.time() + 9e5
        )
        self.credential = OAuth(
            first, refresh=lambda old, now: oauth.refresh(transport, settings, old, now), store=self.store
        )
        self.api = CampaignMonitor(Account(transport, self.credential, settings, Limiter(10, 10)))

    async def store(self, tokens: Tokens) -> None:
        await asyncio.sleep(0.01)
        self.stored.append(tokens)

    @property
    def refreshes(self) -> int:
        return self.sim.state.request_log.calls["POST /oauth/token"]


@asynccontextmanager
async def token_world(**switches: Any) -> AsyncIterator[TokenWorld]:
    async with Simulator(SimulatorSettings(latency_ms=20, **switches)) as sim:
        settings = CampaignMonitorSettings(base_url=sim.base_url, oauth_url=sim.oauth_url)
        async with Transport(settings) as transport:
            yield TokenWorld(sim, settings, transport)


@pytest.mark.parametrize("rotate", [True, False])
async def test_ten_requests_in_flight_make_one_refresh(rotate: bool) -> None:
    async with token_world(oauth_rotate=rotate) as world:
        await world.api.systemdate()
        world.sim.controls.expire_tokens()
        await asyncio.gather(*(world.api.systemdate() for _ in range(10)))
        assert world.refreshes == 1
        assert len(world.stored) == 1
        world.sim.controls.expire_tokens()
        await world.api.systemdate()
        assert world.refreshes == 2, "the stored refresh token works for the next time"


@pytest.mark.parametrize("status", [200, 400])
async def test_a_revoked_grant_needs_a_person(status: int) -> None:
    async with token_world(oauth_error_status=status) as world:
        world.sim.controls.revoke_tokens()
        with pytest.raises(ReconnectNeeded) as caught:
            await world.api.systemdate()
        assert caught.value.code == 122
        assert world.refreshes == 0


@pytest.mark.parametrize("status", [200, 400])
async def test_a_dead_refresh_token_needs_a_person(status: int) -> None:
    async with token_world(oauth_error_status=status) as world:
        world.sim.controls.expire_tokens()
        world.sim.state.keyring.refresh_tokens.clear()
        results = await asyncio.gather(*(world.api.systemdate() for _ in range(5)), return_exceptions=True)
        assert all(isinstance(result, OAuthRefused) for result in results), results
        assert world.stored == []


async def test_a_scope_that_is_missing() -> None:
    async with token_world() as world:
        granted = world.sim.controls.grant_token(["ViewReports"])
        world.credential.adopt(Tokens(SecretStr(granted["access_token"]), SecretStr(granted["refresh_token"]), 4e9))
        list_id = world.sim.controls.add_list(world.sim.controls.add_client("Acme"), "L")
        with pytest.raises(PermissionMissing):
            await world.api.subscribers.add(list_id, WRITE)


async def test_a_code_is_exchanged_once() -> None:
    async with Simulator(SimulatorSettings()) as sim, Person(follow=False) as person:
        settings = CampaignMonitorSettings(
            base_url=sim.base_url,
            oauth_url=sim.oauth_url,
            oauth_client_id=sim.settings.oauth_client_id,
            oauth_client_secret=SecretStr(sim.settings.oauth_client_secret),
        )
        await person.allow(oauth.authorize_url(settings, SecretStr("state+1")))
        returned = URL(person.sent_to).query
        assert returned["state"] == "state+1"
        async with Transport(settings) as transport:
            code = SecretStr(returned["code"])
            tokens = await oauth.exchange_code(transport, settings, code, now=0.0)
            assert tokens.expires_at == 1_209_600
            with pytest.raises(OAuthRefused):
                await oauth.exchange_code(transport, settings, code, now=0.0)


async def test_a_refresh_that_meets_trouble_is_transient_and_loses_nothing() -> None:
    async with token_world() as world:
        world.sim.controls.expire_tokens()
        world.sim.controls.inject(kind="status", status=500, path="/oauth/token", method="POST")
        with pytest.raises(Unavailable):
            await world.api.systemdate()
        await world.api.systemdate()
        assert len(world.stored) == 1


async def test_a_list_that_was_deleted_is_no_network_trouble() -> None:
    async with connected() as (api, sim, list_id):
        sim.controls.delete_list(list_id)
        for call in (lambda: api.lists.details(list_id), lambda: api.subscribers.import_(list_id, [WRITE])):
            with pytest.raises((AccessDenied, ResourceMissing)):
                await call()
