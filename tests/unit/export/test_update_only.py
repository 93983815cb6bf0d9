"""Jobs that only update: what the list forbids is refused, though a PUT answers 200 for everybody on the list."""

import asyncio

import pytest

from tests.unit.export.export_world import World

ANN = "ann@example.com"
MAPPINGS = [{"user_field": "city", "custom_field": "City"}]
WORK = {"email_field": "work"}
STATES = {
    "unsubscribed": lambda world: world.controls.unsubscribe(world.list_id, ANN),
    "bounced": lambda world: world.controls.hard_bounce(world.list_id, ANN),
    "deleted": lambda world: world.controls.delete_subscriber(world.list_id, ANN),
}


@pytest.mark.parametrize("state", STATES)
@pytest.mark.parametrize("known", [False, True])
async def test_who_is_not_active_is_refused(world: World, state: str, known: bool) -> None:
    world.job(update_only=True, field_mappings=MAPPINGS)
    world.controls.add_subscriber(world.list_id, ANN)
    worker = await world.start()
    if known:
        world.change(ANN, "enter", "vip", 1, user={"city": "Ghent"})
        await worker.rest()
        assert world.outcomes() == ["updated"]
    STATES[state](world)
    world.change(ANN, "enter", "eu", 2, user={"city": "Oslo"})
    await worker.rest()
    world.snapshot(ANN, ["vip", "eu"], 3, user={"city": "Rome"})
    await worker.rest()
    refused = f"refused {state}"
    assert world.outcomes()[known:] == [refused, refused]
    assert all(receipt["message"] for receipt in world.receipts()[known:])
    found = world.subscriber(ANN)
    assert found is not None
    assert found["State"].lower() == state


async def test_who_left_loses_the_audiences_that_are_not_true_any_more(world: World) -> None:
    world.job(update_only=True)
    world.controls.add_subscriber(world.list_id, ANN)
    worker = await world.start()
    world.change(ANN, "enter", "vip", 1)
    world.change(ANN, "enter", "eu", 1)
    await worker.rest()
    world.controls.unsubscribe(world.list_id, ANN)
    world.change(ANN, "exit", "vip", 2)
    await worker.rest()
    assert world.options(ANN) == ["EU"]
    assert world.outcomes()[2:] in (["refused unsubscribed"], ["removed"])


async def test_who_left_and_has_a_new_address_is_refused_under_that(world: World) -> None:
    world.job(email_field="work")
    worker = await world.start()
    world.change(ANN, "enter", "vip", 1, user={"work": ANN})
    await worker.rest()
    world.controls.unsubscribe(world.list_id, ANN)
    world.snapshot(ANN, ["vip"], 2, user={"work": "new@example.com"})
    await worker.rest()
    world.snapshot(ANN, ["vip", "eu"], 3)
    await worker.rest()
    assert world.outcomes() == ["added", "refused unsubscribed", "refused unsubscribed"]
    found = world.subscriber("new@example.com")
    assert found is not None
    assert (found["State"], world.options("new@example.com"), world.subscriber(ANN)) == ("Unsubscribed", ["VIP"], None)


async def test_who_has_not_confirmed_is_updated_and_waits(world: World) -> None:
    world.job(update_only=True)
    world.controls.add_subscriber(world.list_id, ANN, state="Unconfirmed")
    worker = await world.start()
    world.change(ANN, "enter", "vip", 1)
    await worker.rest()
    (receipt,) = world.receipts()
    assert receipt["outcome"] == "updated"
    assert receipt["message"].startswith("Written, waits for confirmation")
    assert world.options(ANN) == ["VIP"]


async def test_who_left_the_list_loses_what_a_late_update_wrote(world: World) -> None:
    world.job(update_only=True)
    worker = await world.start()
    world.controls.add_subscriber(world.list_id, ANN)
    world.controls.inject(kind="reset", late=True, path="/subscribers/*.json", method="PUT")
    world.change(ANN, "enter", "vip", 1)
    await worker.consume()
    await asyncio.sleep(1)
    world.change(ANN, "exit", "vip", 2)
    world.change(ANN, "enter", "eu", 2)
    await worker.rest()
    world.controls.unsubscribe(world.list_id, ANN)
    world.controls.release_calls()
    world.pass_time(400)
    await asyncio.sleep(12)
    await worker.rest()
    assert (world.subscriber(ANN) or {})["State"] == "Unsubscribed"
    assert set(world.options(ANN)) <= {"EU"}
