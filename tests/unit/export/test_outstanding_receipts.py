"""A job that is edited, stopped or removed while changes wait gives each that it exported when it came a receipt."""

import asyncio
from collections import Counter
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streams.export.recovery.outstanding import OutstandingReceipts
from streams.export.rules.outstanding import NO_LONGER
from streams.export.sending import row_transfers
from streams.export.sending.row_transfers import RowTransfers
from tests.unit.export.export_world import SOURCE, FastLoop, Worker, World, with_world

ANN, BOB = "ann@example.com", "bob@example.com"
LAST = "removed as the last one of the list"
"""Then nobody of the list's queue is looked at again."""


def _failing(world: World) -> None:
    """Let calls fail, so that changes wait."""
    world.controls.inject(kind="status", status=500, count=None, path="/subscribers/*")


def _remove(world: World, job_id: str) -> None:
    del world.jobs[job_id]
    assert world.worker is not None
    if world.worker.process.alive:
        world.worker.shared.set_jobs(world.jobs.values())


async def _edited_while_changes_wait(world: World, how: str) -> None:
    """Ann enters an audience, then it is no longer exported, or her job is gone, before the call succeeds."""
    world.job("a", audiences=["vip", "eu"])
    if how != LAST:
        world.job("b", audiences=["other"])
    worker = await world.start()
    await worker.rest()
    _failing(world)
    world.change(ANN, "enter", "vip", 1)
    await worker.consume()
    await asyncio.sleep(1.0)
    if how == "narrowed":
        world.job("a", audiences=["eu"])
    elif how in ("removed", LAST):
        _remove(world, "a")
    else:
        await worker.crash()
        del world.jobs["a"]
        worker = await world.start()
    world.controls.clear_faults()
    await worker.rest()
    found = [(receipt["outcome"], receipt.get("message")) for receipt in world.receipts()]
    assert found, "a change has no receipt"
    assert found in ([("not_exported", NO_LONGER)], [("added", None)])  # the call may be under way just then


@pytest.mark.parametrize("how", ["narrowed", "removed", "removed while no worker ran", LAST])
async def test_a_change_that_waited_when_its_job_was_edited_has_a_receipt(world: World, how: str) -> None:
    await _edited_while_changes_wait(world, how)


async def test_a_job_that_exports_again_gives_no_second_receipt(world: World) -> None:
    await _edited_while_changes_wait(world, "narrowed")
    world.job("a", audiences=["vip", "eu"])
    assert world.worker is not None
    await world.worker.rest()
    assert len(world.receipts()) == 1


