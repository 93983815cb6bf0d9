"""Each fault of Campaign Monitor ends in the right receipts, and holds up nobody else's change."""

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Any

import pytest
from pydantic import SecretStr

from connectors.campaign_monitor.client.transport import Transport
from connectors.campaign_monitor.credentials import CampaignMonitorSettings, Credential, OAuth, Tokens
from connectors.campaign_monitor.oauth import refresh
from connectors.devkit.simulator.protocol.oauth import grant
from tests.unit.export.export_world import World

IMPORT = "/subscribers/*/import.json"


async def _three(world: World, **job: Any) -> Any:
    world.job(**job)
    worker = await world.start()
    for name in ("ann", "bob", "cem"):
        world.change(f"{name}@example.com", "enter", "vip", 1)
    return worker


async def until(condition: Any, seconds: float = 60.0) -> None:
    """Wait until something is true; `seconds` of the loop's clock."""
    deadline = asyncio.get_running_loop().time() + seconds
    while not condition():
        assert asyncio.get_running_loop().time() < deadline
        await asyncio.sleep(0.1)


def _all_there(world: World) -> None:
    for name in ("ann", "bob", "cem"):
        assert world.options(f"{name}@example.com") == ["VIP"]
    assert len(world.receipts()) == 3


@pytest.mark.parametrize(
    "fault",
    [
        {"kind": "status", "status": 429, "code": 429, "headers": {"X-RateLimit-Reset": "1"}},
        {"kind": "status", "status": 429, "code": 429},
        {"kind": "status", "status": 500},
        {"kind": "status", "status": 500, "body": "html"},
        {"kind": "status", "status": 502, "body": "empty"},
        {"kind": "status", "status": 504, "body": "empty", "after": True},
        {"kind": "reset"},
        {"kind": "reset", "after": True},
        {"kind": "truncate"},
        {"kind": "hang", "seconds": 60},
        {"kind": "hang", "seconds": 60, "after": True},
        {"kind": "status", "status": 200, "body": "html"},
        {"kind": "status", "status": 302, "body": "empty"},
    ],
    ids=lambda fault: "-".join(str(part) for part in fault.values() if not isinstance(part, dict)),
)
async def test_what_passes_is_waited_for(world: World, fault: dict[str, Any]) -> None:
    world.controls.inject(count=2, path=IMPORT, **fault)
    worker = await _three(world)
    await worker.rest()
    _all_there(world)
    assert {receipt["outcome"] for receipt in world.receipts()} <= {"added", "updated"}


async def test_a_throttled_address_waits_alone(world: World) -> None:
    world.controls.inject(
        kind="status", status=429, code=429, count=2, path=IMPORT, address="ann@example.com",
        message="Subscriber was added too many times too quickly, try again later.",
    )  # fmt: skip
    worker = await _three(world)
    await worker.rest()
    _all_there(world)


@pytest.mark.parametrize("bad", [1, 50, 100])
async def test_bad_rows_of_an_import_are_settled_each(world: World, bad: int) -> None:
    world.job()
    worker = await world.start()
    refused = {f"p{number}@example.com": 1 for number in range(bad)}
    world.controls.refuse_rows(refused)
    for number in range(100):
        world.change(f"p{number}@example.com", "enter", "vip", 1)
    await worker.rest()
    outcomes = {receipt["email"]: (receipt["outcome"], receipt.get("code")) for receipt in world.receipts()}
    assert outcomes == {
        f"p{number}@example.com": ("refused", 1) if number < bad else ("added", None) for number in range(100)
    }
    writes = [write for write in world.controls.writes() if write["email"] not in refused]
    assert len(writes) == 100 - bad  # nobody was sent twice
    letters = world.log.read("audience-membership.dlq")
    assert sorted(letter.key.decode() for letter in letters) == sorted(refused)
    originals = {record.value for record in world.log.read("audience-membership")}
    assert all(letter.value in originals for letter in letters)


async def test_an_import_that_is_not_understood_is_halved(world: World) -> None:
    world.controls.inject(
        kind="status", status=400, code=400, count=None, path="/subscribers/*", address="ann@example.com"
    )
    worker = await _three(world)
    await worker.rest()
    assert world.outcomes("ann@example.com") == ["refused invalid"]
    assert world.outcomes("bob@example.com") == ["added"]
    assert world.outcomes("cem@example.com") == ["added"]


@pytest.mark.parametrize(
    ("how", "reason", "code"),
    [("unsubscribe", "unsubscribed", 206), ("delete_subscriber", "deleted", 205), ("hard_bounce", None, None)],
)
async def test_who_left_is_refused_and_stays_away(world: World, how: str, reason: str | None, code: int | None) -> None:
    worker = await _three(world)
    await worker.rest()
    getattr(world.controls, how)(world.list_id, "ann@example.com")
    state = world.subscriber("ann@example.com")["State"]
    for name in ("ann", "bob"):
        world.change(f"{name}@example.com", "enter", "eu", 5)
    await worker.rest()
    last = [receipt for receipt in world.receipts() if receipt["email"] == "ann@example.com"][-1]
    assert last["outcome"] == "refused"
    if reason is not None:
        assert (last["reason"], last["code"]) == (reason, code)
    assert world.subscriber("ann@example.com")["State"] == state
    assert world.options("bob@example.com") == ["EU", "VIP"]


async def test_who_left_gets_nothing_new_but_what_is_no_longer_true_is_taken_away(world: World) -> None:
    worker = await _three(world)
    await worker.rest()
    world.controls.unsubscribe(world.list_id, "ann@example.com")
    world.change("ann@example.com", "exit", "vip", 5)
    world.change("ann@example.com", "enter", "eu", 6)
    await worker.rest()
    assert world.options("ann@example.com") == []
    assert world.subscriber("ann@example.com")["State"] == "Unsubscribed"


