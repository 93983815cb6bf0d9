"""People who change their address themselves, in the preference center: one subscriber for each person."""

import asyncio
from datetime import UTC, datetime
from typing import Any

import orjson
import pytest

from streams.batches import Output, partition_of
from streams.export.rules.row import UnansweredCalls
from tests.unit.export.export_world import Worker, World

ANN, NEW, NEWER = "ann@example.com", "ann.new@example.org", "ann.newer@example.net"
PEOPLE = [(f"p{number}@example.com", f"p{number}.new@example.com") for number in range(8)]
HOME = "home@example.com"
_TIMES = iter(range(10**6))


def webhook(world: World, former: str, address: str, seconds: int | None = None, **more: Any) -> None:
    """Report that a subscriber has another address; later than all before, unless the time is given."""
    at = datetime(2026, 3, 1, 12, tzinfo=UTC).timestamp() + (next(_TIMES) if seconds is None else seconds)
    body = {
        "at": datetime.fromtimestamp(at, UTC).isoformat(), "event": "update", "email": address, "old_email": former,
        "status": "active", "source": "webhook", "list_id": world.list_id,
        "custom_fields": [{"key": "LyticsAudiences", "value": text} for text in world.options(address)], **more,
    }  # fmt: skip
    world.log.append(Output("cm_activity", address.encode(), orjson.dumps(body)), world.wall())


def change_own(world: World, former: str, address: str) -> None:
    """Change a subscriber's address, as the person does, and report it."""
    world.controls.edit_profile(world.list_id, former, new_email=address)
    webhook(world, former, address)


def job(world: World, **options: Any) -> None:
    world.job(field_mappings=[{"user_field": "city", "custom_field": "City"}], **options)


def city(world: World, email: str) -> str | None:
    return next(iter(world.options(email, "City")), None)


def state(world: World, email: str) -> str | None:
    found = world.subscriber(email)
    return None if found is None else found["State"]


async def _moved(world: World) -> Worker:
    """Deliver Ann, and have her change her address by herself."""
    job(world)
    worker = await world.start()
    world.change(ANN, "enter", "vip", 1)
    await worker.rest()
    change_own(world, ANN, NEW)
    await worker.rest()
    return worker


async def _one_subscriber(world: World) -> None:
    job(world)
    worker = await world.start()
    for person, _ in PEOPLE:
        world.change(person, "enter", "vip", 1, user={"city": "Ulm"})
    await worker.rest()
    for person, new in PEOPLE:
        change_own(world, person, new)
    await worker.rest()
    for person, _ in PEOPLE:
        world.change(person, "enter", "eu", 2, user={"city": "Bonn"})
    await worker.rest()
    for person, new in PEOPLE:
        assert state(world, person) is None, "two subscribers of one person"
        assert (state(world, new), world.options(new), city(world, new)) == ("Active", ["EU", "VIP"], "Bonn")
        assert world.outcomes(person) == ["added", "updated"]
        assert world.receipts()[-1]["address"].endswith(".new@example.com")


async def test_a_changed_field_is_written_under_the_address_that_they_chose(world: World) -> None:
    partitions = world.log.partitions
    apart = [person for person, new in PEOPLE if len({partition_of(e.encode(), partitions) for e in (person, new)}) > 1]
    assert apart, "the rows of both addresses are in one partition"
    await _one_subscriber(world)


async def _leaves(world: World, policy: str = "unsubscribe") -> None:
    job(world, on_last_exit=policy)
    worker = await world.start()
    world.change(ANN, "enter", "vip", 1)
    await worker.rest()
    change_own(world, ANN, NEW)
    await worker.rest()
    world.change(ANN, "exit", "vip", 2)
    await worker.rest()
    there = {"keep": "Active", "unsubscribe": "Unsubscribed", "delete": "Deleted"}[policy]
    assert (state(world, ANN), state(world, NEW), world.options(NEW)) == (None, there, [])
    assert world.outcomes(ANN) == ["added", "removed"]


