"""What webhooks report about subscribers of ours: echoes, changes by hand, people who come back."""

from typing import Any

import orjson

from streams.batches import Output
from tests.unit.export.export_world import World

PEOPLE = [f"p{number}@example.com" for number in range(10)]


def _webhook(world: World, event: str, email: str, values: list[str], **more: Any) -> None:
    body = {
        "at": "2026-03-01T10:00:00Z", "event": event, "email": email, "source": "webhook", "list_id": world.list_id,
        "custom_fields": [{"key": "LyticsAudiences", "value": option} for option in values], **more,
    }  # fmt: skip
    world.log.append(Output("cm_activity", email.encode(), orjson.dumps(body)), world.wall())


async def test_our_own_writes_that_come_back_cause_nothing(world: World) -> None:
    world.job()
    worker = await world.start()
    for person in PEOPLE:
        world.change(person, "enter", "vip", 1)
    await worker.rest()
    before = len(world.controls.writes())
    for person in PEOPLE:
        _webhook(world, "subscribe", person, ["VIP"])
        _webhook(world, "update", person, ["VIP"], status="active")
        _webhook(world, "update", person, [], status="active", echo=True)
    await worker.rest()
    assert len(world.controls.writes()) == before


async def test_a_change_by_hand_is_written_again_once(world: World) -> None:
    world.job()
    worker = await world.start()
    world.change("ann@example.com", "enter", "vip", 1)
    await worker.rest()
    world.controls.edit_profile(world.list_id, "ann@example.com", fields={"Lytics Audiences": ""})
    _webhook(world, "update", "ann@example.com", [], status="active")
    await worker.rest()
    assert world.options("ann@example.com") == ["VIP"]
    before = len(world.controls.writes())
    for _ in range(5):
        _webhook(world, "update", "ann@example.com", ["something"], status="active")
        await worker.rest()
    assert len(world.controls.writes()) == before


async def test_who_comes_back_by_themselves_is_exported_again(world: World) -> None:
    world.job()
    worker = await world.start()
    world.change("ann@example.com", "enter", "vip", 1)
    await worker.rest()
    world.controls.unsubscribe(world.list_id, "ann@example.com")
    _webhook(world, "deactivate", "ann@example.com", ["VIP"], status="unsubscribe")
    world.change("ann@example.com", "enter", "eu", 2)
    await worker.rest()
    assert world.outcomes()[-1] == "refused unsubscribed"
    access = worker.accounts._open["auth-1"].apis["live"]
    from connectors.campaign_monitor.client.requests import Autoresponders, SubscriberWrite

    write = SubscriberWrite("ann@example.com")
    await access.subscribers.import_(world.list_id, [write], Autoresponders(resubscribe=True))
    _webhook(world, "subscribe", "ann@example.com", ["VIP"])
    await worker.rest()
    assert world.options("ann@example.com") == ["EU", "VIP"]
