"""Each protection is taken out once, and a test must turn red: what never failed proves nothing."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from streams.batches import Revoked
from streams.export.rules import routing
from streams.export.rules.routing import RequestKind, RequestRoute
from streams.export.sending import partition_rows, writer
from streams.export.sending.connections import ListConnections
from streams.export.sending.partition_rows import PartitionRows
from tests.unit.export.export_world import World


async def _killed_at_every_effect(world: World) -> None:
    """Kill the worker at each effect in turn, and start it again; one receipt each must come out, none twice."""
    world.job()
    worker = await world.start()
    for effects in range(1, 14):
        person = f"p{effects}@example.com"
        world.change(person, "enter", "vip", 1)
        world.change(person, "exit", "vip", 2)
        world.change(person, "enter", "vip", 3)
        worker.process.kill_at = worker.process.effects + effects
        with contextlib.suppress(Revoked):
            await worker.consume()
        await asyncio.sleep(1.0)
        await worker.crash()
        worker = await world.start()
        await worker.rest()
    ids = [receipt["event_id"] for receipt in world.receipts()]
    assert len(ids) == len(set(ids)), "a receipt was published twice"
    assert len(ids) == 39, "a change has no receipt"
    for effects in range(1, 14):
        assert world.options(f"p{effects}@example.com") == ["VIP"]


async def test_each_change_has_one_receipt_wherever_the_worker_is_killed(world: World) -> None:
    await _killed_at_every_effect(world)


async def test_sabotage_rows_before_receipts(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    original = PartitionRows.write
    killed: list[int] = []

    async def rows_first(self: PartitionRows, owned: Any, changed: Any, accepted: int) -> None:
        await self._rows.write_rows(owned.number, owned.generation, [row for row, _ in changed])
        receipts = any(of_row for _, of_row in changed)
        # Once right here: where the others strike depends on the clock.
        if receipts and not killed and world.worker is not None:
            process = world.worker.process
            process.kill_at = process.effects + 1
            killed.append(process.kill_at)
        await original(self, owned, changed, accepted)

    monkeypatch.setattr(PartitionRows, "write", rows_first)
    with pytest.raises(AssertionError, match="no receipt"):
        await _killed_at_every_effect(world)


async def test_sabotage_receipts_are_not_read_back(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(partition_rows, "ids_of", lambda tail: set())
    monkeypatch.setattr(partition_rows, "apply", lambda rows, tail: set())
    with pytest.raises(AssertionError, match="twice"):
        await _killed_at_every_effect(world)


async def _who_left_stays_away(world: World) -> None:
    world.job()
    worker = await world.start()
    world.change("ann@example.com", "enter", "vip", 1)
    await worker.rest()
    world.controls.unsubscribe(world.list_id, "ann@example.com")
    world.change("ann@example.com", "enter", "eu", 2)
    await worker.rest()
    found = world.subscriber("ann@example.com")
    assert found is not None
    assert found["State"] == "Unsubscribed"


async def test_sabotage_the_resubscribe_flag(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    original = writer.effects_of

    def always(route: RequestRoute, *, repeated: bool) -> Any:
        return original(RequestRoute(route.kind, resubscribe=True), repeated=repeated)

    monkeypatch.setattr(writer, "effects_of", always)
    with pytest.raises(AssertionError):
        await _who_left_stays_away(world)


async def _who_left_later_stays_away(world: World) -> None:
    """Nothing but Campaign Monitor knows that they left: the list is seen for the first time."""
    world.at(60)
    world.controls.add_subscriber(world.list_id, "ann@example.com")
    world.at(1200)
    world.controls.unsubscribe(world.list_id, "ann@example.com")
    world.job(resubscribe_users=True)
    worker = await world.start()
    world.change("ann@example.com", "enter", "vip", 600)
    await worker.rest()
    found = world.subscriber("ann@example.com")
    assert found is not None
    assert found["State"] == "Unsubscribed"


async def test_who_left_later_than_they_entered_stays_away(world: World) -> None:
    await _who_left_later_stays_away(world)


async def test_sabotage_comparing_with_when_they_left(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    async def nobody(*_: Any) -> None:
        return None

    monkeypatch.setattr(writer, "why_refused", nobody)
    with pytest.raises(AssertionError):
        await _who_left_later_stays_away(world)


async def _mails_once(world: World) -> None:
    world.job(queue_autoresponders=True)
    worker = await world.start()
    world.controls.inject(kind="reset", after=True, path="/subscribers/*/import.json")
    world.change("ann@example.com", "enter", "vip", 1)
    await worker.rest()
    imports = [write for write in world.controls.writes() if write["email"] == "ann@example.com"]
    assert len(imports) == 1, "the import was repeated with its flags"


async def test_an_unknown_outcome_is_verified(world: World) -> None:
    await _mails_once(world)


async def test_sabotage_verifying(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    original: Callable[..., RequestRoute] = routing.route_of

    def never_verify(held: Any, desired: Any, attempt: Any) -> RequestRoute:
        route = original(held, desired, attempt)
        return RequestRoute(RequestKind.IMPORT, queue=desired.queue) if route.kind is RequestKind.VERIFY else route

    monkeypatch.setattr("streams.export.sending.partition_rows.route_of", never_verify)
    with pytest.raises(AssertionError, match="repeated"):
        await _mails_once(world)


async def _changed_in_flight(world: World) -> None:
    world.job()
    worker = await world.start()
    world.slow_down(1.8)
    world.change("ann@example.com", "enter", "vip", 1)
    await worker.consume()
    for _ in range(400):
        await asyncio.sleep(0.05)
        sender = worker.runner.senders.get(world.list_id)
        if sender is not None and sender.queue.in_flight and world.controls.list(world.list_id):
            break
    world.change("ann@example.com", "enter", "eu", 2)
    await worker.rest()
    assert world.options("ann@example.com") == ["EU", "VIP"]


async def test_what_changes_in_flight_is_sent_afterwards(world: World) -> None:
    await _changed_in_flight(world)


async def test_sabotage_the_newest_row(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """An answer that overwrites the row as it was when the request was made loses what came meanwhile."""
    original: Callable[..., Awaitable[Any]] = PartitionRows.prepare
    old: dict[bytes, Any] = {}

    async def remember(self: PartitionRows, owned: Any, listed: Any, people: Any) -> Any:
        rows = await self._rows.read(owned.number, [person.key[1] for person in people])
        old.update({key: row for key, row in rows.items() if key not in old})
        return await original(self, owned, listed, people)

    record_outcomes = PartitionRows.record_outcomes

    async def overwrite(self: PartitionRows, owned: Any, list_id: str, outcomes: Any, accepted: int) -> None:
        await record_outcomes(self, owned, list_id, outcomes, accepted)
        await self._rows.write_rows(owned.number, 1, [old[outcome.person.key[1]] for outcome in outcomes])

    monkeypatch.setattr(PartitionRows, "prepare", remember)
    monkeypatch.setattr(PartitionRows, "record_outcomes", overwrite)
    with pytest.raises(AssertionError):
        await _changed_in_flight(world)


async def _whose_key(world: World) -> None:
    """The key of one job is wrong: its people are not delivered with that of the other."""
    world.keys["first"] = "wrong"
    world.job("a", authorization_id="first", audiences=["vip"])
    world.job("b", authorization_id="second", audiences=["eu"])
    worker = await world.start()
    world.change("ann@example.com", "enter", "vip", 1)
    world.change("bob@example.com", "enter", "eu", 1)
    async with asyncio.timeout(120):
        while not (
            world.outcomes("bob@example.com") and (world.attention.get("a") or world.outcomes("ann@example.com"))
        ):
            await worker.consume()
            await asyncio.sleep(0.2)
    assert world.subscriber("ann@example.com") is None, "delivered with the key of a job that does not want them"


async def test_calls_use_the_key_of_a_job_that_wants_the_person(world: World) -> None:
    await _whose_key(world)


async def test_sabotage_whose_key(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every call is made with whatever connection works."""
    monkeypatch.setattr(ListConnections, "get", lambda self, authorization: self._connections["second"])
    with pytest.raises(AssertionError, match="does not want them"):
        await _whose_key(world)
