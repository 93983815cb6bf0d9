"""A restart after which nothing has changed: nothing is written, and nobody comes back."""

import asyncio
import contextlib
from collections import Counter
from typing import Any

import pytest

from streams.batches import Revoked
from streams.export.rules.due import mark_changed, mark_due, mark_settled
from streams.export.rules.row import MembershipRow, decode, encode
from tests.unit.export.export_world import SOURCE, World

ANN, BOB = "ann@example.com", "bob@example.com"


def _two_lists(world: World, **second: Any) -> str:
    other = world.controls.add_list(world.client_id, "Offers")
    world.job("a")
    world.job("b", list_id=other, **second)
    return other


async def _restart(world: World) -> None:
    assert world.worker is not None
    await world.worker.stop()
    worker = await world.start()
    await worker.rest()
    await worker.rest()  # what is compared when calls without an answer are over is queued meanwhile


async def _with_a_list_that_was_stopped(world: World) -> str:
    """Deliver to two lists, stop one, and deliver a change to the other; return the stopped one."""
    other = _two_lists(world)
    worker = await world.start()
    world.change(ANN, "enter", "vip", 1)
    await worker.rest()
    world.change_job("b", state="stopped")
    world.change(ANN, "enter", "eu", 2)
    await worker.rest()
    return other


async def test_a_clean_restart_writes_nothing_to_any_of_several_lists(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both lists' calls were under way at once: each kept the mark for the other, and everybody was imported again."""
    other = _two_lists(world)
    worker = await world.start()
    run_as_owner = worker.process.run_as_owner

    async def slowly(*arguments: Any) -> Any:
        result = await run_as_owner(*arguments)
        await asyncio.sleep(1.0)  # the other list's outcome is recorded before this queue lets the person go
        return result

    monkeypatch.setattr(worker.process, "run_as_owner", slowly)
    for person in (ANN, BOB):
        world.change(person, "enter", "vip", 1)
    await worker.rest()
    for list_id in (world.list_id, other):
        world.controls.delete_permanently(list_id, BOB)
    writes = len(world.controls.writes())
    await _restart(world)
    assert len(world.controls.writes()) == writes
    assert world.subscriber(BOB) is world.subscriber(BOB, other) is None


async def test_a_restart_with_a_stopped_list_writes_nothing_to_the_others(world: World) -> None:
    """The mark that is kept for when the list starts again made the outcome of all others unknown."""
    other = await _with_a_list_that_was_stopped(world)
    world.controls.delete_permanently(world.list_id, ANN)
    world.controls.delete_permanently(other, ANN)
    writes = len(world.controls.writes())
    await _restart(world)
    await _restart(world)
    assert len(world.controls.writes()) == writes
    assert world.subscriber(ANN) is None


async def test_what_changed_while_a_list_was_stopped_is_written_when_it_starts(world: World) -> None:
    other = await _with_a_list_that_was_stopped(world)
    await _restart(world)
    world.change_job("b", state="running")
    assert world.worker is not None
    await world.worker.rest()
    assert world.options(ANN, list_id=other) == ["EU", "VIP"]


async def test_a_receipt_that_a_stopped_job_owes_makes_no_other_outcome_unknown(world: World) -> None:
    """The row stays due for it, and was imported again to the running jobs of the same list."""
    world.job("a", audiences=["vip"])
    world.job("b", audiences=["vip"], state="stopped")
    worker = await world.start()
    world.change(ANN, "enter", "vip", 1)
    await worker.rest()
    assert [receipt["job_id"] for receipt in world.receipts()] == ["a"]
    world.controls.delete_permanently(world.list_id, ANN)
    writes = len(world.controls.writes())
    await _restart(world)
    assert len(world.controls.writes()) == writes
    assert world.subscriber(ANN) is None
    world.change_job("b", state="running")
    assert world.worker is not None
    await world.worker.rest()
    assert [receipt["job_id"] for receipt in world.receipts()] == ["a", "b"]


@pytest.mark.parametrize(
    ("was_due", "settled", "marked", "after"),
    [
        (False, (), True, ("stopped",)),
        (True, (), True, ()),
        (True, ("a",), True, ()),
        (True, ("a", "stopped"), True, ("stopped",)),
        (True, ("a",), False, ("a",)),
        (False, (), False, ()),
    ],
)
def test_an_event_leaves_only_stopped_lists_settled(
    was_due: bool, settled: tuple[str, ...], marked: bool, after: tuple[str, ...]
) -> None:
    row = MembershipRow(due=was_due, settled=settled)
    if marked:
        mark_due(row)
    mark_changed(row, ["stopped"], was_due=was_due, settled=settled)
    assert row.settled == after


def test_lists_are_settled_one_by_one() -> None:
    row = MembershipRow()
    mark_due(row)
    mark_settled(row, "b", due=True)
    mark_settled(row, "a", due=True)
    assert (decode(encode(row)).due, decode(encode(row)).settled) == (True, ("a", "b"))
    mark_settled(row, "c", due=False)
    assert (row.due, row.settled, encode(row)) == (False, (), b"{}")


@pytest.mark.parametrize("effects", range(1, 10))
async def test_a_receipt_of_a_change_that_was_replaced_comes_once_whatever_crashes(world: World, effects: int) -> None:
    """The batch that replaced it comes again in pieces: the first of them does not have what replaced it."""
    world.job()
    world.missing.add("auth-1")  # nobody is sent
    worker = await world.start()
    world.change(ANN, "enter", "vip", 1)
    await worker.consume()
    world.change(ANN, "enter", "eu", 2)
    world.change(ANN, "enter", "vip", 3)
    worker.process.kill_at = worker.process.effects + effects
    with contextlib.suppress(Revoked):
        await worker.consume()
    await worker.crash()
    (records,) = (records for (topic, _), records in world.log.topics.items() if topic == SOURCE and records)
    last = records.pop()
    worker = await world.start()
    await worker.consume()
    await worker.stop()
    records.append(last)
    world.missing.clear()
    worker = await world.start()
    await worker.rest()
    ids = Counter(receipt["event_id"] for receipt in world.receipts())
    assert len(ids) == 3
    assert max(ids.values()) == 1
