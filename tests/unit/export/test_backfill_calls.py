"""Backfills: a step of the scan is one call, its rows are written once, and nothing is lost or sent twice."""

import asyncio
import contextlib
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from streams.batches import Revoked
from streams.export.recovery import partitions, scan
from streams.export.recovery.partitions import Partitions
from streams.export.sending import scan_sends
from streams.export.sending.scan_calls import ScanCalls
from tests.unit.export.export_world import Worker, World

PEOPLE = [f"p{number:02}@example.com" for number in range(12)]
STEP = 4


@pytest.fixture(autouse=True)
def _small_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scan, "STEP", STEP)


async def _warm(world: World, **job: Any) -> Worker:
    """A worker whose list's field and options are known; nobody else is on the list."""
    world.min_people = 1
    world.job(existing_users=True, audiences=["other"], **job)
    world.change("warm@example.com", "enter", "other", 0)
    world.change("warm@example.com", "enter", "vip", 0)
    worker = await world.start()
    await worker.rest()
    return worker


def _widen(world: World) -> None:
    world.change_job(audiences=["other", "vip"])


def _flat_calls(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many people each call of a backfill had."""
    sizes: list[int] = []
    original = scan_sends.ScanSends.send

    async def send(self: Any, call: Any, request: Any) -> None:
        sizes.append(len(call.people))
        await original(self, call, request)

    monkeypatch.setattr(scan_sends.ScanSends, "send", send)
    return sizes


def _outcomes(world: World) -> Counter[str]:
    return Counter(receipt["outcome"] for receipt in world.receipts() if not receipt["email"].startswith("warm"))


def _check(world: World, people: Sequence[str] = PEOPLE, *, once: bool = True) -> None:
    """Each change has one receipt, and everybody was imported (`once`)."""
    ids = [receipt["event_id"] for receipt in world.receipts()]
    assert len(ids) == len(set(ids)), "a receipt was published twice"
    answered = Counter(receipt["email"] for receipt in world.receipts())
    assert all(answered[person] == 1 for person in people), "a change has no receipt"
    assert [world.options(person) for person in people] == [["VIP"]] * len(people)
    writes = Counter(write["email"] for write in world.controls.writes() if write.get("kind") != "read")
    assert not once or all(writes[person] == 1 for person in people), "somebody was imported twice"


async def test_a_step_is_one_call_and_each_person_one_row(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    worker = await _warm(world)
    for person in PEOPLE:
        world.change(person, "enter", "vip", 1)
    await worker.rest()
    assert not _outcomes(world)
    sizes = _flat_calls(monkeypatch)
    written: Counter[bytes] = Counter()
    original = worker.process.write_blobs

    async def write(partition: int, generation: int, rows: Any, *more: Any) -> None:
        written.update(key for key, _ in rows)
        await original(partition, generation, rows, *more)

    monkeypatch.setattr(worker.process, "write_blobs", write)
    _widen(world)
    await worker.rest()
    _check(world)
    assert sum(sizes) == len(written) >= len(PEOPLE) - 2 * STEP
    assert set(written.values()) == {1}


async def _until(holds: Callable[[], bool], seconds: float = 120.0) -> None:
    async with asyncio.timeout(seconds):
        while not holds():  # noqa: ASYNC110 - the world wakes nobody
            await asyncio.sleep(0.05)


def _arm(worker: Worker, monkeypatch: pytest.MonkeyPatch, effects: int) -> None:
    """Kill the worker so many effects after its first call of a backfill is planned."""
    original, armed = ScanCalls.plan, []

    def plan(self: ScanCalls, *arguments: Any) -> Any:
        step = original(self, *arguments)
        if step.call is not None and not armed:
            armed.append(True)
            worker.process.kill_at = worker.process.effects + effects
        return step

    monkeypatch.setattr(ScanCalls, "plan", plan)


async def _killed(world: World, monkeypatch: pytest.MonkeyPatch, rounds: Sequence[int]) -> None:
    """Kill the worker at effects of a backfill's first calls in turn; nobody's automation is started twice."""
    world.min_people = 1
    world.job(existing_users=True, audiences=["other"], queue_autoresponders=True)
    everybody: dict[int, list[str]] = {}
    for effects in rounds:
        everybody[effects] = [f"k{effects:02}-{number:02}@example.com" for number in range(10)]
        for person in everybody[effects]:
            world.change(person, "enter", f"a{effects}", 1)
    worker = await world.start()
    await worker.rest()
    for effects, people in everybody.items():
        with monkeypatch.context() as patch:
            _arm(worker, patch, effects)
            world.change_job(audiences=["other", *(f"a{number}" for number in rounds if number <= effects)])
            with contextlib.suppress(Revoked):
                await _until(lambda: not worker.process.alive)  # noqa: B023 - awaited here
        await worker.crash()
        worker = await world.start()
        await worker.rest()
        answered = Counter(receipt["email"] for receipt in world.receipts())
        ids = [receipt["event_id"] for receipt in world.receipts()]
        assert len(ids) == len(set(ids)), "a receipt was published twice"
        assert all(answered[person] == 1 for person in people), "a change has no receipt"
        assert [world.options(person) for person in people] == [[f"A{effects}"]] * len(people)
    writes = Counter(write["email"] for write in world.controls.writes() if write.get("kind") != "read")
    assert max(writes.values()) == 1, "somebody was imported twice"


async def test_each_person_is_imported_once_wherever_the_worker_is_killed(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    await _killed(world, monkeypatch, range(1, 10))


async def test_sabotage_of_the_mark_and_the_note(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    original = Partitions.write_mark

    async def only_the_last(self: Partitions, owned: Any, list_id: str, mark: Any) -> None:
        if mark.after is None:
            await original(self, owned, list_id, mark)

    monkeypatch.setattr(Partitions, "write_mark", only_the_last)
    with pytest.raises(AssertionError, match="imported twice"):
        await _killed(world, monkeypatch, range(1, 4))


async def _left_under_way(world: World, monkeypatch: pytest.MonkeyPatch, *, crash: bool) -> list[list[str]]:
    """Everybody leaves while the call with them is under way; what the list holds of them at the end."""
    world.timeout_seconds = 60.0
    worker = await _warm(world, on_last_exit="keep")
    for person in PEOPLE:
        world.change(person, "enter", "vip", 1)
    await worker.rest()
    sizes = _flat_calls(monkeypatch)
    original, applied = scan_sends.ScanSends._record, asyncio.Event()

    async def late(self: Any, *arguments: Any, **options: Any) -> None:
        if not applied.is_set():
            applied.set()
            for person in PEOPLE:
                world.change(person, "exit", "vip", 2)
            await worker.consume()
            if crash:
                worker.process.alive = False
        await original(self, *arguments, **options)

    monkeypatch.setattr(scan_sends.ScanSends, "_record", late)
    _widen(world)
    await applied.wait()
    if crash:
        await worker.crash()
        worker = await world.start()
    await worker.rest()
    assert sizes
    return [world.options(person) or [] for person in PEOPLE]


@pytest.mark.parametrize("crash", [False, True])
async def test_who_leaves_under_way_is_taken_off(world: World, monkeypatch: pytest.MonkeyPatch, crash: bool) -> None:
    assert await _left_under_way(world, monkeypatch, crash=crash) == [[]] * len(PEOPLE)
    ids = [receipt["event_id"] for receipt in world.receipts()]
    assert len(ids) == len(set(ids))


async def test_sabotage_of_reading_the_note(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    async def nothing(*_: Any, **__: Any) -> None:
        return

    monkeypatch.setattr(partitions, "note_calls", nothing)
    assert ["VIP"] in await _left_under_way(world, monkeypatch, crash=True)


async def test_sabotage_of_looking_at_the_row_again(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    original = scan_sends.ScanSends._write

    async def write(self: Any, owned: Any, call: Any, people: Any, *more: Any) -> Any:
        call.stored = self._table.read_blobs(owned.number, [person.key for person in call.people])
        with monkeypatch.context() as patch:
            patch.setattr(type(self._queue), "changed_in_request", lambda *_: False)
            return await original(self, owned, call, people, *more)

    monkeypatch.setattr(scan_sends.ScanSends, "_write", write)
    assert ["VIP"] in await _left_under_way(world, monkeypatch, crash=False)


async def _crashed_twice(world: World, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Receipts, but no rows; then an owner who gets on with live changes, and gets no answer; the receipts' ids."""
    worker = await _warm(world)
    for person in PEOPLE:
        world.change(person, "enter", "vip", 1)
    await worker.rest()

    original = worker.process.write_blobs

    async def killed(partition: int, generation: int, rows: Any, *more: Any) -> None:
        worker.process.alive = False
        await original(partition, generation, rows, *more)

    monkeypatch.setattr(worker.process, "write_blobs", killed)
    _widen(world)
    await _until(lambda: not worker.process.alive)
    await worker.crash()
    world.controls.inject(kind="status", status=503, probability=1.0, count=None, path="/subscribers/*")
    worker = await world.start()
    world.change("warm@example.com", "enter", "more", 5)
    world.change("warm2@example.com", "enter", "more", 5)
    world.change("warm3@example.com", "enter", "more", 5)
    await worker.consume()
    await asyncio.sleep(5.0)  # checkpoints
    await worker.crash()
    world.controls.clear_faults()
    worker = await world.start()
    await worker.rest()
    return [receipt["event_id"] for receipt in world.receipts()]


async def test_receipts_of_rows_that_were_not_written_are_known_for_good(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    ids = await _crashed_twice(world, monkeypatch)
    assert len(ids) == len(set(ids))
    assert sum(_outcomes(world).values()) == len(PEOPLE)


async def test_sabotage_of_the_row_in_the_receipt(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scan_sends, "HELD", "export.other")
    ids = await _crashed_twice(world, monkeypatch)
    assert len(ids) > len(set(ids))


async def test_who_is_refused_has_the_refusal(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    worker = await _warm(world)
    for person in PEOPLE:
        world.change(person, "enter", "vip", 1)
    await worker.rest()
    sizes = _flat_calls(monkeypatch)
    for person in PEOPLE[::3]:
        world.controls.add_subscriber(world.list_id, person)
        world.controls.unsubscribe(world.list_id, person)
    _widen(world)
    await worker.rest()
    assert sizes
    assert _outcomes(world) == {"added": 8, "refused": 4}


async def test_a_list_that_fails_gets_its_backfill_later(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    worker = await _warm(world)
    for person in PEOPLE:
        world.change(person, "enter", "vip", 1)
    await worker.rest()
    original, failed = ScanCalls.plan, []

    def plan(self: ScanCalls, *arguments: Any) -> Any:
        step = original(self, *arguments)
        if step.call is not None and not failed:
            failed.append(True)
            world.controls.inject(kind="reset", after=True, count=2, path="/subscribers/*")
            world.controls.inject(kind="status", status=500, count=2, path="/subscribers/*")
        return step

    monkeypatch.setattr(ScanCalls, "plan", plan)
    _widen(world)
    await worker.rest()
    assert failed
    ids = [receipt["event_id"] for receipt in world.receipts()]
    assert len(ids) == len(set(ids))
    assert sum(_outcomes(world).values()) == len(PEOPLE)
    assert [world.options(person) for person in PEOPLE] == [["VIP"]] * len(PEOPLE)


async def _begun(world: World, monkeypatch: pytest.MonkeyPatch, count: int) -> tuple[Worker, list[str]]:
    """Begin a backfill of so many people; its first call is under way."""
    worker = await _warm(world)
    people = [f"p{number:02}@example.com" for number in range(count)]
    for person in people:
        world.change(person, "enter", "vip", 1)
    await worker.rest()
    world.slow_down(1.5)
    sizes = _flat_calls(monkeypatch)
    _widen(world)
    await _until(lambda: bool(sizes))
    return worker, people


async def test_a_partition_that_is_given_back_keeps_its_backfill(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    worker, people = await _begun(world, monkeypatch, 40)
    for partition in range(world.log.partitions):
        await worker.hand_over(partition)
    await worker.rest()
    _check(world, people, once=False)  # the next owner sends the scan's last steps again


async def test_a_live_change_waits_for_no_backfill(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    worker, people = await _begun(world, monkeypatch, 80)
    world.change("live@example.com", "enter", "vip", 3)
    await worker.consume()
    await _until(lambda: world.outcomes("live@example.com") == ["added"])
    assert sum(world.outcomes(person) == ["added"] for person in people) < 60
    await worker.rest()
    _check(world, people)