@pytest.mark.parametrize("policy", ["keep", "unsubscribe", "delete"])
async def test_leaving_reaches_who_changed_their_address(world: World, policy: str) -> None:
    await _leaves(world, policy)


@pytest.mark.parametrize("policy", ["keep", "unsubscribe", "delete"])
async def test_leaving_reaches_them_also_where_the_webhook_comes_later(world: World, policy: str) -> None:
    job(world, on_last_exit=policy)
    worker = await world.start()
    world.change(ANN, "enter", "vip", 1)
    await worker.rest()
    world.controls.edit_profile(world.list_id, ANN, new_email=NEW)
    world.change(ANN, "exit", "vip", 2)
    await worker.rest()
    assert world.outcomes(ANN) == ["added", "unchanged"]
    assert "Not on the list under this address" in world.receipts()[-1]["message"]
    webhook(world, ANN, NEW)
    await worker.rest()
    there = {"keep": "Active", "unsubscribe": "Unsubscribed", "delete": "Deleted"}[policy]
    assert (state(world, ANN), state(world, NEW), world.options(NEW)) == (None, there, [])


async def _one_has_the_audiences(world: World) -> None:
    job(world)
    worker = await world.start()
    world.change(ANN, "enter", "vip", 1)
    await worker.rest()
    world.controls.edit_profile(world.list_id, ANN, new_email=NEW)
    world.change(ANN, "enter", "eu", 2)
    await worker.rest()
    webhook(world, ANN, NEW)
    await worker.rest()
    await asyncio.sleep(12)
    await worker.rest()
    assert (world.options(ANN), world.options(NEW)) == ([], ["EU", "VIP"])


async def test_of_two_after_a_late_webhook_one_has_the_audiences(world: World) -> None:
    await _one_has_the_audiences(world)


async def _changes_it_twice(world: World, last: str = NEWER) -> None:
    worker = await _moved(world)
    change_own(world, NEW, last)
    await worker.rest()
    world.change(ANN, "enter", "eu", 2, user={"city": "Bonn"})
    await worker.rest()
    there = [email for email in (ANN, NEW, NEWER) if state(world, email)]
    assert (there, world.options(last), city(world, last)) == ([last], ["EU", "VIP"], "Bonn")


@pytest.mark.parametrize("last", [NEWER, ANN])
async def test_they_may_change_it_again_or_back(world: World, last: str) -> None:
    await _changes_it_twice(world, last)


async def test_a_report_that_is_repeated_or_late_changes_nothing(world: World) -> None:
    job(world)
    worker = await world.start()
    world.change(ANN, "enter", "vip", 1)
    await worker.rest()
    world.controls.edit_profile(world.list_id, ANN, new_email=NEW)
    webhook(world, ANN, NEW, 1_000_001)
    await worker.rest()
    world.controls.edit_profile(world.list_id, NEW, new_email=ANN)
    for times in ((1_000_002,), (1_000_001, 1_000_002)):
        for seconds in times:
            webhook(world, *((NEW, ANN) if seconds == 1_000_002 else (ANN, NEW)), seconds)
        await worker.rest()
    world.change(ANN, "enter", "eu", 2)
    await worker.rest()
    assert (world.options(ANN), state(world, NEW)) == (["EU", "VIP"], None)


async def _upstream_changes_it(world: World) -> None:
    worker = await _moved(world)
    world.snapshot(NEWER, ["vip", "eu"], 5, previous_email=ANN)
    await worker.rest()
    assert (state(world, ANN), state(world, NEW)) == (None, None)
    assert world.options(NEWER) == ["EU", "VIP"]


async def test_upstream_gives_them_another_one_in_place(world: World) -> None:
    await _upstream_changes_it(world)


