"""A right key in the wrong partition: whichever topic it is on, the person has one row, and nothing is lost."""

from typing import Any

import orjson
import pytest

from schemas.cm_activity import CmActivity
from schemas.membership_command import Resend, command_bytes
from streams.batches import MOVED_FROM, Batch, Output, partition_of
from tests.unit.export.export_world import DAY, SOURCE, World

ANN = "ann@example.com"
RIGHT = partition_of(ANN.encode(), 2)


def enter(audience: str, at: int) -> bytes:
    """An enter as its record's value."""
    at_text = f"2026-03-01T00:00:{at:02d}Z"
    body = {"email": ANN, "change": "enter", "audience": {"id": audience, "name": audience.upper()}, "at": at_text}
    return orjson.dumps(body)


def misplaced(world: World, topic: str, value: bytes, headers: Any = ()) -> None:
    """Publish a record of Ann's in the partition that is not hers."""
    world.log.append(Output(topic, ANN.encode(), value, headers, 1 - RIGHT), world.wall())


def people(world: World) -> list[tuple[int, bytes]]:
    """(partition, key) of each row of a person."""
    return [(number, key) for number, rows in world.log.rows.items() for key in rows if not key.startswith(b"\x00")]


async def _two_audiences_over_two_partitions(world: World) -> None:
    world.job()
    worker = await world.start()
    world.change(ANN, "enter", "vip", 1)
    await worker.rest()
    misplaced(world, SOURCE, enter("eu", 2))
    await worker.rest()
    assert people(world) == [(RIGHT, ANN.encode())]
    assert world.options(ANN) == ["EU", "VIP"]
    assert len(world.receipts()) == 2


async def test_a_membership_event_in_the_wrong_partition_is_moved(world: World) -> None:
    await _two_audiences_over_two_partitions(world)
    moved = world.log.topics[SOURCE, RIGHT][-1]
    assert (moved.key, moved.value) == (ANN.encode(), enter("eu", 2))
    assert dict(moved.headers)[MOVED_FROM] == f"{SOURCE}/{1 - RIGHT}/0".encode()


async def test_sabotage_of_the_partition_check(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Batch, "holds", lambda self, key: True)
    with pytest.raises(AssertionError):
        await _two_audiences_over_two_partitions(world)


async def test_a_replay_of_the_wrong_partition_changes_nothing(world: World) -> None:
    await _two_audiences_over_two_partitions(world)
    assert world.worker is not None
    world.log.committed[SOURCE, 1 - RIGHT] = 0
    await world.worker.rest()
    assert world.options(ANN) == ["EU", "VIP"]
    assert len(world.controls.writes()) == 2
    ids = [receipt["event_id"] for receipt in world.receipts()]
    assert len(ids) == len(set(ids))


async def test_commands_in_the_wrong_partition_are_moved_and_webhook_events_are_not(
    world: World,
) -> None:
    world.job()
    worker = await world.start()
    world.change(ANN, "enter", "vip", 1)
    await worker.rest()
    world.controls.edit_profile(world.list_id, ANN, fields={"Lytics Audiences": ""})
    misplaced(world, "cm_membership-commands", command_bytes(Resend(world.list_id)))
    await worker.rest()
    assert world.options(ANN) == ["VIP"]
    world.controls.unsubscribe(world.list_id, ANN)
    left = CmActivity(
        event_id="e1", at=DAY, email=ANN, event="deactivate", status="unsubscribed", source="webhook",
        list_id=world.list_id, client_id=world.client_id,
    )  # fmt: skip
    misplaced(world, "cm_activity", left.to_bytes())
    await worker.rest()
    assert len(world.log.read("cm_activity")) == 1, "the profile aggregator moves it, too"
    moved = Output("cm_activity", ANN.encode(), left.to_bytes(), [(MOVED_FROM, b"cm_activity/0/0")])
    world.log.append(moved, world.wall())
    await worker.rest()
    assert people(world) == [(RIGHT, ANN.encode())]
    held = world.worker and world.worker.process._row(RIGHT, ANN.encode()).data.lists[world.list_id]
    assert held is not None
    assert held.code == 206


async def test_what_was_moved_to_a_wrong_partition_is_a_dead_letter_not_a_loop(world: World) -> None:
    world.job()
    worker = await world.start()
    misplaced(world, SOURCE, enter("vip", 1), [(MOVED_FROM, b"elsewhere/0/1")])
    await worker.rest()
    assert people(world) == []
    assert len(world.log.read(f"{SOURCE}.dlq")) == 1
    assert [record.key for record in world.log.read(SOURCE)] == [ANN.encode()]
