"""An erased person's row is empty under every address, whatever is under way, and no change is without its receipt."""

import asyncio
from typing import Any

import orjson
import pytest

from schemas.membership_command import Erase, command_bytes
from streams.batches import Output, partition_of
from streams.export.rules.row import Held, MembershipRow, decode, encode
from streams.export.rules.transfers import erase
from tests.deadline import eventually
from tests.unit.export.export_world import DAY, World

AT = int(DAY.timestamp() * 1000) + 3_600_000


def forget(world: World, email: str) -> None:
    world.log.append(Output("cm_membership-commands", email.encode(), command_bytes(Erase(AT))), world.wall())


def rows(world: World) -> dict[str, Any]:
    return {
        key.decode(): orjson.loads(value)
        for part in world.log.rows.values()
        for key, (value, _) in part.items()
        if key[0]
    }


async def test_a_person_is_forgotten_and_stays_on_the_list(world: World) -> None:
    world.job()
    worker = await world.start()
    world.change("ann@example.com", "enter", "vip", 1, user={"name": "Ann"})
    world.change("bob@example.com", "enter", "vip", 1)
    await worker.rest()
    forget(world, "ann@example.com")
    await worker.rest()
    found = rows(world)
    assert found["ann@example.com"].keys() <= {"s", "p"}
    assert "a" in found["bob@example.com"]
    assert world.options("ann@example.com") == ["VIP"]
    assert world.outcomes() == ["added", "added"]


async def test_what_was_still_to_be_sent_has_its_receipt(world: World) -> None:
    world.job()
    worker = await world.start()
    world.controls.answer_credential(world.simulator.api_key, 100)
    world.change("ann@example.com", "enter", "vip", 1)
    await worker.consume()
    await asyncio.sleep(2)
    forget(world, "ann@example.com")
    await worker.consume()
    await asyncio.sleep(2)
    await worker.consume()
    assert rows(world)["ann@example.com"].keys() <= {"s", "p"}
    assert [(receipt["outcome"], receipt["message"]) for receipt in world.receipts()] == [("superseded", "erased")]


async def test_a_request_under_way_does_not_bring_the_row_back(world: World) -> None:
    world.job()
    worker = await world.start()
    world.change("ann@example.com", "enter", "vip", 1)
    await worker.consume()
    key = b"ann@example.com"
    has_request = worker.state.has_request(partition_of(key, world.log.partitions), key)
    await eventually(lambda: has_request(world.list_id), every=0.001)
    forget(world, "ann@example.com")
    await worker.rest()
    assert rows(world)["ann@example.com"].keys() <= {"s", "p"}
    assert world.outcomes() == ["added"]


async def test_every_address_is_forgotten(world: World) -> None:
    world.job()
    worker = await world.start()
    world.change("old@example.com", "enter", "vip", 1)
    await worker.rest()
    world.change("new@example.com", "enter", "eu", 5, previous_email="old@example.com")
    await worker.rest()
    forget(world, "old@example.com")
    await worker.rest()
    assert all(row.keys() <= {"s", "p"} for row in rows(world).values())
    assert len(rows(world)) == 2


async def test_late_events_do_not_bring_the_person_back_and_later_ones_do(world: World) -> None:
    world.job()
    worker = await world.start()
    forget(world, "ann@example.com")
    await worker.rest()
    world.change("ann@example.com", "enter", "vip", 1)
    await worker.rest()
    assert world.subscriber("ann@example.com") is None
    world.change("ann@example.com", "enter", "vip", 7200)
    await worker.rest()
    assert world.options("ann@example.com") == ["VIP"]


@pytest.mark.parametrize(
    "row",
    [
        MembershipRow(former_addresses={"b@x.com": 1}, lists={"l": Held(address="a@x.com")}, due=True),
        MembershipRow(leaving=[("b@x.com", 1)]),
        MembershipRow(moves=[("b@x.com", 1)]),
        MembershipRow(awaits={"b@x.com": 1}),
    ],
)
def test_the_other_addresses_are_returned_once(row: MembershipRow) -> None:
    row.source = 5
    assert erase(row, 10) == ("b@x.com",)
    assert row == decode(encode(MembershipRow(snapshot_at=10, source=5)))
    assert erase(row, 10) == ()
