"""Who was deleted for good, and is not known to the list any more, comes back by a new entry alone."""

from typing import Any

import pytest

from connectors.campaign_monitor.client.requests import SubscriberWrite
from schemas.membership_command import Resend, command_bytes
from streams.batches import Output
from streams.export.recovery.late_calls import look_again
from streams.export.rules import routing
from streams.export.rules.jobs import ExitPolicy
from streams.export.rules.outcome import SubscriberRejected
from streams.export.rules.row import UnansweredCalls
from streams.export.rules.settlement import WrittenState
from streams.export.sending import writer
from streams.export.sending.plan import PlannedWrite
from streams.export.sending.queue import QueuedPerson
from tests.unit.export.export_world import World
from tests.unit.export.rules.rows import desired, held
from tests.unit.export.test_consent import (
    ANN,
    MAPPINGS,
    MINUTE,
    Step,
    audience_is_renamed,
    field_changes,
    job_is_edited,
    webhook_reports,
)

GONE_AT = 10 * MINUTE


def repaired(world: World, at: int) -> None:
    """As `reconcile --repair` asks for somebody who is missing on the list."""
    command = Resend(world.list_id, int(world.wall()))
    world.log.append(Output("cm_membership-commands", ANN.encode(), command_bytes(command)), world.wall())


async def _is_deleted(world: World, *, webhook: bool, before: str | None = None, **options: Any) -> None:
    """Ann is delivered at one minute, perhaps leaves at five, and is deleted for good at ten."""
    world.at(1 * MINUTE)
    world.job(field_mappings=MAPPINGS, **options)
    worker = await world.start()
    world.change(ANN, "enter", "vip", 1 * MINUTE, user={"city": "Ghent", "work": ANN})
    await worker.rest()
    if before is not None:
        world.at(5 * MINUTE)
        getattr(world.controls, before)(world.list_id, ANN)
        field_changes(world, 5 * MINUTE)
        await worker.rest()
    world.at(GONE_AT)
    world.controls.delete_permanently(world.list_id, ANN)
    if webhook:
        webhook_reports(world, GONE_AT, "delete")
    await worker.rest()
    assert world.subscriber(ANN) is None
    world.at(20 * MINUTE)


STEPS: list[Step] = [field_changes, job_is_edited, audience_is_renamed]


@pytest.mark.parametrize("resubscribes", [False, True])
@pytest.mark.parametrize("seen_by", ["webhook", "repair", "unsubscribe", "delete_subscriber", "hard_bounce"])
@pytest.mark.parametrize("step", STEPS, ids=lambda step: step.__name__)
async def test_nothing_but_an_entry_adds_them(world: World, seen_by: str, step: Step, resubscribes: bool) -> None:
    """A webhook reported it, a repair found it, or they had left before that and were refused."""
    before = None if seen_by in ("webhook", "repair") else seen_by
    await _is_deleted(world, webhook=seen_by == "webhook", before=before, resubscribe_users=resubscribes)
    assert world.worker is not None
    if seen_by == "repair":
        repaired(world, 20 * MINUTE)
        await world.worker.rest()
        assert world.subscriber(ANN) is None
    if step is job_is_edited:
        world.change_job(custom_field_name="Other")
    else:
        step(world, 20 * MINUTE)
    await world.worker.rest()
    assert world.subscriber(ANN) is None
    if step is field_changes:
        last = world.receipts()[-1]
        assert (last["outcome"], last["reason"]) == ("refused", "deleted")
        assert last["message"]
    world.at(30 * MINUTE)
    world.change(ANN, "enter", "eu", 30 * MINUTE)
    await world.worker.rest()
    assert (world.subscriber(ANN) is not None) is resubscribes
    assert world.outcomes()[-1] == ("added" if resubscribes else "refused deleted")


@pytest.mark.parametrize("entered", [9, 10, 11])
async def test_an_entry_has_to_be_later_than_the_deletion(world: World, entered: int) -> None:
    await _is_deleted(world, webhook=True, resubscribe_users=True)
    assert world.worker is not None
    world.change(ANN, "enter", "eu", entered * MINUTE)
    await world.worker.rest()
    assert (world.subscriber(ANN) is not None) is (entered == 11)


async def test_a_new_address_of_theirs_is_not_added(world: World) -> None:
    await _is_deleted(world, webhook=False, email_field="work")
    assert world.worker is not None
    world.snapshot(ANN, ["vip"], 20 * MINUTE, user={"work": "ann@work.example"})
    await world.worker.rest()
    assert world.subscriber("ann@work.example") is None


async def test_a_new_identity_of_theirs_is_not_added(world: World) -> None:
    await _is_deleted(world, webhook=True)
    assert world.worker is not None
    world.snapshot("anna@example.com", ["vip"], 20 * MINUTE, previous_email=ANN)
    await world.worker.rest()
    assert world.subscriber("anna@example.com") is None


@pytest.mark.parametrize(("code", "entered"), [(0, 0), (206, 0), (205, 0), (204, 0), (0, 2_000)])
async def test_a_look_after_late_calls_does_not_add_them(code: int, entered: int) -> None:
    known = held(code=code, late=UnansweredCalls(0, False, (ANN,)))
    state = WrittenState(ANN.encode(), 0, "list", desired(entered=entered, options=()), (), 0)
    write = PlannedWrite(QueuedPerson((0, ANN.encode()), True, 0.0), state, held=known)
    looked = await look_again(_NobodyThere(), _take_off, "list", write, {})
    if entered:
        assert looked is None, "an entry adds them"
    else:
        assert looked == (
            SubscriberRejected(204, "") if code == 204 else SubscriberRejected(205, "", gone=True),
            None,
            False,
        )


class _NobodyThere:
    async def find(self, list_id: str, email: str) -> None:
        return None

    async def update(self, list_id: str, email: str, subscriber: SubscriberWrite) -> object:
        raise AssertionError("nobody is there")


async def _take_off(address: str, how: ExitPolicy) -> None:
    raise AssertionError("nobody is there")


async def test_a_read_that_finds_nobody_counts_for_mails_of_unknown_outcome(world: World) -> None:
    await _is_deleted(world, webhook=False, queue_autoresponders=True)
    assert world.worker is not None
    world.controls.inject(kind="reset", path="/subscribers/*/import.json")
    field_changes(world, 20 * MINUTE)
    await world.worker.rest()
    assert world.subscriber(ANN) is None


async def test_people_who_are_there_cost_no_call_more(world: World) -> None:
    """Only who is known to have left is read before a changed field is written."""
    people = [f"p{number}@example.com" for number in range(20)]
    world.at(1 * MINUTE)
    world.job(field_mappings=MAPPINGS)
    worker = await world.start()
    for at in (1, 2):
        before = sum(world.controls.summary()["calls"].values())
        for person in people:
            world.snapshot(person, ["vip"], at * MINUTE, user={"city": f"City {at}"})
        await worker.rest()
    assert sum(world.controls.summary()["calls"].values()) - before < 10


async def test_sabotage_reading_who_left(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(routing, "was_refused", lambda held, desired: False)
    with pytest.raises(AssertionError):
        await test_nothing_but_an_entry_adds_them(world, "webhook", field_changes, False)


async def test_sabotage_what_a_read_shows(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writer, "is_gone", lambda held, desired: False)
    with pytest.raises(AssertionError):
        await test_nothing_but_an_entry_adds_them(world, "webhook", field_changes, False)
