"""One odd person never stops the others of a request."""

from typing import Any

import pytest

from connectors.campaign_monitor.client.entities import ImportFailure, ImportResult
from connectors.campaign_monitor.client.subscriber_endpoints import Subscribers
from tests.unit.export.export_world import World

PEOPLE = [f"p{number}@example.com" for number in range(9)]


async def test_addresses_that_differ_only_by_case_mapping_are_not_sent_in_one_request(world: World) -> None:
    """`straße` and `strasse` are equal when case-folded: the request that held both was never made."""
    world.job()
    odd = ["straße@example.com", "strasse@example.com"]
    for person in [*odd, *PEOPLE]:
        world.change(person, "enter", "vip", 1)
    worker = await world.start()
    await worker.rest()
    assert [world.outcomes(person) for person in PEOPLE] == [["added"]] * 9
    assert sorted(world.outcomes(person)[0] for person in odd) == ["added", "refused address_in_use"]


async def test_an_error_that_nobody_expected_costs_the_person_who_causes_it(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    import_ = Subscribers.import_

    async def broken(self: Subscribers, list_id: str, subscribers: Any, *more: Any) -> Any:
        if any(subscriber.email == PEOPLE[4] for subscriber in subscribers):
            raise TypeError("a defect")
        return await import_(self, list_id, subscribers, *more)

    monkeypatch.setattr(Subscribers, "import_", broken)
    world.job()
    for person in PEOPLE:
        world.change(person, "enter", "vip", 1)
    worker = await world.start()
    await worker.rest()
    found = [world.outcomes(person) for person in PEOPLE if person != PEOPLE[4]]
    assert all(outcomes in (["added"], ["updated"]) for outcomes in found)
    assert world.outcomes(PEOPLE[4]) == ["refused invalid"]
    assert [record.key for record in world.log.read("audience-membership.dlq")] == [PEOPLE[4].encode()]


async def test_a_failure_under_another_spelling_is_not_counted_as_delivered(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    import_ = Subscribers.import_

    async def respelled(self: Subscribers, list_id: str, subscribers: Any, *more: Any) -> ImportResult:
        good = [subscriber for subscriber in subscribers if subscriber.email != PEOPLE[4]]
        if len(good) == len(subscribers):
            return await import_(self, list_id, subscribers, *more)
        result = await import_(self, list_id, good, *more) if good else ImportResult((), 0, 0, 0, ())
        failure = ImportFailure("another.spelling@example.com", 1, "Invalid")
        return ImportResult((failure,), result.total_unique + 1, result.existing, result.new, result.duplicates)

    monkeypatch.setattr(Subscribers, "import_", respelled)
    world.job()
    for person in PEOPLE:
        world.change(person, "enter", "vip", 1)
    worker = await world.start()
    await worker.rest()
    assert world.outcomes(PEOPLE[4]) == ["refused invalid"]
    assert all(world.options(person) == ["VIP"] for person in PEOPLE if person != PEOPLE[4])
