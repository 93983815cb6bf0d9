"""What receipts say: one for each change and job, no claim that is not known to be true, a sentence with a refusal."""

import asyncio
from collections import Counter
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streams.export.rules.immediate import FROM_BEFORE
from streams.export.rules.settlement import NOT_KNOWN_AS_NEW
from streams.export.sending.plan import PlannedWrite, was_added
from streams.export.sending.queue import QueuedPerson
from tests.unit.export.export_world import DAY, SOURCE, FastLoop, World, with_world
from tests.unit.export.rules.rows import held

PEOPLE = [f"p{number}@example.com" for number in range(4)]


def _receipt(world: World, email: str) -> dict[str, Any]:
    (found,) = [receipt for receipt in world.receipts() if receipt["email"] == email]
    return found


# -- added


@pytest.mark.parametrize(
    ("known", "new", "unknown", "added"),
    [
        (True, 2, 2, False),
        (True, 1, 2, False),
        (False, 0, 2, False),
        (False, 2, 2, True),
        # one of two was on the list, and the answer does not say which
        (False, 1, 2, None),
        (False, 3, 2, None),
    ],
)
def test_who_an_import_added_follows_from_its_count_and_from_what_is_known(
    known: bool, new: int, unknown: int, added: bool | None
) -> None:
    write = PlannedWrite(QueuedPerson((0, b"k"), True, 0.0), held=held() if known else held(address=None))
    assert was_added(write, new, unknown) is added


async def test_added_is_for_new_people_only_when_an_import_updates_others(world: World) -> None:
    world.job()
    worker = await world.start()
    world.change(PEOPLE[0], "enter", "vip", 1)
    await worker.rest()
    world.change(PEOPLE[0], "enter", "eu", 2)
    for person in PEOPLE[1:]:
        world.change(person, "enter", "vip", 2)
    await worker.rest()
    assert world.outcomes(PEOPLE[0]) == ["added", "updated"]
    assert [world.outcomes(person) for person in PEOPLE[1:]] == [["added"]] * 3


async def test_who_may_have_been_on_the_list_before_is_not_called_added(world: World) -> None:
    world.job()
    world.controls.add_subscriber(world.list_id, PEOPLE[0])
    for person in PEOPLE:
        world.change(person, "enter", "vip", 1)
    worker = await world.start()
    await worker.rest()
    in_one_call = [person for person in PEOPLE if _receipt(world, person).get("message") == NOT_KNOWN_AS_NEW]
    assert PEOPLE[0] in in_one_call or world.outcomes(PEOPLE[0]) == ["updated"]
    assert all(world.outcomes(person) == ["updated"] for person in in_one_call)


# -- one for each change and job


async def test_what_came_before_the_job_began_has_a_receipt_that_says_so(world: World) -> None:
    began = DAY + timedelta(seconds=100)
    world.job("new", started_at=began)
    world.job("all", started_at=began, existing_users=True)
    worker = await world.start()
    world.change("ann@example.com", "enter", "vip", 1)
    world.change("bob@example.com", "exit", "vip", 1)
    world.change("cem@example.com", "enter", "vip", 101)
    await worker.rest()
    world.change("ann@example.com", "exit", "vip", 2)
    world.change("cem@example.com", "exit", "vip", 50)
    await worker.rest()
    found = [(receipt["email"][:3], receipt["job_id"], receipt["outcome"]) for receipt in world.receipts()]
    assert sorted(found) == [
        ("ann", "all", "added"),
        ("ann", "all", "removed"),
        ("ann", "new", "not_exported"),
        ("ann", "new", "not_exported"),
        ("bob", "all", "not_exported"),
        ("bob", "new", "not_exported"),
        ("cem", "all", "added"),
        ("cem", "all", "superseded"),
        ("cem", "new", "added"),
        ("cem", "new", "superseded"),
    ]
    early = [receipt["message"] for receipt in world.receipts() if receipt["outcome"] == "not_exported"]
    assert early == [FROM_BEFORE] * 4


