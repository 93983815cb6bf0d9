"""Only a new entry into an audience, later than what a person did, makes who left active again."""

import random
from collections.abc import Callable

import orjson
import pytest

from streams.batches import Output
from tests.unit.export.export_world import World

ANN = "ann@example.com"
MAPPINGS = [{"user_field": "city", "custom_field": "City"}]
Step = Callable[[World, int], None]


def field_changes(world: World, at: int) -> None:
    world.snapshot(ANN, ["vip"], at, user={"city": f"City {at}"})


def job_is_edited(world: World, at: int) -> None:
    world.job(
        resubscribe_users=True, field_mappings=MAPPINGS, segment_name=f"{{audience}} {at}", custom_field_name=f"F{at}"
    )


def audience_is_renamed(world: World, at: int) -> None:
    world.publish(
        ANN, {"email": ANN, "audiences": [{"id": "vip", "name": f"VIP {at}"}], "at": f"2026-03-01T00:00:{at:02}Z"}
    )


def webhook_reports(world: World, at: int) -> None:
    body = {
        "at": f"2026-03-01T00:00:{at:02}Z",
        "event": "deactivate",
        "status": "unsubscribe",
        "email": ANN,
        "source": "webhook",
        "list_id": world.list_id,
        "custom_fields": [],
    }
    world.log.append(Output("cm_activity", ANN.encode(), orjson.dumps(body)), world.wall())


STEPS: list[Step] = [field_changes, job_is_edited, audience_is_renamed, webhook_reports]


def state(world: World) -> str:
    subscriber = world.subscriber(ANN)
    return "" if subscriber is None else str(subscriber["State"])


@pytest.mark.parametrize(
    "steps",
    [
        [field_changes, field_changes],
        [field_changes, job_is_edited],
        [job_is_edited, job_is_edited],
        [field_changes, audience_is_renamed],
        [webhook_reports, field_changes],
        [webhook_reports, job_is_edited, field_changes],
        *[random.Random(seed).choices(STEPS, k=5) for seed in range(6)],
    ],
    ids=lambda steps: "-".join(step.__name__ for step in steps),
)
async def test_nothing_but_a_new_entry_makes_a_person_active_again(world: World, steps: list[Step]) -> None:
    world.job(resubscribe_users=True, field_mappings=MAPPINGS)
    worker = await world.start()
    world.change(ANN, "enter", "vip", 1, user={"city": "Ghent"})
    await worker.rest()
    assert state(world) == "Active"
    world.controls.unsubscribe(world.list_id, ANN)
    for number, step in enumerate(steps):
        step(world, 10 + number)
        await worker.rest()
        assert state(world) == "Unsubscribed", step.__name__
    world.change(ANN, "enter", "eu", 40)
    await worker.rest()
    assert state(world) == "Active"


async def test_an_entry_before_the_unsubscribe_that_a_webhook_reports_is_not_used(world: World) -> None:
    """The list could not be reached for a while: the entry is older than the person's own act."""
    world.job(resubscribe_users=True)
    worker = await world.start()
    world.change(ANN, "enter", "vip", 1)
    await worker.rest()
    world.controls.unsubscribe(world.list_id, ANN)
    webhook_reports(world, 30)
    await worker.rest()
    world.change(ANN, "enter", "eu", 20)
    await worker.rest()
    late = state(world)
    world.change(ANN, "enter", "new", 40)
    await worker.rest()
    assert (late, state(world)) == ("Unsubscribed", "Active")
