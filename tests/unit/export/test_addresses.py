"""Addresses that change: chains, swaps and cycles in every interleaving end as one subscriber for each person."""

import asyncio
from collections.abc import Iterable
from typing import Any

import pytest

from schemas.membership_command import Erase, Resend, command_bytes
from streams.batches import Output
from streams.export.intake import commands
from streams.export.sending import row_transfers
from tests.unit.export.address_plays import ADDRESSES, play_addresses
from tests.unit.export.export_world import Worker, World
from tests.unit.export.test_late_calls import _compared as compared

ANN, BOB, CEM, DEE = ADDRESSES[:4]


@pytest.mark.parametrize("share", range(4))
def test_any_changes_of_addresses_end_as_one_subscriber_for_each_person(share: int) -> None:
    assert [fault for seed in range(share * 8, share * 8 + 8) if (fault := play_addresses(seed))] == []


async def test_two_changes_in_a_row_before_either_is_worked(world: World) -> None:
    world.job()
    worker = await world.start()
    world.change(ANN, "enter", "vip", 1)
    await worker.rest()
    world.change(CEM, "enter", "new", 3, previous_email=BOB)
    world.change(BOB, "enter", "eu", 2, previous_email=ANN)
    await worker.rest()
    assert world.options(CEM) == ["EU", "NEW", "VIP"]
    assert world.options(ANN) == world.options(BOB) == []


async def test_two_people_swap_addresses_that_are_on_the_list(world: World) -> None:
    world.job()
    worker = await world.start()
    world.change(ANN, "enter", "vip", 1)
    world.change(BOB, "enter", "eu", 1)
    await worker.rest()
    world.change(BOB, "enter", "new", 2, previous_email=ANN)
    world.change(ANN, "enter", "new", 2, previous_email=BOB)
    await worker.rest()
    assert world.options(BOB) == ["NEW", "VIP"]
    assert world.options(ANN) == ["EU", "NEW"]


@pytest.mark.parametrize(
    ("policy", "state"), [("keep", "Active"), ("unsubscribe", "Unsubscribed"), ("delete", "Deleted")]
)
async def test_an_address_that_somebody_left_for_one_on_the_list_leaves_by_the_rule_of_the_job(
    world: World, policy: str, state: str
) -> None:
    world.job(on_last_exit=policy)
    worker = await world.start()
    world.change(ANN, "enter", "vip", 1)
    world.change(BOB, "enter", "eu", 1)
    await worker.rest()
    world.change(BOB, "enter", "new", 2, previous_email=ANN)
    await worker.rest()
    assert world.options(BOB) == ["EU", "NEW", "VIP"]
    assert world.options(ANN) == []
    left = world.subscriber(ANN)
    assert left is not None
    assert left["State"] == state
    assert any("on the list already" in receipt.get("message", "") for receipt in world.receipts())


@pytest.mark.parametrize("left", [ANN, BOB])
@pytest.mark.parametrize(("how", "state"), [("unsubscribe", "Unsubscribed"), ("delete_subscriber", "Deleted")])
async def test_who_left_under_one_address_is_mailed_under_neither(
    world: World, how: str, state: str, left: str
) -> None:
    world.job()
    worker = await world.start()
    world.change(ANN, "enter", "vip", 1)
    world.change(BOB, "enter", "eu", 1)
    await worker.rest()
    getattr(world.controls, how)(world.list_id, left)
    world.change(BOB, "enter", "new", 2, previous_email=ANN)
    await worker.rest()
    for address in (ANN, BOB):
        found = world.subscriber(address)
        assert found is not None
        assert found["State"] == (state if address == left else "Unsubscribed")
        assert world.options(address) == []
    assert world.outcomes(BOB)[-1] == f"refused {state.lower()}"


async def test_who_left_under_one_address_cannot_confirm_another(world: World) -> None:
    world.controls.list(world.list_id).confirmed_opt_in = True
    world.job()
    worker = await world.start()
    world.change(ANN, "enter", "vip", 1)
    world.change(BOB, "enter", "eu", 1)
    await worker.rest()
    world.controls.confirm(world.list_id, ANN)
    world.controls.delete_subscriber(world.list_id, ANN)
    world.change(BOB, "enter", "new", 2, previous_email=ANN)
    await worker.rest()
    found = world.subscriber(BOB)
    assert found is not None
    assert found["State"] == "Unsubscribed"


