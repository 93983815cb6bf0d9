"""What a confirmation of removals covers when a job of the list is edited before or after it."""

import asyncio
from typing import Any

import pytest

from streams.export.lists import removal_guard
from streams.export.lists.removal_guard import RemovalGuard
from tests.unit.export.export_world import World
from tests.unit.export.test_removal_guard import PEOPLE, everybody_is_in, everybody_leaves, removed


async def test_a_confirmation_ends_with_the_edit_that_led_to_it(world: World) -> None:
    await everybody_is_in(world)
    assert world.worker is not None
    for audiences in (["typo"], ["vip"]):
        world.change_job(audiences=audiences)
        await asyncio.sleep(18)
    assert removed(world) == []
    assert "3 removals were counted within 1 h, of 10 people (on the list now, or" in str(world.attention["job-1"])
    world.confirm_removals()
    await world.worker.rest()
    assert world.attention["job-1"] is None
    await asyncio.sleep(1)
    world.change_job(audiences=["typo"])
    await asyncio.sleep(18)
    assert len(removed(world)) == 3
    assert "confirm" in str(world.attention["job-1"])


async def test_sabotage_of_when_jobs_were_edited(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(removal_guard, "_edited", lambda listed: 0)
    with pytest.raises(AssertionError):
        await test_a_confirmation_ends_with_the_edit_that_led_to_it(world)


async def test_a_confirmation_covers_who_waits_by_an_edit_that_is_older(world: World) -> None:
    await everybody_is_in(world)
    await everybody_leaves(world)
    world.change_job(name_field="full name")
    await asyncio.sleep(60)  # who is held back is looked at every fifteen seconds, later on a busy machine
    assert len(removed(world)) == 3
    world.confirm_removals()
    await asyncio.sleep(60)
    assert removed(world) == PEOPLE


async def test_sabotage_of_following_edits(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    async def nothing(*_: Any) -> None:
        pass

    monkeypatch.setattr(RemovalGuard, "_follow_edits", nothing)
    with pytest.raises(AssertionError):
        await test_a_confirmation_covers_who_waits_by_an_edit_that_is_older(world)
