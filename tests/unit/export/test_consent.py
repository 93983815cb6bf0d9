"""Only a new entry into an audience, later than what a person did, makes who left active again."""

import random
from collections.abc import Callable
from typing import Any

import orjson
import pytest

from schemas.membership_command import Resend, command_bytes
from streams.batches import Output
from streams.export.intake import commands
from tests.unit.export.export_world import World

ANN = "ann@example.com"
MAPPINGS = [{"user_field": "city", "custom_field": "City"}]
MINUTE = 60
Step = Callable[[World, int], None]


def field_changes(world: World, at: int) -> None:
    world.snapshot(ANN, ["vip"], at, user={"city": f"City {at}"})


def job_is_edited(world: World, at: int) -> None:
    world.job(
        resubscribe_users=True, field_mappings=MAPPINGS, segment_name=f"{{audience}} {at}", custom_field_name=f"F{at}"
    )


def audience_is_renamed(world: World, at: int) -> None:
    named = [{"id": "vip", "name": f"VIP {at}"}]
    world.publish(ANN, {"email": ANN, "change": "snapshot", "audiences": named, "at": _time(at)})


def repair_is_asked_for(world: World, at: int) -> None:
    world.log.append(Output("cm_membership-commands", ANN.encode(), command_bytes(Resend(world.list_id))), world.wall())


def replayed(world: World, at: int) -> None:
    world.change(ANN, "enter", "vip", 1 * MINUTE, user={"city": "Ghent"})


def table_is_lost(world: World, at: int) -> None:
    """What a list holds is forgotten; upstream's events are read again."""
    for rows in world.log.rows.values():
        rows.clear()
    for topic, partition in list(world.log.committed):
        if topic == "audience-membership":
            world.log.committed[topic, partition] = 0


def webhook_reports(world: World, at: int, status: str = "unsubscribe") -> None:
    body = {
        "at": _time(at),
        "event": "deactivate",
        "status": status,
        "email": ANN,
        "source": "webhook",
        "list_id": world.list_id,
        "custom_fields": [],
    }
    world.log.append(Output("cm_activity", ANN.encode(), orjson.dumps(body)), world.wall())


def _time(at: int) -> str:
    return f"2026-03-01T{at // 3600:02}:{at // 60 % 60:02}:{at % 60:02}Z"


STEPS: list[Step] = [
    field_changes, job_is_edited, audience_is_renamed, webhook_reports, repair_is_asked_for, replayed, table_is_lost,
]  # fmt: skip


def state(world: World, person: str = ANN) -> str:
    subscriber = world.subscriber(person)
    return "" if subscriber is None else str(subscriber["State"])


@pytest.mark.parametrize("leave", ["unsubscribe", "delete_subscriber", "hard_bounce", "complain"])
@pytest.mark.parametrize(
    "steps",
    [
        [field_changes, field_changes],
        [field_changes, job_is_edited],
        [field_changes, audience_is_renamed],
        [webhook_reports, field_changes],
        [table_is_lost, job_is_edited],
        *[random.Random(seed).choices(STEPS, k=5) for seed in range(3)],
    ],
    ids=lambda steps: "-".join(step.__name__ for step in steps),
)
async def test_nothing_but_a_new_entry_makes_a_person_active_again(world: World, leave: str, steps: list[Step]) -> None:
    world.at(1 * MINUTE)
    world.job(resubscribe_users=True, field_mappings=MAPPINGS)
    worker = await world.start()
    world.change(ANN, "enter", "vip", 1 * MINUTE, user={"city": "Ghent"})
    await worker.rest()
    assert state(world) == "Active"
    world.at(10 * MINUTE)
    getattr(world.controls, leave)(world.list_id, ANN)
    left = state(world)
    for number, step in enumerate(steps):
        world.at((20 + number) * MINUTE)
        if step is table_is_lost:
            await worker.stop()
            step(world, 0)
            worker = await world.start()
        else:
            step(world, 10 * MINUTE if step is webhook_reports else (20 + number) * MINUTE)
        await worker.rest()
        assert state(world) == left, step.__name__
    world.at(40 * MINUTE)
    world.change(ANN, "enter", "eu", 40 * MINUTE)
    await worker.rest()
    assert state(world) == "Active"


