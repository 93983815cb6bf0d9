"""Snapshots that also change the person's address: each has one true receipt of every job whose audiences it names or
leaves."""

import pytest

from streams.export.rules.immediate import FROM_BEFORE
from tests.unit.export.export_world import World

ANN, BOB = "ann@example.com", "bob@example.com"
MAPPINGS = [{"user_field": "city", "custom_field": "City"}]


async def test_who_stays_in_the_audience_is_updated(world: World) -> None:
    world.job(field_mappings=MAPPINGS)
    worker = await world.start()
    world.change(ANN, "enter", "vip", 1, user={"city": "Ghent"})
    await worker.rest()
    world.snapshot(BOB, ["vip"], 2, previous_email=ANN, user={"city": "Oslo"})
    await worker.rest()
    assert world.options(BOB, "City") == ["Oslo"]
    assert world.subscriber(ANN) is None
    assert world.outcomes(BOB) == ["updated"]


@pytest.mark.parametrize("policy", ["keep", "unsubscribe", "delete"])
async def test_who_leaves_the_last_audience_is_removed(world: World, policy: str) -> None:
    world.job(on_last_exit=policy)
    worker = await world.start()
    world.change(ANN, "enter", "vip", 1)
    await worker.rest()
    world.snapshot(BOB, [], 2, previous_email=ANN)
    await worker.rest()
    assert world.outcomes(BOB) == ["removed"]
    assert world.receipts()[-1].get("taken_off") == (None if policy == "keep" else policy)
    assert world.options(BOB) == []


async def test_each_job_answers_for_what_it_exports(world: World) -> None:
    world.job("a", audiences=["vip"])
    world.job("b", audiences=["eu"])
    worker = await world.start()
    world.change(ANN, "enter", "vip", 1)
    world.change(ANN, "enter", "eu", 1)
    await worker.rest()
    world.snapshot(BOB, ["vip"], 2, previous_email=ANN)
    await worker.rest()
    assert sorted(world.outcomes(BOB)) == ["removed", "updated"]
    assert world.options(BOB) == ["VIP"]


async def test_a_snapshot_that_follows_before_the_row_has_come(world: World) -> None:
    world.job("a", audiences=["vip"])
    world.job("b", audiences=["eu"])
    worker = await world.start()
    world.change(ANN, "enter", "vip", 1)
    await worker.rest()
    world.change(BOB, "enter", "eu", 2, previous_email=ANN)
    world.snapshot(BOB, ["eu"], 3)
    await worker.rest()
    answered = [(receipt["job_id"], receipt["source"]["offset"]) for receipt in world.receipts()]
    assert len(answered) == len(set(answered))
    assert world.options(BOB) == ["EU"]
    snapshot = [receipt for receipt in world.receipts() if receipt["email"] == BOB and receipt["job_id"] == "a"]
    assert [receipt["outcome"] for receipt in snapshot] == ["removed"]


async def test_somebody_whom_no_job_exports_has_a_receipt_that_says_so(world: World) -> None:
    world.job()
    worker = await world.start()
    world.snapshot(BOB, ["vip"], 2, previous_email=ANN)
    await worker.rest()
    (receipt,) = world.receipts()
    assert receipt["outcome"] == "not_exported"
    assert receipt["message"] == FROM_BEFORE


async def test_a_snapshot_that_repeats_what_the_new_row_knows_follows_the_call(world: World) -> None:
    world.snapshot(BOB, ["vip"], 1)
    world.job(field_mappings=MAPPINGS)
    worker = await world.start()
    world.change(ANN, "enter", "vip", 2)
    await worker.rest()
    world.snapshot(BOB, ["vip"], 3, previous_email=ANN, user={"city": "Oslo"})
    await worker.rest()
    assert world.options(BOB, "City") == ["Oslo"]
    assert world.outcomes(BOB) == ["not_exported", "updated"]


async def test_what_overtakes_a_snapshot_before_the_former_row_has_come_leaves_it_one_receipt(world: World) -> None:
    """The snapshot leaves an audience that only the former row knows, and was superseded in the one that it names."""
    world.job()
    worker = await world.start()
    world.change(ANN, "enter", "new", 1)
    world.change(BOB, "exit", "vip", 1)
    await worker.rest()
    world.snapshot(BOB, ["vip"], 3, previous_email=ANN)
    world.change(BOB, "enter", "vip", 4)
    await worker.rest()
    assert world.options(BOB) == ["VIP"]
    found = [(receipt["source"]["partition"], receipt["source"]["offset"]) for receipt in world.receipts()]
    assert len(found) == len(set(found)) == 4
