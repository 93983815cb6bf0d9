"""Who left an address last is known first: rows are transferred in the order in which people left all the same."""

import asyncio

import pytest

from streams.export.sending import row_transfers
from tests.unit.export.address_plays import ADDRESSES
from tests.unit.export.export_world import World

ANN, BOB, CEM, DEE = ADDRESSES[:4]


async def _in_the_order_of_leaving(world: World) -> None:
    world.job()
    worker = await world.start()
    world.change(CEM, "enter", "vip", 1)
    world.change(CEM, "enter", "eu", 2, previous_email=ANN)
    world.change(DEE, "enter", "eu", 3, previous_email=CEM)
    await worker.consume()
    await asyncio.sleep(2)
    world.change(BOB, "enter", "new", 2, previous_email=CEM)
    await worker.rest()
    assert world.options(BOB) == ["NEW", "VIP"]
    assert world.options(DEE) == ["EU"]


async def test_rows_are_transferred_in_the_order_in_which_people_left(world: World) -> None:
    await _in_the_order_of_leaving(world)


async def test_sabotage_of_transferring_in_order(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(row_transfers, "has_earlier_holder", lambda row, at: False)
    with pytest.raises(AssertionError):
        await _in_the_order_of_leaving(world)


async def test_two_come_one_after_the_other_from_one_address(world: World) -> None:
    """Of the first one who came from it nothing was known any more, and the second one took Cem's audiences along."""
    world.job()
    worker = await world.start()
    world.change(CEM, "enter", "vip", 1)
    world.change(CEM, "enter", "eu", 2, previous_email=BOB)
    world.change(CEM, "enter", "new", 3, previous_email=BOB)
    world.change(BOB, "enter", "new", 3, previous_email=CEM)
    await worker.consume()
    await asyncio.sleep(2)
    world.change(DEE, "enter", "eu", 2, previous_email=CEM)
    await worker.rest()
    assert (world.options(DEE), world.options(BOB), world.options(CEM)) == (["EU", "VIP"], ["EU", "NEW"], ["NEW"])
