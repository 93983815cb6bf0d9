"""Options that somebody removes just when a worker creates others: what it reads afterwards is compared, too."""

from typing import Any

import pytest

from connectors.campaign_monitor.client.list_endpoints import Lists
from tests.unit.export.export_world import World

ANN, BOB = "ann@example.com", "bob@example.com"
FIELD = "[LyticsAudiences]"


async def test_an_option_that_is_removed_before_another_is_added_is_written_again(world: World) -> None:
    """The read after the addition shows the loss first, and is stored as what the list's fields are."""
    world.settings = world.settings.model_copy(update={"fields_check_seconds": 10_000.0})
    world.job()
    worker = await world.start()
    world.change(ANN, "enter", "vip", 1)
    world.change(BOB, "enter", "eu", 1)
    await worker.rest()
    world.controls.set_options(world.list_id, FIELD, ["EU"])
    assert world.options(ANN) == []
    world.change(BOB, "enter", "new", 2)
    await worker.rest()
    assert (world.options(ANN), world.options(BOB)) == (["VIP"], ["EU", "NEW"])
    assert world.outcomes() == ["added", "added", "updated"]


async def test_an_option_that_is_removed_as_soon_as_it_is_made_is_made_again(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    original, removals = Lists.create_custom_field, iter([["EU"]])

    async def removed(lists: Lists, list_id: str, *more: Any) -> Any:
        made = await original(lists, list_id, *more)
        for options in removals:
            world.controls.set_options(list_id, FIELD, options)
        return made

    monkeypatch.setattr(Lists, "create_custom_field", removed)
    world.job()
    worker = await world.start()
    world.change(ANN, "enter", "vip", 1)
    world.change(ANN, "enter", "eu", 1)
    await worker.rest()
    assert world.options(ANN) == ["EU", "VIP"]
