"""Jobs of several authorizations on one list: whose key makes a call, and what a wrong one stops."""

import asyncio
import time
from collections.abc import Callable

import pytest

from connectors.campaign_monitor.limits.allowance import RateLimitReport
from connectors.campaign_monitor.limits.limiter import Limiter
from streams.export.lists.attention import WAITS
from streams.export.rules.desired import desired_subscriber
from streams.export.sending.breaker import BlockedAuthorizations
from tests.unit.export.export_world import Worker, World
from tests.unit.export.rules.rows import EMAIL, entry, held, job, listed, row

ANN, BOB, CEM = (f"{name}@example.com" for name in ("ann", "bob", "cem"))
FIRST = {"authorization_id": "first", "audiences": ["vip"]}
SECOND = {"authorization_id": "second", "audiences": ["eu"]}


async def _until(worker: Worker, holds: Callable[[], bool], seconds: float = 120.0) -> None:
    async with asyncio.timeout(seconds):
        while not holds():
            await worker.consume()
            await asyncio.sleep(0.2)


@pytest.mark.parametrize(
    ("first", "second", "blocked", "known", "authorization", "may_add"),
    [
        ({}, {}, (), False, "first", True),
        ({}, {}, ("first",), False, "second", True),
        # with nobody's key working the first one is tried
        ({}, {}, ("first", "second"), False, "first", True),
        # that of a job which may add people, when it works
        ({"update_only": True}, {}, (), False, "second", True),
        ({"update_only": True}, {}, (), True, "second", True),
        # who is not known to be on the list waits for it; who is, does not
        ({"update_only": True}, {}, ("second",), False, "second", True),
        ({"update_only": True}, {}, ("second",), True, "first", False),
        ({}, {"update_only": True}, ("first",), True, "second", False),
        # a stopped job calls nobody
        ({"state": "stopped"}, {"update_only": True}, (), False, "second", False),
    ],
)
def test_the_authorization_of_a_job_that_wants_the_person_makes_the_call(
    first: dict[str, object],
    second: dict[str, object],
    blocked: tuple[str, ...],
    known: bool,
    authorization: str,
    may_add: bool,
) -> None:
    jobs = (
        job("a", authorization_id="first", created=0, **first),
        job("b", authorization_id="second", created=1, **second),
    )
    desired = desired_subscriber(
        row({"vip": entry()}), EMAIL, listed(*jobs), held() if known else None, str.upper, blocked
    )
    assert desired is not None
    assert (desired.authorization, desired.may_add) == (authorization, may_add)


def test_a_blocked_authorization_is_probed_by_one_request_at_a_time() -> None:
    blocked = BlockedAuthorizations(60.0)
    assert blocked.block("a", 0.0)
    assert not blocked.block("a", 1.0)
    assert blocked.wait_until("b", 1.0) is None
    assert blocked.wait_until("a", 1.0) == 61.0
    assert blocked.wait_until("a", 61.0) is None
    assert blocked.wait_until("a", 61.0) == 121.0
    assert blocked.record_success("a")
    assert not blocked.record_success("a")
    assert blocked.wait_until("a", 61.0) is None


async def test_a_wrong_key_stops_its_own_people_and_no_others(world: World) -> None:
    world.keys["first"] = "wrong"
    world.job("a", **FIRST)
    world.job("b", **SECOND)
    worker = await world.start()
    world.change(ANN, "enter", "vip", 1)
    world.change(BOB, "enter", "eu", 1)
    world.change(CEM, "enter", "vip", 1)
    world.change(CEM, "enter", "eu", 1)
    await _until(worker, lambda: bool(world.outcomes(BOB) and world.outcomes(CEM) and world.attention.get("a")))
    assert world.subscriber(ANN) is None
    assert world.options(CEM) == ["EU", "VIP"]
    assert "does not accept the API key" in str(world.attention["a"])
    assert not world.attention.get("b")
    del world.keys["first"]
    worker.runner.credential_changed()
    await worker.rest()
    assert world.outcomes(ANN) == ["added"]
    assert world.attention["a"] is None


async def test_a_working_key_adds_nobody_whose_own_job_may_not(world: World) -> None:
    """The wrong key's job may add people, the other one only updates: nobody is added with its key."""
    world.job("a", authorization_id="first")
    world.job("b", authorization_id="second", update_only=True)
    worker = await world.start()
    world.change(BOB, "enter", "vip", 1)
    await worker.rest()
    world.keys["first"] = "wrong"
    world.change(ANN, "enter", "vip", 2)
    world.change(BOB, "enter", "eu", 2)
    await _until(worker, lambda: world.options(BOB) == ["EU", "VIP"] and bool(world.attention.get("a")))
    assert world.subscriber(ANN) is None
    assert not world.outcomes(ANN)
    await _until(worker, lambda: "first" in str(world.attention.get("b")))
    del world.keys["first"]
    worker.runner.credential_changed()
    await worker.rest()
    assert world.outcomes(ANN) == ["added", "added"]
    assert world.attention == {"a": None, "b": None}


