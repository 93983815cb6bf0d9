"""The removal guard: once tripped it stays tripped, whatever ends or moves in between, until a person confirms."""

import asyncio
import contextlib
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.control import ExportJob
from streams.batches import Output, Revoked
from streams.export.lists.removal_guard import GUARD, GuardRecords, RemovalGuard
from streams.export.recovery.reconcile import removals_due
from streams.export.rules.jobs import AudienceNames, compile_exports
from streams.export.rules.routing import AttemptState
from streams.export.rules.row import Held, decode
from streams.export.settings import ExportSettings
from streams.export.state import ExportState, OwnedPartition
from streams.export.table import Clocks
from tests.unit.export.export_world import World

PEOPLE = [f"p{number}@example.com" for number in range(10)]


async def everybody_is_in(world: World, **options: Any) -> None:
    """Ten people are on a list whose guard lets three go."""
    values = {"guard_minimum": 2, "guard_window_seconds": 3_600.0, **options}
    world.settings = world.settings.model_copy(update=values)
    world.job(removal_guard=0.3)
    worker = await world.start()
    for person in PEOPLE:
        world.change(person, "enter", "vip", 1)
    await worker.rest()


def removed(world: World) -> list[str]:
    """Who is in no audience on the list."""
    return [person for person in PEOPLE if not world.options(person)]


def waiting(world: World) -> int:
    """How many people `job confirm-removals` reports."""
    assert world.worker is not None
    state = world.worker.state
    rows = [
        (key.decode(), decode(value))
        for rows in world.log.rows.values()
        for key, (value, _) in rows.items()
        if value and not key.startswith(b"\x00")
    ]
    return removals_due(rows, state.exports.lists[world.list_id], state.names)


async def everybody_leaves(world: World, at: int = 2) -> None:
    """All of them exit."""
    assert world.worker is not None
    for person in PEOPLE:
        world.change(person, "exit", "vip", at)
    await world.worker.consume()
    await asyncio.sleep(10)


async def _windows_pass(world: World) -> None:
    await everybody_is_in(world)
    await everybody_leaves(world)
    for _ in range(2):
        world.pass_time(7_200)
        await asyncio.sleep(16)
    assert len(removed(world)) == 3
    assert "confirm" in str(world.attention["job-1"])


async def test_windows_that_pass_let_nobody_else_through(world: World) -> None:
    await _windows_pass(world)


