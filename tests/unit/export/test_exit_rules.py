"""Whose exit rule and key decide when somebody leaves: only those of jobs that exported them."""

import asyncio

import pytest

from tests.unit.export.export_world import World

ZOE = "zoe@example.com"
OTHER = {"audiences": ["g"], "authorization_id": "auth-1"}
OWN = {"audiences": ["b"], "authorization_id": "auth-2"}


def _state(world: World) -> str:
    return str((world.subscriber(ZOE) or {"State": ""})["State"])


@pytest.mark.parametrize("other", ["keep", "unsubscribe", None])
@pytest.mark.parametrize("stopped", [False, True])
@pytest.mark.parametrize("created", ["before", "after"])
async def test_a_job_that_never_exported_them_decides_nothing(
    world: World, other: str | None, stopped: bool, created: str
) -> None:
    options = {**OTHER, "on_last_exit": other, "state": "stopped" if stopped else "running"}
    if other is not None and created == "before":
        world.job("x1", **options)
    world.job("x2", **OWN, on_last_exit="delete")
    worker = await world.start()
    world.change(ZOE, "enter", "b", 1)
    await worker.rest()
    if other is not None and created == "after":
        world.job("x1", **options)
        await worker.rest()
    world.keys["auth-1"] = "wrong"
    world.change(ZOE, "exit", "b", 2)
    await worker.rest()
    assert (_state(world), world.outcomes(ZOE)) == ("Deleted", ["added", "removed"])


async def test_who_left_an_audience_before_it_was_delivered_was_not_exported_by_its_job(world: World) -> None:
    """They were in the audience before the job counted them: their exit is one of its changes all the same."""
    world.job("x1", **OTHER, on_last_exit="keep", started_at=world.job("x2", **OWN).started_at.replace(year=2027))
    world.job("x2", **OWN, on_last_exit="delete")
    worker = await world.start()
    for audience in "bg":
        world.change(ZOE, "enter", audience, 1)
    await worker.rest()
    world.change_job("x1", started_at=world.jobs["x1"].created_at.replace(second=2))
    await worker.rest()
    for audience in "bg":
        world.change(ZOE, "exit", audience, 5)
    await worker.rest()
    assert _state(world) == "Deleted"


async def _sent_and_crashed(world: World) -> None:
    """The list takes the person; the worker ends before it has the answer."""
    worker = await world.start()
    world.controls.inject(kind="hang", after=True, path="/subscribers/*/import.json")
    world.change(ZOE, "enter", "b", 1)
    await worker.consume()
    async with asyncio.timeout(60.0):
        while world.subscriber(ZOE) is None:  # noqa: ASYNC110 - the simulator wakes nobody
            await asyncio.sleep(0.05)
    await worker.crash()


@pytest.mark.parametrize("removed", [False, True])
async def test_after_a_crash_the_job_whose_request_was_made_decides(world: World, removed: bool) -> None:
    world.job("x1", **OTHER, on_last_exit="unsubscribe")
    world.job("x2", **OWN, on_last_exit="delete")
    await _sent_and_crashed(world)
    world.job("x2", **{**OWN, "audiences": ["typo"]}, on_last_exit="delete")
    if removed:
        del world.jobs["x2"]
    worker = await world.start()
    await worker.rest()
    assert _state(world) == ("Active" if removed else "Deleted")