@pytest.mark.parametrize("known", [True, False])
@pytest.mark.parametrize("webhook", [True, False])
@pytest.mark.parametrize(("entered", "returns"), [(9, False), (10, False), (11, True)])
async def test_an_entry_is_compared_with_when_they_left(
    world: World, known: bool, webhook: bool, entered: int, returns: bool
) -> None:
    """Whether the list is seen for the first time, and whether a webhook reported it or was lost."""
    world.at(1 * MINUTE)
    world.job(resubscribe_users=True)
    worker = await world.start()
    if known:
        world.change(ANN, "enter", "vip", 1 * MINUTE)
        await worker.rest()
    else:
        world.controls.add_subscriber(world.list_id, ANN)
    world.at(10 * MINUTE)
    world.controls.unsubscribe(world.list_id, ANN)
    if webhook:
        webhook_reports(world, 10 * MINUTE)
    await worker.rest()
    world.at(12 * MINUTE)
    world.change(ANN, "enter", "eu", entered * MINUTE)
    await worker.rest()
    assert state(world) == ("Active" if returns else "Unsubscribed")
    last = world.receipts()[-1]
    assert last["outcome"] == ("updated" if returns else "refused")
    assert returns or (webhook and known) or "2026-03-01 00:10:00Z" in last["message"]


@pytest.mark.parametrize(
    ("entered", "reported", "returns"),
    [
        # Campaign Monitor's date has whole minutes: within that minute only a webhook knows which was first
        (10 * MINUTE + 50, None, False),
        (10 * MINUTE + 50, 10 * MINUTE + 40, True),
        (10 * MINUTE + 50, 10 * MINUTE + 50, False),
        (11 * MINUTE, None, True),
    ],
)
async def test_within_the_minute_of_their_leaving_a_webhook_decides(
    world: World, entered: int, reported: int | None, returns: bool
) -> None:
    world.at(1 * MINUTE)
    world.job(resubscribe_users=True)
    worker = await world.start()
    world.change(ANN, "enter", "vip", 1 * MINUTE)
    await worker.rest()
    world.at(10 * MINUTE)
    world.controls.unsubscribe(world.list_id, ANN)
    if reported is not None:
        webhook_reports(world, reported)
    world.at(12 * MINUTE)
    world.change(ANN, "enter", "eu", entered)
    await worker.rest()
    assert state(world) == ("Active" if returns else "Unsubscribed")


async def test_a_snapshot_of_who_was_inside_before_is_no_entry(world: World) -> None:
    world.at(1 * MINUTE)
    world.controls.add_subscriber(world.list_id, ANN)
    world.controls.unsubscribe(world.list_id, ANN)
    world.at(20 * MINUTE)
    world.job(resubscribe_users=True, existing_users=True)
    worker = await world.start()
    world.snapshot(ANN, ["vip"], 20 * MINUTE)
    await worker.rest()
    assert state(world) == "Unsubscribed"
    world.at(40 * MINUTE)
    world.snapshot(ANN, [], 30 * MINUTE)
    world.snapshot(ANN, ["vip"], 40 * MINUTE)
    await worker.rest()
    assert state(world) == "Active"


@pytest.mark.parametrize("update_only", [False, True])
async def test_who_is_refused_does_not_stop_the_others_of_the_request(world: World, update_only: bool) -> None:
    people = [f"p{number}@example.com" for number in range(6)]
    world.at(1 * MINUTE)
    for person in people:
        world.controls.add_subscriber(world.list_id, person)
    world.controls.unsubscribe(world.list_id, people[0])
    world.at(20 * MINUTE)
    world.controls.unsubscribe(world.list_id, people[1])
    world.job(resubscribe_users=True, update_only=update_only)
    worker = await world.start()
    for person in people:
        world.change(person, "enter", "vip", 10 * MINUTE)
    await worker.rest()
    assert [state(world, person) for person in people] == ["Active", "Unsubscribed"] + ["Active"] * 4
    assert world.outcomes(people[1]) == ["refused unsubscribed"]


