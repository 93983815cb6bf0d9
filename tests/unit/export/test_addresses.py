"""Addresses that change: chains, swaps and cycles in every interleaving end as one subscriber for each person."""

import pytest

from tests.unit.export.address_plays import ADDRESSES, play_addresses
from tests.unit.export.export_world import World

ANN, BOB, CEM = ADDRESSES[:3]


@pytest.mark.parametrize("share", range(4))
def test_any_changes_of_addresses_end_as_one_subscriber_for_each_person(share: int) -> None:
    assert [fault for seed in range(share * 8, share * 8 + 8) if (fault := play_addresses(seed))] == []


async def test_two_changes_in_a_row_before_either_is_worked(world: World) -> None:
    world.job()
    worker = await world.start()
    world.change(ANN, "enter", "vip", 1)
    await worker.rest()
    world.change(CEM, "enter", "new", 3, previous_email=BOB)
    world.change(BOB, "enter", "eu", 2, previous_email=ANN)
    await worker.rest()
    assert world.options(CEM) == ["EU", "NEW", "VIP"]
    assert world.options(ANN) == world.options(BOB) == []


async def test_two_people_swap_addresses_that_are_on_the_list(world: World) -> None:
    world.job()
    worker = await world.start()
    world.change(ANN, "enter", "vip", 1)
    world.change(BOB, "enter", "eu", 1)
    await worker.rest()
    world.change(BOB, "enter", "new", 2, previous_email=ANN)
    world.change(ANN, "enter", "new", 2, previous_email=BOB)
    await worker.rest()
    assert world.options(BOB) == ["NEW", "VIP"]
    assert world.options(ANN) == ["EU", "NEW"]


@pytest.mark.parametrize(
    ("policy", "state"), [("keep", "Active"), ("unsubscribe", "Unsubscribed"), ("delete", "Deleted")]
)
async def test_an_address_that_somebody_left_for_one_on_the_list_leaves_by_the_rule_of_the_job(
    world: World, policy: str, state: str
) -> None:
    world.job(on_last_exit=policy)
    worker = await world.start()
    world.change(ANN, "enter", "vip", 1)
    world.change(BOB, "enter", "eu", 1)
    await worker.rest()
    world.change(BOB, "enter", "new", 2, previous_email=ANN)
    await worker.rest()
    assert world.options(BOB) == ["EU", "NEW", "VIP"]
    assert world.options(ANN) == []
    left = world.subscriber(ANN)
    assert left is not None
    assert left["State"] == state
    assert any("on the list already" in receipt.get("message", "") for receipt in world.receipts())


@pytest.mark.parametrize("left", [ANN, BOB])
async def test_who_left_under_one_address_is_mailed_under_neither(world: World, left: str) -> None:
    world.job()
    worker = await world.start()
    world.change(ANN, "enter", "vip", 1)
    world.change(BOB, "enter", "eu", 1)
    await worker.rest()
    world.controls.unsubscribe(world.list_id, left)
    world.change(BOB, "enter", "new", 2, previous_email=ANN)
    await worker.rest()
    for address in (ANN, BOB):
        found = world.subscriber(address)
        assert found is not None
        assert found["State"] == "Unsubscribed"
    assert world.outcomes(BOB)[-1] == "refused unsubscribed"
