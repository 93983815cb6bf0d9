"""Two people whose job's e-mail field names one address: one is on the list, the other is refused, and follows."""

import asyncio
from typing import Any

import pytest

from streams.batches import partition_of
from streams.export.rules import claims
from tests.unit.export.export_world import World
from tests.unit.export.test_erasure import forget

HOME = "home@example.com"
REFUSED = "refused address_in_use"


def enter(world: World, email: str, at: int, address: str | None = HOME, **fields: Any) -> None:
    user = fields if address is None else {"mail": address, **fields}
    world.change(email, "enter", "vip", at, user=user)


def job(world: World, **options: Any) -> None:
    mappings = [{"user_field": "city", "custom_field": "City"}]
    world.job(email_field="mail", field_mappings=mappings, **options)


def city(world: World, email: str = HOME) -> str | None:
    found = world.subscriber(email) or {"CustomFields": []}
    return next((value["Value"] for value in found["CustomFields"] if value["Key"].strip("[]") == "City"), None)


def states(world: World) -> list[dict[str, Any]]:
    return [receipt for receipt in world.receipts() if receipt["outcome"] == "refused"]


async def test_the_first_has_the_address_and_the_other_a_receipt(world: World) -> None:
    job(world)
    worker = await world.start()
    enter(world, "ann@example.com", 1, city="Ulm")
    await worker.rest()
    enter(world, "bob@example.com", 2, city="Bonn")
    await worker.rest()
    assert world.outcomes("ann@example.com") == ["added"]
    assert world.outcomes("bob@example.com") == [REFUSED]
    assert "another person's" in states(world)[0]["message"]
    assert city(world) == "Ulm"


async def test_they_may_be_in_partitions_of_their_own(world: World) -> None:
    people = [f"p{number}@example.com" for number in range(8)]
    assert len({partition_of(person.encode(), world.log.partitions) for person in people}) > 1
    job(world)
    for person in people:
        enter(world, person, 1, city=person)
    worker = await world.start()
    await worker.rest()
    outcomes = sorted(outcome for person in people for outcome in world.outcomes(person))
    assert outcomes == ["added", *[REFUSED] * 7]
    assert world.outcomes(city(world)) == ["added"]


async def test_the_next_follows_when_the_first_leaves(world: World) -> None:
    for policy in ("keep", "delete"):
        job(world, on_last_exit=policy)
        worker = await world.start()
        at = 10 if policy == "keep" else 20
        enter(world, "ann@example.com", at, city="Ulm")
        await worker.rest()
        enter(world, "bob@example.com", at, city="Bonn")
        await worker.rest()
        assert city(world) == "Ulm"
        world.change("ann@example.com", "exit", "vip", at + 1)
        await worker.rest()
        assert (city(world), world.options(HOME)) == ("Bonn", ["VIP"])
        world.change("bob@example.com", "exit", "vip", at + 2)
        await worker.rest()
        assert world.options(HOME) == []
        await worker.crash()


async def test_the_next_follows_when_the_field_of_the_first_changes(world: World) -> None:
    job(world)
    worker = await world.start()
    for person, town in (("ann@example.com", "Ulm"), ("bob@example.com", "Bonn")):
        enter(world, person, 1, city=town)
        await worker.rest()
    enter(world, "ann@example.com", 2, "work@example.com", city="Ulm")
    await worker.rest()
    assert (city(world), city(world, "work@example.com")) == ("Bonn", "Ulm")
    enter(world, "bob@example.com", 3, "work@example.com", city="Bonn")
    await worker.rest()
    assert (city(world), city(world, "work@example.com")) == ("Bonn", "Ulm")
    assert world.outcomes("bob@example.com")[-1] == REFUSED


async def test_the_next_follows_when_the_first_is_erased(world: World) -> None:
    job(world)
    worker = await world.start()
    for person, town in (("ann@example.com", "Ulm"), ("bob@example.com", "Bonn")):
        enter(world, person, 1, city=town)
        await worker.rest()
    forget(world, "ann@example.com")
    await worker.rest()
    assert city(world) == "Bonn"