async def test_one_job_that_does_not_resubscribe_keeps_them_away(world: World) -> None:
    world.at(1 * MINUTE)
    world.controls.add_subscriber(world.list_id, ANN)
    world.controls.unsubscribe(world.list_id, ANN)
    world.at(20 * MINUTE)
    world.job("job-1", resubscribe_users=True, audiences=["vip"])
    world.job("job-2", audiences=["eu"])
    worker = await world.start()
    world.change(ANN, "enter", "vip", 20 * MINUTE)
    world.change(ANN, "enter", "eu", 20 * MINUTE)
    await worker.rest()
    assert state(world) == "Unsubscribed"
    world.job("job-2", audiences=["eu"], resubscribe_users=True)
    await worker.rest()
    assert state(world) == "Unsubscribed", "what was refused stays refused"
    world.at(25 * MINUTE)
    world.change(ANN, "exit", "eu", 24 * MINUTE)
    world.change(ANN, "enter", "eu", 25 * MINUTE)
    await worker.rest()
    assert state(world) == "Active"


@pytest.mark.parametrize(
    ("reason", "entered", "returns"),
    [("Unsubscribed", 9, False), ("Unsubscribed", 11, True), ("Bounced", 11, True), ("Reason Unavailable", 11, False)],
)
@pytest.mark.parametrize("before", ["never on the list", "deleted before"])
async def test_the_suppression_list_counts_as_leaving(
    world: World, reason: str, entered: int, returns: bool, before: str
) -> None:
    world.at(1 * MINUTE)
    if before == "deleted before":
        world.controls.add_subscriber(world.list_id, ANN)
        world.controls.delete_subscriber(world.list_id, ANN)
    world.at(10 * MINUTE)
    world.controls.suppress(world.client_id, ANN, reason)
    for number in range(30):
        world.at(11 * MINUTE + number)
        world.controls.suppress(world.client_id, f"p{number}@example.com", "Unsubscribed")
    world.at(20 * MINUTE)
    world.job(resubscribe_users=True)
    worker = await world.start()
    world.change(ANN, "enter", "vip", entered * MINUTE)
    await worker.rest()
    assert (state(world) == "Active") is returns
    assert returns or world.outcomes()[0].startswith("refused")


@pytest.mark.parametrize("entered", [9, 11])
async def test_a_new_address_does_not_make_an_old_refusal_void(world: World, entered: int) -> None:
    world.at(1 * MINUTE)
    world.job(resubscribe_users=True)
    worker = await world.start()
    world.change(ANN, "enter", "vip", 1 * MINUTE)
    await worker.rest()
    world.at(10 * MINUTE)
    world.controls.unsubscribe(world.list_id, ANN)
    world.at(12 * MINUTE)
    new = "anna@example.com"
    world.change(new, "enter", "eu", entered * MINUTE, previous_email=ANN)
    await worker.rest()
    found: Any = world.subscriber(new) or world.subscriber(ANN)
    assert found["State"] == ("Active" if entered == 11 else "Unsubscribed")
    assert "Active" not in (state(world), state(world, new)) or entered == 11


async def _reported_hours_ahead(world: World) -> None:
    world.at(1 * MINUTE)
    world.job(resubscribe_users=True)
    worker = await world.start()
    world.change(ANN, "enter", "vip", 1 * MINUTE)
    await worker.rest()
    world.at(10 * MINUTE)
    world.controls.unsubscribe(world.list_id, ANN)
    webhook_reports(world, 600 * MINUTE)
    await worker.rest()
    world.at(12 * MINUTE)
    world.change(ANN, "enter", "eu", 12 * MINUTE)
    await worker.rest()
    assert state(world) == "Unsubscribed"
    message = world.receipts()[-1]["message"]
    assert message.startswith("They left at 2026-03-01 00:15:00Z"), "the time that the entry was compared with"
    world.at(20 * MINUTE)
    world.change(ANN, "enter", "new", 20 * MINUTE)
    await worker.rest()
    assert state(world) == "Active"


async def test_a_deactivate_dated_hours_ahead_counts_as_at_most_five_minutes_ahead(world: World) -> None:
    await _reported_hours_ahead(world)


async def test_sabotage_of_cutting_dates_that_are_ahead(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(commands, "not_ahead", lambda activity, appended: activity)
    with pytest.raises(AssertionError):
        await _reported_hours_ahead(world)
