"""Addresses that the list may take for one: they are two people's, as one address is that two people share."""

import pytest

from connectors.campaign_monitor.client.requests import address_key
from streams.export.rules import claims
from tests.unit.export.export_world import World
from tests.unit.export.test_late_calls import _compared as compared

REAL, ALIKE = "realk@x.org", "real\u212a@x.org"
PAIRS = [
    (REAL, ALIKE),
    ("strasse@x.org", "straße@x.org"),
    ("i@x.org", "\u0130@x.org"),
    ("last@x.org", "la\u017ft@x.org"),
]
REFUSED = "refused address_in_use"


async def _look_alike_comes_and_goes(world: World, real: str, alike: str) -> None:
    world.job(on_last_exit="delete")
    worker = await world.start()
    world.change(real, "enter", "vip", 1)
    await worker.rest()
    world.change(alike, "enter", "eu", 2)
    await worker.rest()
    assert world.outcomes(alike) == [REFUSED]
    assert world.options(real) == ["VIP"]
    world.change(alike, "exit", "eu", 3)
    await worker.rest()
    found = world.subscriber(real)
    assert found is not None
    assert found["State"] == "Active"
    assert world.outcomes(alike) == [REFUSED, "unchanged"]


@pytest.mark.parametrize(("real", "alike"), PAIRS)
async def test_a_look_alike_neither_overwrites_nor_deletes_the_person(world: World, real: str, alike: str) -> None:
    await _look_alike_comes_and_goes(world, real, alike)


async def test_sabotage_of_comparing_look_alikes(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(claims, "address_key", lambda address: address)
    with pytest.raises(AssertionError):
        await _look_alike_comes_and_goes(world, REAL, ALIKE)


async def test_the_person_whose_key_it_is_gets_the_address_from_a_look_alike(world: World) -> None:
    world.job()
    worker = await world.start()
    world.change(ALIKE, "enter", "eu", 1)
    await worker.rest()
    assert world.outcomes(ALIKE) == ["added"]
    world.change(REAL, "enter", "vip", 2)
    await worker.rest()
    assert world.outcomes(REAL)[0] in ("added", "updated")
    assert world.options(REAL) == ["VIP"]
    report = await compared(world)
    assert (report.missing, report.strangers, report.gone) == ([], [], [])
    world.change(ALIKE, "enter", "new", 3)
    await worker.rest()
    assert world.outcomes(ALIKE)[-1] == REFUSED
    assert world.options(REAL) == ["VIP"]


async def test_two_look_alikes_of_nobody(world: World) -> None:
    world.job()
    worker = await world.start()
    alikes = ["la\u017ft\u212a@x.org", "last\u212a@x.org"]
    for alike in alikes:
        world.change(alike, "enter", "eu", 1)
    await worker.rest()
    assert sorted(world.outcomes(alike)[0] for alike in alikes) == ["added", REFUSED]


@pytest.mark.parametrize(("before", "after"), [(REAL, ALIKE), (ALIKE, REAL)])
async def test_somebody_who_gets_the_look_alike_of_their_address(world: World, before: str, after: str) -> None:
    world.job()
    worker = await world.start()
    world.change(before, "enter", "vip", 1)
    await worker.rest()
    world.change(after, "enter", "eu", 2, previous_email=before)
    await worker.rest()
    assert world.outcomes(after) in (["updated"], ["added"])
    assert world.options(after) == ["EU", "VIP"]
    world.change(after, "exit", "eu", 3)
    await worker.rest()
    assert world.options(after) == ["VIP"]


async def test_who_has_no_look_alike_costs_no_command(world: World) -> None:
    world.job()
    worker = await world.start()
    world.change("müller@x.org", "enter", "vip", 1)
    world.change("ann@x.org", "enter", "vip", 1)
    await worker.rest()
    assert world.log.read("cm_membership-commands") == []


@pytest.mark.parametrize(("one", "other"), PAIRS)
def test_look_alikes_have_one_key(one: str, other: str) -> None:
    assert address_key(one) == address_key(other) == address_key(address_key(other)) == one
