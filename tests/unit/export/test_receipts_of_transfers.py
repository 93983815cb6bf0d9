"""Whose a change is when an address has had several people: who leaves takes no receipt of who comes after them."""

import asyncio
from datetime import timedelta
from typing import Any

import pytest

from streams.export.rules.row import REPEATED, MembershipRow, PendingChange
from streams.export.rules.tenures import begin_tenure, fold_tenure
from streams.export.rules.transfers import begin_transfer, leaver, transfer_out
from tests.unit.export.address_plays import ADDRESSES
from tests.unit.export.export_world import DAY, SOURCE, World
from tests.unit.export.rules.rows import event

ANN, BOB, CEM, DEE = ADDRESSES[:4]
MAPPINGS = [{"user_field": "city", "custom_field": "City"}]


def _outcome(world: World, email: str, position: int) -> str:
    """Return the outcome of a change. Raises AssertionError where any change has two receipts."""
    places = [(receipt["source"]["partition"], receipt["source"]["offset"]) for receipt in world.receipts()]
    assert len(places) == len(set(places)), "a receipt came twice"
    (found,) = [
        receipt for receipt in world.receipts() if receipt["email"] == email and receipt["source"]["offset"] == position
    ]
    return str(found["outcome"])


def _last(world: World, email: str) -> int:
    """Return the position of upstream's last record of an address."""
    records = [record for record in world.log.read(SOURCE) if record.key == email.encode() and not record.headers]
    return records[-1].offset


@pytest.mark.parametrize(
    ("has", "named", "at"), [("vip", [], 3), ("vip", ["eu"], 4), ("new", ["eu"], 4), ("eu", [], 3), ("eu", ["eu"], 4)]
)
async def test_a_snapshot_of_who_comes_leaves_also_audiences_of_who_had_the_address_before(
    world: World, has: str, named: list[str], at: int
) -> None:
    """Cem goes, Bob comes and goes, Ann comes; the snapshot is about Ann. It was superseded with who went first, and
    answered again when Ann's row brought the audience."""
    world.job()
    worker = await world.start()
    world.change(CEM, "enter", "vip", 1)
    world.change(ANN, "enter", has, 1)
    await worker.rest()
    world.change(CEM, "enter", "eu", 2, previous_email=BOB)
    world.change(BOB, "enter", "eu", 2, previous_email=CEM)
    world.change(ANN, "enter", "eu", 3, previous_email=CEM)
    world.change(CEM, "enter", "eu", 3, previous_email=ANN)
    world.snapshot(CEM, named, at)
    await worker.rest()
    assert (world.options(ANN), world.options(BOB), world.options(CEM)) == (["EU"], ["EU", "VIP"], ["EU"])
    assert _outcome(world, CEM, _last(world, CEM)) in ("removed", "unchanged")


async def test_new_fields_of_who_comes_are_not_superseded_by_who_goes(world: World) -> None:
    world.job(field_mappings=MAPPINGS)
    worker = await world.start()
    world.change(ANN, "enter", "vip", 1, user={"city": "Ghent"})
    world.change(BOB, "enter", "vip", 1)
    await worker.rest()
    world.change(ANN, "enter", "eu", 3, previous_email=BOB)
    world.change(ANN, "enter", "eu", 3, user={"city": "Oslo"})
    world.change(DEE, "enter", "eu", 3, previous_email=ANN)
    await worker.rest()
    assert (world.options(ANN, "City"), world.options(DEE, "City")) == (["Oslo"], ["Ghent"])
    assert _outcome(world, ANN, _last(world, ANN)) == "updated"


def _row_of_two(*, awaits: bool) -> MembershipRow:
    """A row whose first holder leaves at 2,000; the second one has a snapshot at 3,000, which is awaited."""
    row = MembershipRow()
    snapshot = event(at=3_000, position=6)._replace(snapshot=frozenset())
    begin_tenure(row, 1_000)
    fold_tenure(row, snapshot)
    row.snapshot_at = 3_000
    if awaits:
        row.awaits = {CEM: 2_500}
        row.tenures[-1][1].awaited_at = row.awaited_at = (6, 3_000)
    row.outstanding = [("job-1", "list-1", 6, 3_000)]
    row.pending = [PendingChange("list-1", "vip", REPEATED, 7, 3_000, at) for at in (1_500, 3_000)]
    begin_transfer(row, BOB, 2_000)
    return row


@pytest.mark.parametrize("awaits", [True, False])
def test_a_snapshot_that_is_awaited_stays_with_its_time(awaits: bool) -> None:
    """Also when it becomes known later that somebody left before it; one that awaits no row is answered at once."""
    row = _row_of_two(awaits=awaits)
    gone = leaver(row, 2_000)
    assert gone.outstanding == ([] if awaits else row.outstanding)
    assert [change.at for change in gone.pending] == [1_500]
    transfer_out(row, ANN)
    assert row.awaited_at == ((6, 3_000) if awaits else None)
    assert [change.at for change in row.pending] == [3_000]


@pytest.mark.parametrize("more", [{}, {"previous_email": ANN}])
async def test_what_no_job_exports_has_its_receipt_after_the_request_that_held_it_back(
    world: World, more: dict[str, Any]
) -> None:
    """It had none before the next restart: it came, or its former row did, while another job's call was under way."""
    world.job("a", audiences=["vip"])
    world.job("b", audiences=["eu"], started_at=DAY + timedelta(hours=1))
    worker = await world.start()
    world.controls.inject(kind="hang", seconds=5, path="/subscribers/*/import.json", after=True)
    world.change(BOB, "enter", "vip", 1)
    await worker.consume()
    await asyncio.sleep(1)
    world.change(BOB, "enter", "eu", 3, **more)
    for _ in range(5):
        await worker.consume()
        await asyncio.sleep(0.5)
    await worker.rest()
    found = [(receipt["job_id"], receipt["outcome"]) for receipt in world.receipts()]
    assert sorted(found) == [("a", found[0][1]), ("b", "not_exported")]