async def test_upstream_learns_the_address_that_they_chose(world: World) -> None:
    worker = await _moved(world)
    world.snapshot(NEW, ["vip", "eu"], 5, previous_email=ANN)
    await worker.rest()
    assert (state(world, ANN), world.options(NEW)) == (None, ["EU", "VIP"])
    world.change(NEW, "exit", "vip", 6)
    world.change(NEW, "exit", "eu", 7)
    await worker.rest()
    assert (state(world, ANN), world.options(NEW)) == (None, [])


async def _another_value(world: World) -> None:
    job(world, email_field="mail")
    worker = await world.start()
    world.change(ANN, "enter", "vip", 1, user={"mail": HOME})
    await worker.rest()
    change_own(world, HOME, NEW)
    await worker.rest()
    world.change(ANN, "enter", "eu", 2, user={"mail": HOME})
    await worker.rest()
    assert (state(world, HOME), world.options(NEW)) == (None, ["EU", "VIP"])
    for at, mail in ((3, NEWER), (4, HOME)):
        world.change(ANN, "enter", "vip", at, user={"mail": mail})
        await worker.rest()
        there = [email for email in (ANN, HOME, NEW, NEWER) if state(world, email)]
        assert (there, world.options(mail)) == ([mail], ["EU", "VIP"])


async def test_another_value_of_the_address_field_is_in_force_again(world: World) -> None:
    await _another_value(world)


async def _changed_by_us(world: World) -> None:
    job(world, email_field="mail")
    worker = await world.start()
    for at, mail in ((1, HOME), (2, NEW)):
        world.change(ANN, "enter", "vip", at, user={"mail": mail})
        await worker.rest()
    webhook(world, HOME, NEW)
    await worker.rest()
    world.change(ANN, "enter", "vip", 3, user={"mail": HOME})
    await worker.rest()
    assert (state(world, NEW), world.options(HOME)) == (None, ["VIP"])


async def test_our_own_change_of_an_address_is_no_choice_of_theirs(world: World) -> None:
    await _changed_by_us(world)


async def _belongs_to_another(world: World) -> None:
    """Bob has the address at upstream, and is exported under it after Ann chose it."""
    job(world, on_last_exit="unsubscribe")
    worker = await world.start()
    world.change(ANN, "enter", "vip", 1)
    await worker.rest()
    world.controls.edit_profile(world.list_id, ANN, new_email=NEW)
    world.change(NEW, "enter", "eu", 3)
    await worker.rest()
    webhook(world, ANN, NEW)
    await worker.rest()
    world.change(ANN, "enter", "de", 4)
    await worker.rest()
    assert world.outcomes(ANN)[-1] == "refused address_in_use"
    world.change(ANN, "exit", "vip", 5)
    world.change(ANN, "exit", "de", 5)
    await worker.rest()
    assert (state(world, NEW), world.options(NEW)) == ("Active", ["EU"]), "another person's subscriber was taken off"


async def test_another_persons_address_is_theirs(world: World) -> None:
    await _belongs_to_another(world)


@pytest.mark.parametrize(
    ("where", "without", "play"),
    [
        ("streams.export.intake.commands.reported_by", lambda activity, email: None, _one_subscriber),
        ("streams.export.intake.commands.reported_by", lambda activity, email: None, _leaves),
        ("streams.export.rules.desired.chosen_of", lambda held, address: address, _one_subscriber),
        ("streams.export.intake.commands.claimants_of", lambda row, key, change: (), _changes_it_twice),
        ("streams.export.rules.settlement.end_chosen", lambda held, written: None, _another_value),
        (
            "streams.export.rules.own_addresses.UnansweredCalls",
            lambda at, addresses: UnansweredCalls(at),
            _one_has_the_audiences,
        ),
        ("streams.export.intake.commands.forget_refused", lambda row, answer: None, _belongs_to_another),
    ],
)
async def test_sabotage(world: World, monkeypatch: pytest.MonkeyPatch, where: str, without: Any, play: Any) -> None:
    monkeypatch.setattr(where, without)
    with pytest.raises(AssertionError):
        await play(world)
