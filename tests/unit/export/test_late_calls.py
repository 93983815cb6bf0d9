"""A call without an answer is applied late, after newer state of ours: the list ends as it should all the same."""

import asyncio
from typing import Any

import pytest

from schemas.membership_command import Resend, command_bytes
from streams.batches import Output
from streams.export.recovery.partitions import Partitions
from streams.export.recovery.reconcile import DriftReport, compare, subscribers
from streams.export.rules.row import Held, UnansweredCalls, decode_held, encode_held
from streams.export.sending import sender
from streams.export.table import CHECKPOINT_KEY
from tests.unit.export.export_world import DAY, World

ANN = "ann@example.com"
IMPORT = "/subscribers/*/import.json"


async def _lose(world: World, **fault: Any) -> None:
    """The next matching call gets no answer, and is held back."""
    world.controls.inject(**{"kind": "reset", "late": True, "path": IMPORT, **fault})


async def _compared(world: World) -> DriftReport:
    """What `reconcile` reports."""
    assert world.worker is not None
    api = world.worker.accounts._open["auth-1"].apis["live"]
    rows = [
        (key.decode(), world.worker.process._row(number, key).data)
        for number in range(2)
        for key in world.log.rows.get(number, {})
        if key != CHECKPOINT_KEY
    ]
    listed, names = world.worker.state.exports.lists[world.list_id], world.worker.state.names
    return compare(rows, listed, names, await subscribers(api, world.list_id))


async def _after_the_horizon(world: World) -> None:
    """Late calls are applied; then the time passes after which none can be."""
    world.controls.release_calls()
    assert world.worker is not None
    await world.worker.consume()
    world.pass_time(400)
    await asyncio.sleep(12)
    await world.worker.rest()


async def _an_old_import(world: World) -> None:
    world.job()
    worker = await world.start()
    await _lose(world)
    world.change(ANN, "enter", "vip", 1)
    await worker.rest()
    world.change(ANN, "exit", "vip", 2)
    world.change(ANN, "enter", "eu", 3)
    await worker.rest()
    world.controls.release_calls()
    assert world.options(ANN) == ["VIP"]
    await _after_the_horizon(world)
    assert world.options(ANN) == ["EU"]
    assert len(world.receipts()) == len({receipt["event_id"] for receipt in world.receipts()}) == 3


async def test_an_old_import_that_lands_late_is_mended(world: World) -> None:
    await _an_old_import(world)