async def test_who_was_deleted_and_cannot_be_cleared_is_refused_all_the_same(world: World) -> None:
    world.job()
    worker = await world.start()
    world.change(ANN, "enter", "vip", 1)
    await worker.rest()
    world.controls.delete_subscriber(world.list_id, ANN)
    world.controls.inject(kind="status", status=400, code=203, method="PUT", path="/subscribers/*", count=None)
    world.change(BOB, "enter", "new", 2, previous_email=ANN)
    await worker.rest()
    assert world.subscriber(BOB) is None
    assert world.outcomes(BOB) == ["refused deleted"]


async def _merged(world: World) -> None:
    world.job()
    worker = await world.start()
    world.change(ANN, "enter", "vip", 1)
    world.change(BOB, "enter", "eu", 1)
    await worker.rest()
    world.change(BOB, "enter", "new", 2, previous_email=ANN)
    await worker.rest()
    assert world.options(BOB) == ["EU", "NEW", "VIP"]
    assert world.options(ANN) == []


async def test_sabotage_of_ending_the_former_address(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(commands, "renamed", lambda row, key, list_id, lent: None)
    with pytest.raises(AssertionError):
        await _merged(world)


async def _late_import(world: World, worker: Worker | None = None) -> None:
    """An import without an answer is applied after the person has moved on."""
    world.job()
    worker = worker or await world.start()
    world.controls.inject(kind="reset", late=True, path="/subscribers/*/import.json")
    world.change(ANN, "enter", "vip", 1)
    await worker.consume()
    await asyncio.sleep(1)
    world.change(BOB, "enter", "new", 2, previous_email=ANN)
    for _ in range(8):
        await worker.consume()
        await asyncio.sleep(1)
    world.controls.release_calls()
    world.pass_time(400)
    await asyncio.sleep(12)
    await worker.rest()
    assert world.options(BOB) == ["NEW", "VIP"]
    assert world.subscriber(ANN) is None


async def test_a_row_is_transferred_once_no_call_can_be_applied_late(world: World) -> None:
    await _late_import(world)


async def test_a_request_that_is_prepared_while_the_row_is_read_may_have_been_made_before(world: World) -> None:
    """The person was looked at again just then, and their earlier call of unknown outcome was not noted."""
    worker = await world.start()
    read = worker.process.read

    async def read_and_wake(partition: int, keys: Iterable[bytes]) -> Any:
        rows = await read(partition, list(keys))
        if any(row.data.leaving for row in rows.values()):
            for sender in worker.runner.senders.all():
                sender.retry_now()
            await asyncio.sleep(0.5)
        return rows

    worker.process.read = read_and_wake  # type: ignore[method-assign]
    await _late_import(world, worker)


async def test_sabotage_of_the_wait_for_late_calls(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(row_transfers, "late_calls_over_at", lambda row: 0)
    with pytest.raises(AssertionError):
        await _late_import(world)


async def test_an_erased_person_is_gone_under_every_address(world: World) -> None:
    world.job()
    worker = await world.start()
    world.change(ANN, "enter", "vip", 1)
    world.change(BOB, "enter", "eu", 2, previous_email=ANN)
    world.change(CEM, "enter", "new", 3, previous_email=BOB)
    await worker.rest()
    world.log.append(Output("cm_membership-commands", ANN.encode(), command_bytes(Erase(world.wall()))), world.wall())
    await worker.rest()
    for partition, rows in world.log.rows.items():
        for key in (ANN, BOB, CEM):
            if key.encode() in rows:
                row = worker.process._row(partition, key.encode()).data
                assert (row.audiences, row.lists, row.moves, row.former_addresses, row.tenures) == ({}, {}, [], {}, [])


async def test_reconciliation_finds_and_mends_a_former_address_that_carries_audiences(world: World) -> None:
    await _merged(world)
    assert world.worker is not None
    await world.worker.rest()
    world.controls.edit_profile(world.list_id, ANN, fields={"Lytics Audiences": "VIP"})
    report = await compared(world)
    assert (report.different, report.repairable, report.strangers) == ([ANN], [ANN], [])
    world.log.append(Output("cm_membership-commands", ANN.encode(), command_bytes(Resend(world.list_id))), 0)
    await world.worker.consume()
    await asyncio.sleep(15)
    assert world.options(ANN) == []
    assert world.options(BOB) == ["EU", "NEW", "VIP"]
    assert (await compared(world)).drifted == 0


async def test_whose_address_is_not_usable_has_no_order_left(world: World) -> None:
    """Else the row of the former address waits for it, and nobody who has that address later is exported."""
    world.job(email_field="work")
    worker = await world.start()
    world.change(ANN, "enter", "vip", 1)
    await worker.rest()
    world.change(BOB, "enter", "new", 2, previous_email=ANN)
    await worker.rest()
    world.change(ANN, "enter", "eu", 3, user={"work": "work@example.com"})
    await worker.rest()
    assert world.options("work@example.com") == ["EU"]


async def test_no_order_is_left_where_no_job_exports_the_person_any_more(world: World) -> None:
    world.job(audiences=["vip"])
    worker = await world.start()
    world.controls.inject(kind="reset", path="/subscribers/*", count=100)
    world.change(ANN, "enter", "vip", 1)
    await worker.consume()
    await asyncio.sleep(1)
    world.change(BOB, "enter", "vip", 2, previous_email=ANN)
    await worker.consume()
    await asyncio.sleep(1)
    world.job("job-2", audiences=["eu"])
    world.jobs.pop("job-1")
    world.change_job("job-2")
    world.controls.clear_faults()
    world.pass_time(400)
    await worker.rest()
    world.change(ANN, "enter", "eu", 3)
    await worker.rest()
    assert world.options(ANN) == ["EU"]


async def test_whose_new_address_is_not_usable_leaves_the_list_under_the_former_one(world: World) -> None:
    world.job()
    worker = await world.start()
    world.change(ANN, "enter", "vip", 1)
    await worker.rest()
    world.job(email_field="work")
    world.change(BOB, "enter", "new", 2, previous_email=ANN)
    await worker.consume()
    await asyncio.sleep(3)
    world.pass_time(400)  # what the edit's scan finds due just then counts as sent, without an answer
    await worker.rest()
    await asyncio.sleep(6)
    await worker.rest()
    assert world.options(ANN) == []


async def test_an_address_that_somebody_else_has_is_not_renamed(world: World) -> None:
    """Ann is refused, and Dee's address field holds her key."""
    world.job(email_field="work")
    worker = await world.start()
    world.change(DEE, "enter", "eu", 1, user={"work": ANN})
    await worker.rest()
    assert world.options(ANN) == ["EU"]
    world.change(ANN, "enter", "vip", 2)
    await worker.rest()
    world.change(BOB, "enter", "new", 3, previous_email=ANN, user={"work": "work@example.com"})
    await worker.rest()
    await asyncio.sleep(6)
    await worker.rest()
    assert world.options(ANN) == ["EU"]
    assert world.options("work@example.com") == ["NEW", "VIP"]
    added = [write["email"] for write in world.controls.writes() if write["before"] is None]
    assert added == [ANN, "work@example.com"]


async def test_a_change_that_no_job_exported_has_one_receipt_when_people_swap(world: World) -> None:
    """It was receipted as not exported when it came, and as superseded by the change of address."""
    world.job()
    worker = await world.start()
    world.change(ANN, "exit", "vip", -60)
    await worker.rest()
    world.change(BOB, "enter", "eu", 1, previous_email=ANN)
    world.change(ANN, "enter", "eu", 1, previous_email=BOB)
    await worker.rest()
    assert world.outcomes(ANN) == ["not_exported", "added"]
    assert world.outcomes(BOB) == ["added"]


@pytest.mark.parametrize("people", [2, 3])
@pytest.mark.parametrize("policy", ["keep", "unsubscribe"])
async def test_only_addresses_that_the_list_holds_make_a_swap(world: World, policy: str, people: int) -> None:
    """The first one has an address that is not on the list yet, and exchanges that: on the list it is a chain."""
    world.job(on_last_exit=policy)
    worker = await world.start()
    had = [f"had{number}@example.com" for number in range(people)]
    for number, email in enumerate(had):
        world.change(email, "enter", "vip", 1, user={"name": f"P{number}"})
    await worker.rest()
    before = len(world.controls.writes())
    await worker.stop()
    new = "new@example.com"
    has = [had[1], new] if people == 2 else [had[2], new, had[1]]
    world.snapshot(new, ["vip"], 2, previous_email=had[0], user={"name": "P0"})
    for number, email in enumerate(has):
        former = new if number == 0 else had[number]
        world.snapshot(email, ["vip"], 3, previous_email=former, user={"name": f"P{number}"})
    worker = await world.start()
    await worker.rest()
    await asyncio.sleep(60)
    await worker.rest()
    for number, email in enumerate(has):
        found = world.subscriber(email)
        assert found is not None
        assert (found["Name"], found["State"]) == (f"P{number}", "Active")
    assert world.subscriber(had[0]) is None
    added = [write for write in world.controls.writes()[before:] if write["before"] is None]
    assert not added, "somebody was added who was on the list"