async def test_whose_own_address_it_is_has_it(world: World) -> None:
    world.job(field_mappings=[{"user_field": "city", "custom_field": "City"}])
    worker = await world.start()
    world.change("ann@example.com", "enter", "vip", 1, user={"email": HOME, "city": "Ulm"})
    await worker.rest()
    assert city(world) == "Ulm"
    world.change(HOME, "enter", "vip", 1, user={"city": "Home"})
    await worker.rest()
    assert city(world) == "Home"
    assert world.outcomes(HOME) in (["added"], ["updated"])
    world.change("ann@example.com", "enter", "eu", 2)
    await worker.rest()
    assert world.outcomes("ann@example.com") == ["added", REFUSED]
    assert world.options(HOME) == ["VIP"]
    world.change("ann@example.com", "exit", "vip", 3)
    world.change("ann@example.com", "exit", "eu", 3)
    await worker.rest()
    assert (city(world), world.options(HOME)) == ("Home", ["VIP"])
    world.change("ann@example.com", "enter", "eu", 4)
    await worker.rest()
    world.change(HOME, "exit", "vip", 5)
    await worker.rest()
    assert (city(world), world.options(HOME)) == ("Ulm", ["EU"])


async def test_a_claim_follows_its_person_to_another_key(world: World) -> None:
    job(world)
    worker = await world.start()
    for person, town in (("ann@example.com", "Ulm"), ("bob@example.com", "Bonn")):
        enter(world, person, 1, city=town)
        await worker.rest()
    world.change("amy@example.com", "enter", "eu", 5, previous_email="ann@example.com")
    await worker.rest()
    assert (city(world), world.options(HOME)) == ("Ulm", ["EU", "VIP"])
    world.change("amy@example.com", "exit", "eu", 6)
    world.change("amy@example.com", "exit", "vip", 6)
    await worker.rest()
    assert (city(world), world.options(HOME)) == ("Bonn", ["VIP"])


async def test_a_crash_at_any_step_loses_no_answer(world: World) -> None:
    job(world)
    for kill_at in range(1, 40):
        people = [f"{letter}{kill_at}@example.com" for letter in "ab"]
        home = f"home{kill_at}@example.com"
        worker = await world.start()
        worker.process.kill_at = kill_at
        for person in people:
            enter(world, person, 1, home, city=person)
        try:
            await worker.rest(60)
            ended = True
        except Exception:
            ended = False
        await worker.crash()
        await asyncio.sleep(0)
        worker = await world.start()
        await worker.rest()
        outcomes = {person: world.outcomes(person) for person in people}
        assert sorted(map(tuple, outcomes.values())) in (
            [("added",), (REFUSED,)],
            [(REFUSED,), ("updated",)],
        ), (kill_at, ended, outcomes)
        holder = next(person for person in people if outcomes[person] != [REFUSED])
        assert city(world, home) == holder
        await worker.stop()


async def test_people_under_their_own_addresses_have_no_commands(world: World) -> None:
    world.job()
    worker = await world.start()
    for number in range(5):
        world.change(f"p{number}@example.com", "enter", "vip", 1)
    await worker.rest()
    assert world.log.read("cm_membership-commands") == []


async def test_who_came_when_too_many_waited_asks_again_with_the_next_change(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(claims, "MAX_CLAIMANTS", 2)
    people = [f"{name}@example.com" for name in ("ann", "bob", "cem")]
    job(world)
    worker = await world.start()
    for at, person in enumerate(people):
        enter(world, person, at, city=person)
        await worker.rest()
    for at, person in enumerate(people[:2], 10):
        assert city(world) == person
        world.change(person, "exit", "vip", at)
        await worker.rest()
    assert world.options(HOME) == []
    world.snapshot(people[2], ["vip"], 20, user={"city": "Celle"})
    await worker.rest()
    assert city(world) == "Celle"


async def test_who_asks_while_the_job_is_stopped_is_answered_when_it_starts(world: World) -> None:
    job(world)
    worker = await world.start()
    enter(world, "ann@example.com", 1)
    await worker.consume()
    await asyncio.sleep(1)  # the address is asked for
    job(world, state="stopped")
    await worker.consume()
    job(world)
    await worker.rest()
    assert world.options(HOME) == ["VIP"]


async def test_the_next_follows_when_the_first_gives_the_address_back_while_the_job_is_stopped(world: World) -> None:
    job(world)
    worker = await world.start()
    for number, person in enumerate(("ann@example.com", "bob@example.com")):
        enter(world, person, 1, city=str(number))
        await worker.rest()
    world.change("ann@example.com", "exit", "vip", 2)
    await worker.consume()
    await asyncio.sleep(1)  # the address is given back
    job(world, state="stopped")
    await worker.consume()
    job(world)
    await worker.rest()
    assert (city(world), world.options(HOME)) == ("1", ["VIP"])