async def test_an_unknown_outcome_does_not_mail_twice(world: World) -> None:
    world.job(queue_autoresponders=True, restart_autoresponders=True, resubscribe_users=True)
    worker = await world.start()
    world.controls.inject(kind="reset", after=True, count=1, path=IMPORT)
    world.change("ann@example.com", "enter", "vip", 1)
    await worker.rest()
    assert world.options("ann@example.com") == ["VIP"]
    mails = world.controls.automations(world.list_id)
    assert all(max(counts.values()) <= 1 for counts in _numbers(mails)), mails


def _numbers(mails: Any) -> list[dict[str, int]]:
    return [
        {k: v for k, v in mail.items() if isinstance(v, int) and not isinstance(v, bool)} or {"": 0}
        for mail in mails.values()
    ]


async def test_a_revoked_credential_halts_and_goes_on_after_the_repair(world: World) -> None:
    world.controls.answer_credential(world.simulator.api_key, 100)
    worker = await _three(world)
    await worker.consume()
    await until(lambda: world.attention.get("job-1"))
    assert world.attention["job-1"] is not None
    assert world.receipts() == []
    world.controls.answer_credential(world.simulator.api_key, None)
    await worker.rest()
    _all_there(world)
    assert world.attention["job-1"] is None


@pytest.fixture
async def tokens(world: World) -> AsyncIterator[tuple[str, list[Tokens]]]:
    """The world's worker uses OAuth tokens of the simulator: the access token, and what is stored later."""
    state = world.simulator.state
    answer = grant(state, state.account, "app")
    first = Tokens(SecretStr(answer["access_token"]), SecretStr(answer["refresh_token"]), time.time() + 1e6)
    settings = CampaignMonitorSettings(base_url=world.simulator.base_url, oauth_url=world.simulator.oauth_url)
    transport = Transport(settings)
    stored: list[Tokens] = []

    async def renew(old: Tokens, now: float) -> Tokens:
        return await refresh(transport, settings, old, now)

    async def store(fresh: Tokens) -> None:
        stored.append(fresh)

    async def load() -> Tokens | None:
        return stored[-1] if stored else None

    credential = OAuth(first, refresh=renew, store=store, load=load)

    async def credential_of(_authorization_id: str) -> Credential:
        return credential

    world.credential = credential_of  # type: ignore[method-assign]
    yield answer["access_token"], stored
    await transport.close()


async def test_an_expired_token_is_refreshed_once_and_nothing_is_lost(
    world: World, tokens: tuple[str, list[Tokens]]
) -> None:
    access_token, stored = tokens
    worker = await _three(world)
    await worker.rest()
    world.controls.answer_credential(access_token, 121)
    for name in ("dee", "eva", "fay"):
        world.change(f"{name}@example.com", "enter", "vip", 2)
    await worker.rest()
    assert all(world.options(f"{name}@example.com") == ["VIP"] for name in ("ann", "bob", "cem", "dee", "eva", "fay"))
    assert len(stored) == 1, "refreshed once, and stored"
    assert world.outcomes() == ["added"] * 6
    assert not world.attention.get("job-1")


async def test_a_revoked_token_halts_the_job_until_the_account_is_connected_again(
    world: World, tokens: tuple[str, list[Tokens]]
) -> None:
    access_token, stored = tokens
    world.controls.answer_credential(access_token, 122)
    worker = await _three(world)
    await worker.consume()
    await until(lambda: world.attention.get("job-1"))
    assert world.receipts() == []
    assert not stored, "a token that a person has revoked is not refreshed behind their back"
    state = world.simulator.state
    again = grant(state, state.account, "app")
    stored.append(Tokens(SecretStr(again["access_token"]), SecretStr(again["refresh_token"]), time.time() + 1e6))
    await worker.rest()
    _all_there(world)
    assert world.attention["job-1"] is None


async def test_a_deleted_list_needs_attention_and_another_list_goes_on(world: World) -> None:
    other = world.controls.add_list(world.client_id, "Other")
    world.job("job-2", list_id=other)
    worker = await _three(world)
    await worker.rest()
    world.controls.delete_list(world.list_id)
    world.change("ann@example.com", "enter", "eu", 5)
    await worker.consume()
    await until(lambda: world.attention.get("job-1"))
    assert "list" in str(world.attention["job-1"])
    await until(lambda: _values(world, other) == ["EU", "VIP"])


def _values(world: World, list_id: str) -> list[str]:
    found = world.subscriber("ann@example.com", list_id) or {"CustomFields": []}
    return sorted(value["Value"] for value in found["CustomFields"])


async def test_a_deleted_field_is_made_again_and_everybody_gets_their_values_back(world: World) -> None:
    worker = await _three(world)
    await worker.rest()
    world.controls.delete_field(world.list_id, "[LyticsAudiences]")
    assert world.options("ann@example.com") == []
    world.change("bob@example.com", "enter", "eu", 5)
    await asyncio.sleep(6.0)  # of the loop's clock: the time after which fields are read again
    world.change("cem@example.com", "enter", "eu", 5)
    await worker.rest()
    assert world.options("ann@example.com") == ["VIP"]
    assert world.options("bob@example.com") == ["EU", "VIP"]


async def test_a_field_of_another_type_stops_the_job_with_a_sentence(world: World) -> None:
    world.controls.add_field(world.list_id, "Lytics Audiences", "Text")
    worker = await _three(world)
    await worker.consume()
    await until(lambda: world.attention.get("job-1"))
    assert "MultiSelectMany" in str(world.attention["job-1"])
    assert world.receipts() == []