CHANGES = st.tuples(
    st.just("change"), st.sampled_from(PEOPLE[:2]), st.sampled_from(["enter", "exit"]), st.sampled_from(["vip", "eu"]),
    st.integers(1, 200),
)  # fmt: skip
SNAPSHOTS = st.tuples(
    st.just("snapshot"), st.sampled_from(PEOPLE[:2]), st.lists(st.sampled_from(["vip", "eu"]), min_size=1, unique=True),
    st.integers(1, 200),
)  # fmt: skip
STEPS = st.lists(
    CHANGES
    | CHANGES
    | SNAPSHOTS
    | st.sampled_from([("rest",), ("restart",), ("crash",), ("all",), ("new",), ("leave",)]),
    max_size=14,
)


@settings(max_examples=60, deadline=None)
@given(st.booleans(), st.sampled_from(["keep", "unsubscribe", "delete"]), STEPS)
def test_every_change_has_one_receipt_for_each_job(update_only: bool, on_exit: str, steps: list[Any]) -> None:
    with asyncio.Runner(loop_factory=FastLoop) as runner:
        runner.run(_play(update_only, on_exit, steps))


async def _play(update_only: bool, on_exit: str, steps: list[Any]) -> None:
    simulator, world = await with_world()
    try:
        began = DAY + timedelta(seconds=100)
        options = {"on_last_exit": on_exit}
        world.job("a", started_at=began, **options)
        world.job("b", started_at=began, existing_users=True, update_only=update_only, **options)
        worker = await world.start()
        for step in steps:
            match step:
                case ("change", person, change, audience, at):
                    world.change(person, change, audience, at)
                case ("snapshot", person, audiences, at):
                    world.snapshot(person, audiences, at)
                case ("rest",):
                    await worker.rest()
                case ("restart",):
                    await worker.stop()
                    worker = await world.start()
                case ("crash",):
                    await worker.consume()
                    await worker.crash()
                    worker = await world.start()
                case ("leave",):
                    if world.subscriber(PEOPLE[0]) is not None:
                        world.controls.unsubscribe(world.list_id, PEOPLE[0])
                case _:
                    world.job("a", started_at=began, existing_users=step == ("all",), **options)
        await worker.rest()
        found = Counter(
            (receipt["job_id"], receipt["source"]["partition"], receipt["source"]["offset"])
            for receipt in world.receipts()
        )
        wanted = {
            (job_id, partition, record.offset)
            for job_id in world.jobs
            for partition in range(world.log.partitions)
            for record in world.log.topics.get((SOURCE, partition), ())
        }
        assert found == Counter(wanted)
        assert all(receipt.get("message") for receipt in world.receipts() if receipt["outcome"] == "refused")
        await worker.crash()
    finally:
        await simulator.__aexit__(None, None, None)


@pytest.mark.parametrize("on_exit", ["unsubscribe", "delete"])
async def test_a_receipt_says_that_we_took_the_person_off(world: World, on_exit: str) -> None:
    world.job(on_last_exit=on_exit)
    worker = await world.start()
    for person in PEOPLE[:2]:
        world.change(person, "enter", "vip", 1)
    await worker.rest()
    world.controls.unsubscribe(world.list_id, PEOPLE[1])
    for person in PEOPLE[:2]:
        world.change(person, "exit", "vip", 2)
    await worker.rest()
    taken_off = {receipt["email"]: receipt.get("taken_off") for receipt in world.receipts()}
    assert taken_off == {PEOPLE[0]: on_exit, PEOPLE[1]: None}


# -- refusals


async def test_a_refused_receipt_says_what_to_do(world: World) -> None:
    world.job("only", update_only=True, email_field="address")
    worker = await world.start()
    world.change("ann@example.com", "enter", "vip", 1, user={"address": "ann@example.com"})
    world.change("bob@example.com", "enter", "vip", 1)
    world.change("cem@example.com", "enter", "vip", 1, user={"address": "nonsense"})
    await worker.rest()
    assert sorted(world.outcomes()) == ["refused invalid", "refused no_address", "refused not_a_subscriber"]
    assert "turn Update only off" in _receipt(world, "ann@example.com")["message"]
    assert "send it upstream" in _receipt(world, "bob@example.com")["message"]
    assert "correct it upstream" in _receipt(world, "cem@example.com")["message"]
