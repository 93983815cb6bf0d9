"""An entry that was refused makes nobody active later: only another entry does."""

from collections.abc import Callable

import pytest

from streams.export.rules import settlement
from streams.export.rules.row import MembershipRow
from streams.export.rules.settlement import Receipt, WrittenState
from tests.unit.export.export_world import Worker, World
from tests.unit.export.test_consent import ANN, MINUTE, state

REFUSED = "refused unsubscribed"


def _jobs(world: World, *, first: bool) -> None:
    world.job("q1", audiences=["a"], resubscribe_users=first)
    world.job("q2", audiences=["b"], resubscribe_users=True)


async def _left(world: World) -> Worker:
    """Ann entered a, was delivered, and unsubscribed."""
    world.at(1 * MINUTE)
    worker = await world.start()
    world.change(ANN, "enter", "a", 1 * MINUTE)
    await worker.rest()
    world.at(10 * MINUTE)
    world.controls.unsubscribe(world.list_id, ANN)
    return worker


async def _refused_because_of_the_other_job(world: World) -> Worker:
    _jobs(world, first=False)
    worker = await _left(world)
    world.at(20 * MINUTE)
    world.change(ANN, "enter", "b", 20 * MINUTE)
    await worker.rest()
    assert world.outcomes(ANN) == ["added", REFUSED]
    world.at(30 * MINUTE)
    return worker


async def _leaves_the_other_audience(world: World) -> None:
    worker = await _refused_because_of_the_other_job(world)
    world.change(ANN, "exit", "a", 30 * MINUTE)
    await worker.rest()
    assert state(world) == "Unsubscribed"
    world.at(40 * MINUTE)
    world.change(ANN, "exit", "b", 40 * MINUTE)
    world.change(ANN, "enter", "b", 41 * MINUTE)
    await worker.rest()
    assert state(world) == "Active"


async def test_leaving_the_audience_that_forbade_it_makes_nobody_active(world: World) -> None:
    await _leaves_the_other_audience(world)


@pytest.mark.parametrize(
    "edit",
    [
        lambda world: world.change_job("q1", resubscribe_users=True),
        lambda world: world.change_job("q1", audiences=["c"]),
        lambda world: world.change_job("q1", state="stopped"),
    ],
    ids=["resubscribe", "narrowed", "stopped"],
)
async def test_an_edited_job_makes_nobody_active(world: World, edit: Callable[[World], None]) -> None:
    worker = await _refused_because_of_the_other_job(world)
    edit(world)
    await worker.rest()
    assert state(world) == "Unsubscribed"
    if world.jobs["q1"].resubscribe_users:
        world.change(ANN, "enter", "c", 30 * MINUTE)
        world.job("q3", audiences=["c"], resubscribe_users=True)
        await worker.rest()
        assert state(world) == "Active"


async def test_an_entry_that_every_job_allows_still_counts(world: World) -> None:
    _jobs(world, first=True)
    worker = await _left(world)
    world.at(20 * MINUTE)
    world.change(ANN, "enter", "b", 20 * MINUTE)
    await worker.rest()
    assert state(world) == "Active"


async def test_sabotage_of_using_refused_entries(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    real = settlement.record_refused

    def forgets(row: MembershipRow, written: WrittenState, *more: object, **named: object) -> list[Receipt]:
        used = row.lists[written.list_id].used_entry
        receipts = real(row, written, *more, **named)  # type: ignore[arg-type]
        row.lists[written.list_id].used_entry = used
        return receipts

    for module in ("partition_rows", "plan"):
        monkeypatch.setattr(f"streams.export.sending.{module}.record_refused", forgets)
    with pytest.raises(AssertionError):
        await _leaves_the_other_audience(world)
