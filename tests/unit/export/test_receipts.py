"""What receipts say: one for each change and job, no claim that is not known to be true, a sentence with a refusal."""

from typing import Any

import pytest

from streams.export.rules.settlement import NOT_KNOWN_AS_NEW
from streams.export.sending.plan import PlannedWrite
from streams.export.sending.queue import QueuedPerson
from streams.export.sending.writer import was_added
from tests.unit.export.export_world import World
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