async def test_sabotage_outstanding_receipts(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    async def nothing(*_: Any) -> None:
        return None

    monkeypatch.setattr(OutstandingReceipts, "_answer", nothing)
    with pytest.raises(AssertionError, match="no receipt"):
        await _edited_while_changes_wait(world, LAST)


async def test_a_stopped_job_answers_when_it_is_started_again(world: World) -> None:
    world.job("a")
    worker = await world.start()
    _failing(world)
    world.change(ANN, "enter", "vip", 1)
    await worker.consume()
    world.job("a", state="stopped")
    world.controls.clear_faults()
    await asyncio.sleep(3.0)
    assert not world.receipts()
    world.job("a")
    await worker.rest()
    assert world.outcomes() == ["added"]


CHANGES = st.tuples(
    st.just("change"), st.sampled_from([ANN, BOB]), st.sampled_from(["enter", "exit"]), st.sampled_from(["vip", "eu"])
)
EDITS = st.tuples(st.just("edit"), st.sampled_from([["vip"], ["eu"], [], None]))
OTHERS = st.sampled_from([("rest",), ("restart",), ("crash",), ("work",), ("fail",), ("recover",), ("stop",)])
STEPS = st.lists(CHANGES | CHANGES | EDITS | OTHERS, max_size=14)


@settings(max_examples=50, deadline=None)
@given(st.sampled_from(["keep", "unsubscribe"]), STEPS)
def test_every_change_has_one_receipt_for_each_job_that_exported_it(on_exit: str, steps: list[Any]) -> None:
    with asyncio.Runner(loop_factory=FastLoop) as runner:
        runner.run(_play(on_exit, steps))


async def _play(on_exit: str, steps: list[Any]) -> None:
    simulator, world = await with_world()
    try:
        world.job("a", on_last_exit=on_exit)
        world.job("b", on_last_exit=on_exit)
        worker = await world.start()
        wanted: Counter[tuple[str, int, int]] = Counter()
        for at, step in enumerate(steps, start=1):
            worker = await _take(world, worker, step, at, wanted, on_exit)
        world.controls.clear_faults()
        if "a" in world.jobs:
            world.change_job("a", state="running")
        await worker.rest()
        found = Counter(
            (receipt["job_id"], receipt["source"]["partition"], receipt["source"]["offset"])
            for receipt in world.receipts()
        )
        # An audience that is exported later may bring a receipt of its earlier changes, too.
        assert wanted.keys() <= found.keys()
        assert not [change for change, count in found.items() if count > 1]
        await worker.crash()
    finally:
        await simulator.__aexit__(None, None, None)


async def _take(
    world: World, worker: Worker, step: Any, at: int, wanted: Counter[tuple[str, int, int]], on_exit: str
) -> Worker:
    match step:
        case ("change", person, change, audience):
            before = {part: len(records) for part, records in world.log.topics.items()}
            world.change(person, change, audience, at)
            await worker.consume()
            ((topic, partition),) = [
                part
                for part, records in world.log.topics.items()
                if part[0] == SOURCE and len(records) > before.get(part, 0)
            ]
            offset = len(world.log.topics[topic, partition]) - 1
            for job in world.jobs.values():
                if not job.audiences or audience in job.audiences:
                    wanted[job.id, partition, offset] += 1
        case ("edit", None):
            if "a" in world.jobs:
                _remove(world, "a")
        case ("edit", audiences):
            world.job("a", on_last_exit=on_exit, audiences=audiences)
        case ("stop",):
            if "a" in world.jobs:
                world.change_job("a", state="stopped")
        case ("fail",):
            _failing(world)
        case ("recover",):
            world.controls.clear_faults()
        case ("work",):
            await asyncio.sleep(1.0)
        case ("rest",):
            world.controls.clear_faults()
            await worker.rest()
        case ("restart",):
            await worker.stop()
            worker = await world.start()
        case _:
            await worker.crash()
            worker = await world.start()
    return worker


@pytest.mark.parametrize("runs_again", [False, True])
async def test_what_is_superseded_has_one_receipt_where_two_workers_crash_before_the_row_leaves(
    world: World, monkeypatch: pytest.MonkeyPatch, runs_again: bool
) -> None:
    """The first one has published it, the second one waits with the row until after a checkpoint."""

    async def only_receipts(self: RowTransfers, owned: Any, row: Any, move: Any) -> None:
        await self._rows.publish_receipts(owned, self._superseded(row.key, row.data, *move), 0)
        await asyncio.Event().wait()

    world.job("a", audiences=["vip"])
    world.job("b", audiences=["eu"])
    worker = await world.start()
    world.controls.inject(kind="status", status=500, count=None, path="/subscribers/*")
    world.change(ANN, "enter", "vip", 1)
    await worker.consume()
    world.job("a", audiences=["vip"], state="stopped")
    await asyncio.sleep(3.0)
    monkeypatch.setattr(row_transfers, "late_calls_over_at", lambda _: 0)
    with monkeypatch.context() as crashing:
        crashing.setattr(RowTransfers, "_move", only_receipts)
        world.change(BOB, "enter", "vip", 2, previous_email=ANN)
        await worker.consume()
        await asyncio.sleep(3.0)
        assert world.outcomes() == ["superseded"]
        await worker.crash()
        crashing.setattr(row_transfers, "late_calls_over_at", lambda _: 10**15)
        worker = await world.start()
        for number in range(20):  # in every partition something is folded, and so a checkpoint is written
            world.change(f"p{number}@example.com", "enter", "vip", 3)
        await worker.consume()
        await asyncio.sleep(5.0)
        await worker.crash()
    if runs_again:
        world.controls.clear_faults()
        world.job("a", audiences=["vip"])
    worker = await world.start()
    await worker.consume()
    await asyncio.sleep(5.0)
    await worker.stop()
    assert world.outcomes(ANN) == ["superseded"], "a receipt came twice"
