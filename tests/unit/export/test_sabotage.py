"""Each protection is taken out once, and a test must turn red: what never failed proves nothing."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from streams.batches import Revoked
from streams.delivery import courier, partitions
from streams.delivery.ledger import Ledger
from streams.domain import routing
from streams.domain.routing import Kind, Route
from tests.unit.export.world import World


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
    ids = [it["event_id"] for it in world.receipts()]
    assert len(ids) == len(set(ids)), "a receipt was told twice"
    assert len(ids) == 39, "a change has no receipt"
    for effects in range(1, 14):
        assert world.options(f"p{effects}@example.com") == ["VIP"]


async def test_each_change_has_one_receipt_wherever_the_worker_is_killed(world: World) -> None:
    await _killed_at_every_effect(world)


async def test_sabotage_rows_before_receipts(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    original = Ledger.write
    killed: list[int] = []

    async def rows_first(self: Ledger, changed: Any, accepted: int) -> None:
        await self._rows.write_rows(self.partition, self.account.generation, [row for row, _ in changed])
        if not killed and world.worker is not None:  # once right here: where the others strike depends on the clock
            process = world.worker.process
            process.kill_at = process.effects + 1
            killed.append(process.kill_at)
        await original(self, changed, accepted)

    monkeypatch.setattr(Ledger, "write", rows_first)
    with pytest.raises(AssertionError, match="no receipt"):
        await _killed_at_every_effect(world)


async def test_sabotage_receipts_are_not_read_back(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(partitions, "ids_of", lambda tail: set())
    monkeypatch.setattr(partitions, "apply", lambda rows, tail: set())
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
    original = courier.effects_of

    def always(route: Route, *, repeated: bool) -> Any:
        return original(Route(route.kind, resubscribe=True), repeated=repeated)

    monkeypatch.setattr(courier, "effects_of", always)
    with pytest.raises(AssertionError):
        await _who_left_stays_away(world)


async def _mails_once(world: World) -> None:
    world.job(queue_autoresponders=True)
    worker = await world.start()
    world.controls.inject(kind="reset", after=True, path="/subscribers/*/import.json")
    world.change("ann@example.com", "enter", "vip", 1)
    await worker.rest()
    imports = [it for it in world.controls.writes() if it["email"] == "ann@example.com"]
    assert len(imports) == 1, "the import was repeated with its flags"


async def test_an_unknown_outcome_is_asked_about(world: World) -> None:
    await _mails_once(world)


async def test_sabotage_asking(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    original: Callable[..., Route] = routing.route_of

    def never_ask(held: Any, wanted: Any, doubts: Any) -> Route:
        route = original(held, wanted, doubts)
        return Route(Kind.IMPORT, queue=wanted.queue) if route.kind is Kind.ASK else route

    monkeypatch.setattr("streams.delivery.ledger.route_of", never_ask)
    with pytest.raises(AssertionError, match="repeated"):
        await _mails_once(world)


async def _changed_in_flight(world: World) -> None:
    world.job()
    worker = await world.start()
    world.controls.change_settings(latency_ms=60)
    world.change("ann@example.com", "enter", "vip", 1)
    await worker.consume()
    for _ in range(400):
        await asyncio.sleep(0.05)
        sender = worker.delivery.lists.sender(world.list_id)
        if sender is not None and sender.queue.in_flight and world.controls.list(world.list_id):
            break
    world.change("ann@example.com", "enter", "eu", 2)
    await worker.rest()
    assert world.options("ann@example.com") == ["EU", "VIP"]


async def test_what_changes_in_flight_is_sent_afterwards(world: World) -> None:
    await _changed_in_flight(world)


async def test_sabotage_the_newest_row(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """An answer that overwrites the row as it was when the request was made loses what came meanwhile."""
    original: Callable[..., Awaitable[Any]] = Ledger.prepare
    old: dict[bytes, Any] = {}

    async def remember(self: Ledger, listed: Any, people: Any) -> Any:
        rows = await self._rows.read(self.partition, [it.key[1] for it in people])
        old.update({key: row for key, row in rows.items() if key not in old})
        return await original(self, listed, people)

    settle = Ledger.settle

    async def overwrite(self: Ledger, list_id: str, results: Any, accepted: int) -> None:
        await settle(self, list_id, results, accepted)
        await self._rows.write_rows(self.partition, 1, [old[it.waiting.key[1]] for it in results])

    monkeypatch.setattr(Ledger, "prepare", remember)
    monkeypatch.setattr(Ledger, "settle", overwrite)
    with pytest.raises(AssertionError):
        await _changed_in_flight(world)
