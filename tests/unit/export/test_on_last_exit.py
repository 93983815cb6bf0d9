"""Who a job took off the list comes back with an entry; who left by themselves does not. On confirmed opt-in lists."""

from typing import Any

import orjson
import pytest

from connectors.campaign_monitor.client.requests import Autoresponders
from streams.batches import Output
from streams.export.sending.plan import waits_for_confirmation
from tests.unit.export.export_world import World

ANN = "ann@example.com"
MINUTE = 60
REMOVED = {"unsubscribe": "Unsubscribed", "delete": "Deleted"}


def state(world: World) -> str:
    subscriber = world.subscriber(ANN)
    return "" if subscriber is None else str(subscriber["State"])


def webhook(world: World, event: str, minute: int, **more: Any) -> None:
    body = {
        "at": f"2026-03-01T00:{minute:02}:00Z",
        "event": event,
        "email": ANN,
        "source": "webhook",
        "list_id": world.list_id,
        "custom_fields": [],
        **more,
    }
    world.log.append(Output("cm_activity", ANN.encode(), orjson.dumps(body)), world.wall())


@pytest.mark.parametrize("policy", REMOVED)
@pytest.mark.parametrize("reported", [None, "before the answer", "later"])
@pytest.mark.parametrize("update_only", [False, True])
async def test_an_entry_brings_back_who_a_job_took_off(
    world: World, policy: str, reported: str | None, update_only: bool
) -> None:
    world.at(1 * MINUTE)
    world.controls.add_subscriber(world.list_id, ANN)
    world.job(on_last_exit=policy, update_only=update_only)
    worker = await world.start()
    world.change(ANN, "enter", "vip", 1 * MINUTE)
    await worker.rest()
    world.at(10 * MINUTE)
    if reported == "before the answer":
        webhook(world, "deactivate", 10, status=policy)
    world.change(ANN, "exit", "vip", 8 * MINUTE)
    await worker.rest()
    assert state(world) == REMOVED[policy]
    if reported == "later":
        webhook(world, "deactivate", 10, status=policy)
    await worker.stop()
    worker = await world.start()
    world.at(20 * MINUTE)
    world.change(ANN, "enter", "eu", 9 * MINUTE)  # before the removal, and late
    await worker.rest()
    assert state(world) == "Active"
    assert world.options(ANN) == ["EU"]


@pytest.mark.parametrize("policy", REMOVED)
@pytest.mark.parametrize("leave", ["unsubscribe", "hard_bounce", "complain"])
@pytest.mark.parametrize("resubscribe", [False, True])
async def test_who_left_before_the_job_took_them_off_stays_away(
    world: World, policy: str, leave: str, resubscribe: bool
) -> None:
    world.at(1 * MINUTE)
    world.job(on_last_exit=policy, resubscribe_users=resubscribe)
    worker = await world.start()
    world.change(ANN, "enter", "vip", 1 * MINUTE)
    await worker.rest()
    world.at(10 * MINUTE)
    getattr(world.controls, leave)(world.list_id, ANN)
    left = state(world)
    world.at(12 * MINUTE)
    world.change(ANN, "exit", "vip", 12 * MINUTE)
    await worker.rest()
    assert (state(world), world.options(ANN)) == (left, [])
    world.at(20 * MINUTE)
    world.change(ANN, "enter", "eu", 9 * MINUTE)
    await worker.rest()
    assert state(world) == left
    world.change(ANN, "enter", "new", 20 * MINUTE)
    await worker.rest()
    assert state(world) == ("Active" if resubscribe else left)


@pytest.mark.parametrize("reported", [False, True])
async def test_who_came_back_and_left_again_after_our_removal_stays_away(world: World, reported: bool) -> None:
    world.at(1 * MINUTE)
    world.job(on_last_exit="unsubscribe")
    worker = await world.start()
    world.change(ANN, "enter", "vip", 1 * MINUTE)
    await worker.rest()
    world.at(10 * MINUTE)
    world.change(ANN, "exit", "vip", 10 * MINUTE)
    await worker.rest()
    world.at(15 * MINUTE)
    await _comes_back(world)
    world.at(18 * MINUTE)
    world.controls.unsubscribe(world.list_id, ANN)
    if reported:
        webhook(world, "subscribe", 15)
        webhook(world, "deactivate", 18, status="unsubscribe")
    await worker.rest()
    world.at(20 * MINUTE)
    world.change(ANN, "enter", "eu", 20 * MINUTE)
    await worker.rest()
    assert state(world) == "Unsubscribed"


async def _comes_back(world: World) -> None:
    from connectors.campaign_monitor.client.requests import Autoresponders, SubscriberWrite

    assert world.worker is not None
    access = world.worker.accounts._open["auth-1"].apis["live"]
    await access.subscribers.import_(world.list_id, [SubscriberWrite(ANN)], Autoresponders(resubscribe=True))


async def test_a_removal_whose_answer_is_lost_is_ours(world: World) -> None:
    world.at(1 * MINUTE)
    world.job(on_last_exit="delete")
    worker = await world.start()
    world.change(ANN, "enter", "vip", 1 * MINUTE)
    await worker.rest()
    world.controls.inject(kind="reset", after=True, path="/subscribers/*", method="DELETE")
    world.change(ANN, "exit", "vip", 1 * MINUTE + 1)
    await worker.rest()
    world.change(ANN, "enter", "vip", 2 * MINUTE)
    await worker.rest()
    assert state(world) == "Active"