async def test_a_job_does_not_wait_for_one_that_is_gone(world: World) -> None:
    world.keys["first"] = "wrong"
    world.job("a", authorization_id="first")
    world.job("b", authorization_id="second", update_only=True)
    worker = await world.start()
    world.change(ANN, "enter", "vip", 1)
    await _until(worker, lambda: "first" in str(world.attention.get("b")))
    world.job("a", authorization_id="first", state="stopped")
    await worker.rest()
    assert world.outcomes(ANN)[-1] == "refused not_a_subscriber"
    assert world.attention["b"] is None


async def test_what_an_earlier_run_left_of_a_wait_is_removed(world: World) -> None:
    left = f'{WAITS}"first". Connect it'
    world.job("a", authorization_id="first")
    world.job("b", authorization_id="second", update_only=True, attention=left)
    worker = await world.start()
    world.change(ANN, "enter", "vip", 1)
    await worker.rest()
    assert world.attention["b"] is None


async def test_no_credential_stops_its_own_people_and_no_others(world: World) -> None:
    world.job("a", **FIRST)
    world.job("b", **SECOND)
    world.missing.add("first")
    worker = await world.start()
    world.change(ANN, "enter", "vip", 1)
    world.change(BOB, "enter", "eu", 1)
    await _until(worker, lambda: bool(world.outcomes(BOB) and world.attention.get("a")))
    assert world.subscriber(ANN) is None
    assert not world.attention.get("b")
    world.missing.clear()
    worker.runner.credential_changed()
    await worker.rest()
    assert world.outcomes(ANN) == ["added"]
    assert world.attention["a"] is None


async def test_what_an_earlier_run_left_is_removed_when_delivery_goes_on(world: World) -> None:
    world.job("a", **FIRST, attention="the key does not work")
    world.job("b", **SECOND, attention="something else")
    worker = await world.start()
    world.change(ANN, "enter", "vip", 1)
    await worker.rest()
    assert world.attention == {"a": None}


async def _both_connected(world: World) -> Worker:
    world.job("a", **FIRST)
    world.job("b", **SECOND)
    worker = await world.start()
    await worker.rest()
    return worker


def _limiter(worker: Worker, authorization: str) -> Limiter:
    return dict(worker.accounts.limiters())[authorization]


async def test_a_rate_limit_of_one_authorization_delays_no_other(world: World) -> None:
    worker = await _both_connected(world)
    pause = RateLimitReport(time.time(), None, None, None, pause=600.0, interval=0.0)
    _limiter(worker, "first").merge_report(pause)
    for number in range(8):  # more than there are slots
        world.change(f"p{number}@example.com", "enter", "vip", 1)
    await worker.consume()
    await asyncio.sleep(1.0)
    world.change(BOB, "enter", "eu", 1)
    await _until(worker, lambda: bool(world.outcomes(BOB)))
    assert not world.outcomes("p0@example.com")
    await worker.rest()
    assert all(world.outcomes(f"p{number}@example.com") == ["added"] for number in range(8))


async def test_a_429_of_one_authorization_leaves_the_list_open(world: World) -> None:
    worker = await _both_connected(world)
    world.controls.inject(kind="status", status=429, path="/subscribers/*/import.json")
    world.change(ANN, "enter", "vip", 1)
    await worker.consume()
    breaker = worker.state.open[world.list_id].breaker
    seen = [False]

    def answered() -> bool:
        seen[0] = seen[0] or breaker.probing
        return bool(world.outcomes(ANN))

    await _until(worker, answered)
    assert not seen[0], "the list waited for one account"


async def test_a_list_is_read_once_for_all_authorizations(world: World) -> None:
    """Fields that were lost by hand are found once, too: each look that finds them has all values written again."""
    world.settings = world.settings.model_copy(update={"fields_check_seconds": 100_000.0})
    worker = await _both_connected(world)
    world.change(ANN, "enter", "vip", 1)
    world.change(BOB, "enter", "eu", 1)
    await worker.rest()
    world.controls.delete_field(world.list_id, "[LyticsAudiences]")
    calls = world.simulator.state.request_log.calls
    before = calls["GET /lists/{listid}/customfields"]
    sender = worker.runner.senders.get(world.list_id)
    assert sender is not None
    sender.connections.expire_fields()
    world.change(CEM, "enter", "vip", 2)
    world.change("dan@example.com", "enter", "eu", 2)
    await worker.rest()
    assert worker.shared.field_history(world.list_id).epoch == 1
    assert (world.options(ANN), world.options(BOB)) == (["VIP"], ["EU"])
    # the check, again because something is missing, and after the field was created
    assert calls["GET /lists/{listid}/customfields"] - before == 3