async def test_sabotage_of_looking_again(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    async def never(self: Partitions, owned: Any, max_waiting: int) -> None:
        return

    monkeypatch.setattr(Partitions, "_queue_rechecks", never)
    with pytest.raises(AssertionError):
        await _an_old_import(world)


@pytest.mark.parametrize("leaves", [True, False])
async def test_who_is_deleted_and_cannot_be_cleared_is_left_alone(world: World, leaves: bool) -> None:
    world.job()
    worker = await world.start()
    await _lose(world)
    world.change(ANN, "enter", "vip", 1)
    await worker.consume()
    await asyncio.sleep(1)
    world.change(ANN, "exit", "vip", 2)
    if not leaves:
        world.change(ANN, "enter", "eu", 2)
    await worker.rest()
    world.controls.release_calls()
    world.controls.delete_subscriber(world.list_id, ANN)
    world.controls.inject(kind="status", status=400, code=203, method="PUT", path="/subscribers/*", count=None)
    await _after_the_horizon(world)
    found = world.subscriber(ANN)
    assert found is not None
    assert found["State"] == "Deleted"


async def test_an_import_of_a_predecessor_that_lands_late_is_mended(world: World) -> None:
    world.job()
    world.timeout_seconds = 20.0
    worker = await world.start()
    await _lose(world, kind="hang")
    world.change(ANN, "enter", "vip", 1)
    await worker.consume()
    await asyncio.sleep(5)
    await worker.crash()
    worker = await world.start()
    world.change(ANN, "exit", "vip", 2)
    world.change(ANN, "enter", "eu", 3)
    await worker.rest()
    world.controls.release_calls()
    assert world.options(ANN) == ["VIP"]
    await _after_the_horizon(world)
    assert world.options(ANN) == ["EU"]


async def test_the_time_to_look_again_survives_a_restart(world: World) -> None:
    world.job()
    worker = await world.start()
    await _lose(world)
    world.change(ANN, "enter", "vip", 1)
    await worker.rest()
    world.change(ANN, "enter", "eu", 3)
    await worker.rest()
    await worker.crash()
    await world.start()
    await _after_the_horizon(world)
    assert world.options(ANN) == ["EU", "VIP"]


@pytest.mark.parametrize("policy", ["keep", "unsubscribe", "delete"])
async def test_a_late_import_that_adds_somebody_who_left_is_taken_back(world: World, policy: str) -> None:
    world.job(on_last_exit=policy)
    worker = await world.start()
    await _lose(world)
    world.change(ANN, "enter", "vip", 1)
    await worker.consume()
    await asyncio.sleep(1)
    world.change(ANN, "exit", "vip", 2)
    await worker.rest()
    await _after_the_horizon(world)
    found = world.subscriber(ANN)
    assert world.options(ANN) == []
    assert found is None or policy == "keep" or found["State"] != "Active"


@pytest.mark.parametrize("policy", ["unsubscribe", "delete"])
async def test_who_is_taken_off_after_an_import_without_an_answer_is_removed(world: World, policy: str) -> None:
    world.job(on_last_exit=policy)
    worker = await world.start()
    await _lose(world, late=False, after=True)
    world.change(ANN, "enter", "vip", 1)
    await worker.consume()
    await asyncio.sleep(0.3)
    world.change(ANN, "exit", "vip", 2)
    await worker.rest()
    last = world.receipts()[-1]
    assert (last["outcome"], last["taken_off"]) == ("removed", policy)


async def test_somebody_who_came_back_by_themselves_is_left_alone(world: World) -> None:
    world.job(on_last_exit="unsubscribe")
    worker = await world.start()
    await _lose(world)
    world.change(ANN, "enter", "vip", 1)
    await worker.consume()
    await asyncio.sleep(1)
    world.change(ANN, "exit", "vip", 2)
    await worker.rest()
    world.controls.drop_calls()
    world.controls.add_subscriber(world.list_id, ANN)
    await _after_the_horizon(world)
    found = world.subscriber(ANN)
    assert found is not None
    assert found["State"] == "Active"


async def test_nobody_who_left_meanwhile_is_made_active(world: World) -> None:
    world.job()
    worker = await world.start()
    await _lose(world)
    world.change(ANN, "enter", "vip", 1)
    await worker.rest()
    world.controls.unsubscribe(world.list_id, ANN)
    await _after_the_horizon(world)
    found = world.subscriber(ANN)
    assert found is not None
    assert found["State"] == "Unsubscribed"


async def _a_return_is_lost(world: World, *, crashes: bool = False) -> None:
    """Ann left and enters; the call that makes her active again is held back, and she leaves before it is applied."""
    world.job(resubscribe_users=True)
    worker = await world.start()
    world.change(ANN, "enter", "vip", 1)
    await worker.rest()
    world.controls.unsubscribe(world.list_id, ANN)
    world.pass_time(300)
    entered = int(world.wall() / 1000 - DAY.timestamp())
    world.change(ANN, "exit", "vip", entered - 1)
    await worker.rest()
    await _lose(world, skip=1)
    world.change(ANN, "enter", "vip", entered)
    await worker.consume()
    await asyncio.sleep(30)
    if crashes:
        await worker.crash()
        worker = await world.start()
        await asyncio.sleep(30)
    if (world.subscriber(ANN) or {})["State"] == "Active":
        world.controls.unsubscribe(world.list_id, ANN)
        await _after_the_horizon(world)
        assert (world.subscriber(ANN) or {})["State"] != "Active"
        return
    world.controls.release_calls()
    world.pass_time(400)
    await asyncio.sleep(400)
    await worker.rest()
    assert (world.subscriber(ANN) or {})["State"] == "Active"
    assert world.outcomes(ANN)[-1] == "updated"


@pytest.mark.parametrize("crashes", [False, True])
async def test_nobody_is_made_active_twice_while_the_first_call_may_be_applied(world: World, crashes: bool) -> None:
    await _a_return_is_lost(world, crashes=crashes)


@pytest.mark.parametrize("crashes", [False, True])
async def test_sabotage_of_the_wait(world: World, monkeypatch: pytest.MonkeyPatch, crashes: bool) -> None:
    monkeypatch.setattr(sender, "note_return", lambda *_: None)
    with pytest.raises(AssertionError):
        await _a_return_is_lost(world, crashes=crashes)


async def test_a_late_put_that_renames_an_address_back_is_mended(world: World) -> None:
    world.job(email_field="work")
    worker = await world.start()
    world.change(ANN, "enter", "vip", 1, user={"work": "a@example.com"})
    await worker.rest()
    await _lose(world, path="/subscribers/*.json", method="PUT")
    world.change(ANN, "enter", "eu", 2, user={"work": "b@example.com"})
    await worker.consume()
    await asyncio.sleep(1)
    world.change(ANN, "enter", "us", 3, user={"work": "a@example.com"})
    await worker.rest()
    await _after_the_horizon(world)
    active = {address: (world.subscriber(address) or {}).get("State") for address in ("a@example.com", "b@example.com")}
    assert active == {"a@example.com": "Active", "b@example.com": None}
    assert world.options("a@example.com") == ["EU", "US", "VIP"]


async def test_a_thousand_people_of_a_broken_import_are_compared_in_one_call(world: World) -> None:
    world.job()
    worker = await world.start()
    await _lose(world, kind="reset", late=False, after=True)
    people = [f"p{number}@example.com" for number in range(200)]
    for person in people:
        world.change(person, "enter", "vip", 1)
    await worker.rest()
    before = world.controls.summary()["calls"]
    await _after_the_horizon(world)
    after = world.controls.summary()["calls"]
    calls = {name: count - before.get(name, 0) for name, count in after.items() if "subscribers" in name}
    assert 1 <= calls.pop("POST /subscribers/{listid}/import") <= 4
    assert not any(calls.values())
    rows = [worker.process._row(number, key) for number in range(2) for key in world.log.rows[number]]
    assert not any(held.late for row in rows for held in row.data.lists.values())


async def test_a_resend_ends_what_the_row_does_not_know_of(world: World) -> None:
    """As `reconcile --repair` asks for somebody on the list, but not by the row."""
    world.job(on_last_exit="delete")
    worker = await world.start()
    world.change(ANN, "enter", "vip", 1)
    await worker.rest()
    world.change(ANN, "exit", "vip", 2)
    await worker.rest()
    world.controls.delete_permanently(world.list_id, ANN)
    world.controls.add_subscriber(world.list_id, ANN, fields={"Lytics Audiences": "VIP"})
    assert world.options(ANN) == ["VIP"]
    report = await _compared(world)
    assert (report.different, report.repairable, report.strangers) == ([ANN], [ANN], [])
    world.log.append(Output("cm_membership-commands", ANN.encode(), command_bytes(Resend(world.list_id))), 0)
    await worker.consume()
    await asyncio.sleep(15)
    assert world.options(ANN) == []
    assert (await _compared(world)).drifted == 0


def test_late_calls_are_stored() -> None:
    held = Held(late=UnansweredCalls(5, True, ("a@x.com", "b@x.com")))
    assert decode_held(encode_held(held)) == held
    assert decode_held(encode_held(Held())) == Held()