async def test_leaving_adds_nobody_and_takes_off_who_never_confirmed(world: World) -> None:
    world.list_id = world.controls.add_list(world.client_id, "Confirmed", confirmed_opt_in=True)
    world.at(1 * MINUTE)
    world.job(on_last_exit="delete")
    worker = await world.start()
    world.change(ANN, "enter", "vip", 1 * MINUTE)
    await worker.rest()
    world.change(ANN, "exit", "vip", 2 * MINUTE)
    await worker.rest()
    assert state(world) == "Deleted"
    world.change(ANN, "enter", "vip", 3 * MINUTE)
    await worker.rest()
    assert state(world) == "Deleted"


@pytest.mark.parametrize("reported", [False, True])
@pytest.mark.parametrize("resubscribe", [False, True])
@pytest.mark.parametrize("update_only", [False, True])
async def test_what_came_before_the_confirmation_is_there_after_it(
    world: World, reported: bool, resubscribe: bool, update_only: bool
) -> None:
    world.list_id = world.controls.add_list(world.client_id, "Confirmed", confirmed_opt_in=True)
    mapping = [{"user_field": "city", "custom_field": "City"}]
    options = {"resubscribe_users": resubscribe, "field_mappings": mapping}
    world.at(1 * MINUTE)
    world.job(**options)
    worker = await world.start()
    world.change(ANN, "enter", "vip", 1 * MINUTE, user={"city": "Ghent"})
    await worker.rest()
    assert state(world) == "Unconfirmed"
    assert [(receipt["outcome"], receipt["message"].split(":")[0]) for receipt in world.receipts()] == [
        ("added", "Added, waits for confirmation")
    ]
    world.job(**options, update_only=update_only)
    world.at(5 * MINUTE)
    world.change(ANN, "enter", "eu", 5 * MINUTE, user={"city": "Oslo"})
    await worker.rest()
    last = world.receipts()[-1]
    assert (state(world), last["outcome"]) == ("Unconfirmed", "updated")
    assert last["message"].startswith("Written, waits for confirmation")
    world.snapshot(ANN, ["vip", "eu"], 6 * MINUTE, user={"city": "Rome"})
    await worker.rest()
    last = world.receipts()[-1]
    assert (last["outcome"], world.options(ANN, "City")) == ("updated", ["Rome"])
    assert last["message"].startswith("Written, waits for confirmation")
    world.at(9 * MINUTE)
    assert world.controls.confirm(world.list_id, ANN)
    if reported:
        webhook(world, "subscribe", 9)
    await worker.rest()
    assert (state(world), world.options(ANN), world.options(ANN, "City")) == ("Active", ["EU", "VIP"], ["Rome"])
    world.change(ANN, "exit", "vip", 9 * MINUTE)
    await worker.rest()
    assert world.options(ANN) == ["EU"]


@pytest.mark.parametrize("policy", REMOVED)
@pytest.mark.parametrize("later", ["exit", "snapshot", "nothing"])
async def test_our_removal_is_known_after_a_crash(world: World, policy: str, later: str) -> None:
    """The next owner does not know what its predecessor sent, and finds them off the list."""
    world.at(1 * MINUTE)
    world.job(on_last_exit=policy)
    worker = await world.start()
    world.change(ANN, "enter", "vip", 1 * MINUTE)
    await worker.rest()
    world.at(10 * MINUTE)
    world.change(ANN, "exit", "vip", 10 * MINUTE)
    await worker.rest()
    world.controls.inject(kind="hang", path="/subscribers/*")
    if later == "exit":
        world.change(ANN, "exit", "eu", 10 * MINUTE + 1)
    elif later == "snapshot":
        world.snapshot(ANN, [], 10 * MINUTE + 1, user={"city": "Ghent"})
    await worker.consume()
    await worker.crash()
    world.controls.clear_faults()
    worker = await world.start()
    await worker.rest()
    world.at(11 * MINUTE)
    world.change(ANN, "enter", "eu", 11 * MINUTE)
    await worker.rest()
    assert state(world) == "Active"


@pytest.mark.parametrize("update_only", [False, True])
async def test_who_comes_back_to_a_confirmed_list_waits_again(world: World, update_only: bool) -> None:
    world.list_id = world.controls.add_list(world.client_id, "Confirmed", confirmed_opt_in=True)
    world.at(1 * MINUTE)
    world.controls.add_subscriber(world.list_id, ANN)
    world.controls.unsubscribe(world.list_id, ANN)
    world.job(resubscribe_users=True, update_only=update_only)
    worker = await world.start()
    world.at(5 * MINUTE)
    world.change(ANN, "enter", "vip", 5 * MINUTE)
    await worker.rest()
    (receipt,) = world.receipts()
    assert (state(world), receipt["outcome"]) == ("Unconfirmed", "updated")
    assert receipt["message"].startswith("Written, waits for confirmation")


@pytest.mark.parametrize(
    ("added", "resubscribe", "says"),
    [(True, False, "Added, waits"), (False, False, ""), (None, False, "who is new waits"), (False, True, "Written")],
)
def test_who_waits_for_confirmation_after_an_import(added: bool | None, resubscribe: bool, says: str) -> None:
    assert says in (waits_for_confirmation(added, Autoresponders(resubscribe=resubscribe)) or "")
