"""Receipts of changes that enter and leave nothing: never before the call, and they name what is left out."""

import pytest

from tests.unit.export.export_world import World

ANN = "ann@example.com"
MAPPINGS = [{"user_field": "city", "custom_field": "City"}]


async def test_a_changed_field_alone_has_a_receipt_after_its_call(world: World) -> None:
    world.job(field_mappings=MAPPINGS)
    worker = await world.start()
    world.change(ANN, "enter", "vip", 1, user={"city": "Ghent"})
    await worker.rest()
    world.snapshot(ANN, ["vip"], 2, user={"city": "Oslo"})
    world.snapshot(ANN, ["vip"], 3, user={"city": "x" * 251})
    await worker.consume()
    assert world.outcomes() == ["added", "superseded"]
    await worker.rest()
    assert world.outcomes() == ["added", "superseded", "updated"]
    assert world.receipts()[-1]["message"] == "city was left out: 251 characters; the limit is 250"
    world.snapshot(ANN, ["vip"], 4, user={"city": "Rome"})
    await worker.rest()
    assert world.outcomes()[-1] == "updated"
    assert world.options(ANN, "City") == ["Rome"]
    world.snapshot(ANN, ["vip"], 5)
    await worker.consume()
    assert world.outcomes()[-1] == "unchanged"


async def test_a_repetition_is_not_unchanged_before_the_call(world: World) -> None:
    world.job()
    worker = await world.start()
    number = world.controls.inject(kind="status", status=500, count=None, path="/subscribers/*")
    world.change(ANN, "enter", "vip", 1)
    world.snapshot(ANN, ["vip"], 2)
    await worker.consume()
    assert world.outcomes() == []
    world.controls.clear_faults(number)
    await worker.rest()
    assert sorted(world.outcomes()) == ["added", "unchanged"]


async def test_a_repetition_is_refused_while_the_person_is(world: World) -> None:
    world.job(field_mappings=MAPPINGS)
    worker = await world.start()
    world.change(ANN, "enter", "vip", 1, user={"city": "Ghent"})
    await worker.rest()
    world.controls.unsubscribe(world.list_id, ANN)
    world.snapshot(ANN, ["vip"], 2, user={"city": "Oslo"})
    await worker.rest()
    world.snapshot(ANN, ["vip"], 3)
    await worker.rest()
    assert world.outcomes() == ["added", "refused unsubscribed", "refused unsubscribed"]
    found = world.subscriber(ANN)
    assert found is not None
    assert found["State"] == "Unsubscribed"


@pytest.mark.parametrize("policy", ["keep", "unsubscribe", "delete"])
@pytest.mark.parametrize("active", [True, False])
async def test_a_changed_field_that_an_exit_overtakes_is_superseded(world: World, policy: str, active: bool) -> None:
    world.job(field_mappings=MAPPINGS, on_last_exit=policy)
    worker = await world.start()
    world.change(ANN, "enter", "vip", 1, user={"city": "Ghent"})
    await worker.rest()
    if not active:
        world.controls.unsubscribe(world.list_id, ANN)
    fault = world.controls.inject(kind="status", status=500, count=None, path="/subscribers/*")
    world.snapshot(ANN, ["vip"], 2, user={"city": "Oslo"})
    await worker.consume()
    world.change(ANN, "exit", "vip", 3)
    await worker.consume()
    world.controls.clear_faults(fault)
    await worker.rest()
    by_position = {receipt["source"]["offset"]: receipt for receipt in world.receipts()}
    changed, left = by_position[1], by_position[2]
    assert changed["outcome"] == "superseded"
    assert "taken_off" not in changed
    assert left["outcome"] in (("removed",) if active else ("removed", "unchanged"))
    assert left.get("taken_off") == (policy if active and policy != "keep" else None)