async def test_sabotage_of_the_trip(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(RemovalGuard, "attention", None)
    with pytest.raises(AssertionError):
        await _windows_pass(world)


async def _restarts(world: World) -> None:
    """Two leave, the worker ends, all leave: what was counted before counts, also after the trip."""
    await everybody_is_in(world)
    for person in PEOPLE[:2]:
        world.change(person, "exit", "vip", 2)
    assert world.worker is not None
    await world.worker.rest()
    for _ in range(2):
        await asyncio.sleep(2.0)  # a checkpoint holds how many people there are
        await world.worker.crash()
        await world.start()
        await everybody_leaves(world, 3)
    assert len(removed(world)) <= 3


async def test_restarts_forget_nothing(world: World) -> None:
    await _restarts(world)
    assert len(removed(world)) == 3


async def test_sabotage_of_the_guard_s_records(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(GuardRecords, "merge", lambda self, key, value: None)
    with pytest.raises(AssertionError):
        await _restarts(world)


async def test_a_crash_between_counting_and_removing_never_lets_more_through(world: World) -> None:
    await everybody_is_in(world)
    assert world.worker is not None
    for person in PEOPLE:
        world.change(person, "exit", "vip", 2)
    for effects in range(1, 12):
        with contextlib.suppress(Revoked):
            world.worker.process.kill_at = world.worker.process.effects + effects
            await world.worker.consume()
            await asyncio.sleep(2.0)
        await world.worker.crash()
        await world.start()
    await asyncio.sleep(18)
    assert len(removed(world)) <= 3
    assert "confirm" in str(world.attention["job-1"])


async def test_a_confirmation_covers_who_waits_and_then_the_count_begins_again(world: World) -> None:
    await everybody_is_in(world)
    assert waiting(world) == 0
    await everybody_leaves(world)
    assert waiting(world) == len(PEOPLE) - 3
    world.confirm_removals()
    assert world.worker is not None
    await world.worker.rest()
    assert removed(world) == PEOPLE
    assert waiting(world) == 0
    assert world.attention["job-1"] is None
    for person in PEOPLE:
        world.change(person, "enter", "vip", 5)
    await world.worker.rest()
    await everybody_leaves(world, 6)
    assert len(removed(world)) == 3
    assert "confirm" in str(world.attention["job-1"])


async def test_a_confirmation_does_not_cover_what_an_edit_removes_later(world: World) -> None:
    await everybody_is_in(world)
    await everybody_leaves(world)
    world.confirm_removals()
    assert world.worker is not None
    await world.worker.rest()
    for person in PEOPLE:
        world.change(person, "enter", "eu", 5)
    await world.worker.rest()
    world.change_job(audiences=["nobody-is-in-this"])
    await asyncio.sleep(18)
    assert len(removed(world)) == 3


async def test_after_a_restart_the_attention_goes_with_the_confirmation(world: World) -> None:
    await everybody_is_in(world)
    await everybody_leaves(world)
    assert world.worker is not None
    await world.worker.crash()
    world.attention.clear()
    world.change_job(attention=None)
    worker = await world.start()
    await asyncio.sleep(5)
    assert "confirm" in str(world.attention["job-1"])
    await worker.crash()
    world.confirm_removals()
    worker = await world.start()
    await worker.rest()
    assert world.attention["job-1"] is None
    assert removed(world) == PEOPLE


# -- several workers


class Shared:
    """A topic that workers read with a delay: each merges what the others wrote when `deliver` is called."""

    def __init__(self, workers: int, share: float, minimum: int, partitions: int = 8) -> None:
        self.records: list[Output] = []
        self.now = 1_000_000_000
        values = {"guard_minimum": minimum, "guard_window_seconds": 3_600.0}
        self.workers: list[tuple[ExportState, GuardRecords, RemovalGuard]] = []
        for number in range(workers):
            state = ExportState(partitions=partitions)
            records = GuardRecords("state", self, f"run-{number}")
            options = ExportSettings(_env_file=None, **values)  # type: ignore[arg-type]
            guard = RemovalGuard("list", state, records, options, Clocks(wall=lambda: self.now))
            state.exports = compile_exports([_job(share)], AudienceNames(), {})
            self.workers.append((state, records, guard))
        for partition in range(partitions):
            owned = OwnedPartition(partition, 1, None)  # type: ignore[arg-type]
            owned.receipts.people["list"] = 100
            self.workers[partition % workers][0].owned[partition] = owned

    async def publish_all(self, outputs: Any) -> None:
        """Keep records."""
        self.records += outputs

    def deliver(self) -> None:
        """Everybody reads everything."""
        for _, records, _ in self.workers:
            for record in self.records:
                records.merge(record.key or b"", record.value or b"")


def _job(share: float) -> Any:
    now = datetime(2026, 1, 1, tzinfo=UTC)
    return ExportJob(
        id="job", authorization_id="a", client_id="c", list_id="list", created_at=now, updated_at=now, started_at=now,
        removal_guard=share,
    )  # fmt: skip


def _leaving(count: int) -> list[Any]:
    desired = SimpleNamespace(present=False, on_exit="keep")
    return [
        SimpleNamespace(
            done=False,
            state=SimpleNamespace(desired=desired),
            route=None,
            held=Held(address="x", audiences=["vip"]),
            person=SimpleNamespace(key=(0, b"%d" % number), removal_counted=False, attempt=AttemptState()),
            appended=0,
        )
        for number in range(count)
    ]


REQUESTS = st.lists(st.tuples(st.integers(0, 3), st.integers(1, 40), st.booleans()), min_size=1, max_size=40)


@settings(max_examples=40, deadline=None)
@given(requests=REQUESTS, workers=st.integers(1, 4), share=st.floats(0.05, 0.5))
def test_workers_count_together_and_exceed_the_share_by_a_request_each_at_most(
    requests: list[tuple[int, int, bool]], workers: int, share: float
) -> None:
    shared = Shared(workers, share, minimum=10)
    let_go = max_unseen = 0

    async def play() -> None:
        nonlocal let_go, max_unseen
        unseen: dict[int, int] = {}
        for number, count, delivered in requests:
            worker = number % workers
            _, _, guard = shared.workers[worker]
            writes = _leaving(count)
            held = await guard.held_back(writes)
            let_go += count - len(held)
            unseen[worker] = unseen.get(worker, 0) + count - len(held)
            max_unseen = max(max_unseen, sum(unseen.values()) - max(unseen.values()))
            if delivered:
                shared.deliver()
                unseen.clear()

    asyncio.run(play())
    people = 800
    assert let_go <= max(10, share * (people + let_go)) + max_unseen + 1
    assert all((record.key or b"").startswith(GUARD) for record in shared.records)


async def test_another_worker_stops_with_the_first(world: World) -> None:
    shared = Shared(2, 0.1, minimum=10)
    (_, _, first), (_, _, second) = shared.workers
    assert len(await first.held_back(_leaving(200))) > 0
    assert first.attention is not None
    shared.deliver()
    assert second.attention == first.attention
    assert len(await second.held_back(_leaving(1))) == 1


async def test_removals_at_rest_are_counted_in_few_writes(world: World) -> None:
    shared = Shared(1, 0.5, minimum=10)
    _, _, guard = shared.workers[0]
    for _ in range(200):
        assert not await guard.held_back(_leaving(1))
    assert len(shared.records) <= 12
