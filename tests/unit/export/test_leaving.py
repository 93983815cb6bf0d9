"""Leaving an audience never puts anybody on a list."""

from typing import Any

import pytest

from connectors.campaign_monitor.client.api import CampaignMonitor
from connectors.campaign_monitor.client.requests import SubscriberWrite
from connectors.campaign_monitor.credentials import CampaignMonitorSettings
from connectors.campaign_monitor.limits.limiter import Limiter
from tests.unit.export.export_world import World

ANN, BOB = "ann@example.com", "bob@example.com"


async def readdress(world: World, address: str, to: str) -> None:
    """Change a subscriber's address as a person does: the former one is not on the list any more."""
    settings = CampaignMonitorSettings(base_url=world.simulator.base_url, oauth_url=world.simulator.oauth_url)
    async with CampaignMonitor.open(await world.credential(""), settings, Limiter.of(settings)) as api:
        await api.subscribers.update(world.list_id, address, SubscriberWrite(email=to))


@pytest.mark.parametrize("policy", ["keep", "unsubscribe", "delete"])
@pytest.mark.parametrize("update_only", [False, True])
async def test_who_is_not_on_the_list_any_more_is_not_added_by_leaving(
    world: World, policy: str, update_only: bool
) -> None:
    options: dict[str, Any] = {"on_last_exit": policy}
    world.job(**options)
    for person in (ANN, BOB):
        world.change(person, "enter", "vip", 1)
    worker = await world.start()
    await worker.rest()
    await readdress(world, ANN, "elsewhere@example.com")
    world.job(**options, update_only=update_only)
    await worker.rest()
    for person in (ANN, BOB):
        world.change(person, "exit", "vip", 2)
    await worker.rest()
    assert world.subscriber(ANN) is None
    assert world.options(BOB) == []
    assert len(world.receipts()) == 4
    assert (world.outcomes(ANN)[-1], world.outcomes(BOB)[-1]) == ("unchanged", "removed")
    of_ann = [receipt for receipt in world.receipts() if receipt["email"] == ANN]
    assert of_ann[-1]["message"].startswith("Not on the list under this address")


async def test_an_entry_of_the_same_instant_that_comes_after_leaving_is_in_force(world: World) -> None:
    world.job()
    worker = await world.start()
    world.change(ANN, "exit", "vip", 1)
    world.change(ANN, "enter", "vip", 1)
    await worker.rest()
    assert world.options(ANN) == ["VIP"]
    world.change(ANN, "exit", "vip", 1)
    await worker.rest()
    assert world.options(ANN) == []


async def test_a_first_snapshot_exports_nobody_without_existing_users(world: World) -> None:
    world.job(existing_users=False)
    worker = await world.start()
    world.snapshot(ANN, ["vip"], 5)
    world.snapshot(ANN, ["vip"], 6)
    await worker.rest()
    assert world.subscriber(ANN) is None
    world.snapshot(ANN, ["vip", "eu"], 7)
    await worker.rest()
    assert world.options(ANN) == ["EU", "VIP"]


async def test_turning_existing_users_off_takes_nobody_off_the_list(world: World) -> None:
    """An edit of that option deleted all who had come as existing users, without a question or a receipt."""
    world.change(ANN, "enter", "vip", -60)
    worker = await world.start()
    await worker.rest()
    world.job("a", existing_users=True, on_last_exit="delete")
    await worker.rest()
    assert world.options(ANN) == ["VIP"]
    world.change_job("a", existing_users=False)
    world.change(BOB, "enter", "eu", 1)
    await worker.rest()
    assert world.options(ANN) == ["VIP"]
    found = world.subscriber(ANN)
    assert found is not None
    assert found["State"] == "Active"
    world.change(ANN, "exit", "vip", 2)
    await worker.rest()
    assert world.outcomes(ANN)[-1] == "removed"
