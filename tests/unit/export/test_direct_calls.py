"""Calls that a batch makes before its rows are written: one write for each change, and nothing lost or sent twice."""

import asyncio
import contextlib
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

import pytest

from streams.batches import Batch, NotDelivered, Revoked
from streams.batches import Row as TableRow
from streams.export.rules.routing import RequestKind, RequestRoute
from streams.export.rules.row import MembershipRow
from streams.export.sending import direct_calls
from streams.export.sending.direct_answers import DirectAnswers
from streams.export.sending.direct_calls import DirectBatch
from streams.export.sending.queue import QueuedPerson, SendQueue
from streams.export.table import CHECKPOINT_KEY
from tests.unit.export.export_world import Worker, World

PEOPLE = [f"p{number}@example.com" for number in range(12)]


@pytest.fixture
def _patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """The test's clock is fast, and its machine may not be."""
    monkeypatch.setattr(direct_calls, "ANSWER_SECONDS", 60.0)


async def _begin(world: World, **job: Any) -> Worker:
    world.min_people = 1
    world.job(**job)
    worker = await world.start()
    world.change("warm@example.com", "enter", "vip", 0)  # the field and the option are made
    await worker.rest()
    return worker


def _outcomes(world: World) -> Counter[str]:
    return Counter(receipt["outcome"] for receipt in world.receipts() if not receipt["email"].startswith("warm"))


def _imports(world: World) -> int:
    return int(world.controls.summary()["calls"]["POST /subscribers/{listid}/import"])


def _count_writes(worker: Worker, monkeypatch: pytest.MonkeyPatch) -> Counter[bytes]:
    written: Counter[bytes] = Counter()
    original = worker.process.write_rows

    async def write_rows(partition: int, generation: int, rows: Iterable[TableRow[MembershipRow]], *more: Any) -> None:
        rows = list(rows)
        written.update(row.key for row in rows)
        await original(partition, generation, rows, *more)

    blobs = worker.process.write_blobs

    async def write_blobs(
        partition: int, generation: int, rows: Sequence[tuple[bytes, bytes]], batch: Batch | None = None
    ) -> None:
        written.update(key for key, _ in rows)
        await blobs(partition, generation, rows, batch)

    monkeypatch.setattr(worker.process, "write_rows", write_rows)
    monkeypatch.setattr(worker.process, "write_blobs", write_blobs)
    return written


@pytest.mark.usefixtures("_patient")
async def test_each_change_costs_one_row_and_one_receipt(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    worker = await _begin(world)
    for at, audience in enumerate(("vip", "eu"), 1):
        written = _count_writes(worker, monkeypatch)
        for person in PEOPLE:
            world.change(person, "enter", audience, at)
        await worker.rest()
        del written[CHECKPOINT_KEY]
        assert written == Counter({person.encode(): 1 for person in PEOPLE})
    assert _outcomes(world) == {"added": 12, "updated": 12}
    assert [world.options(person) for person in PEOPLE] == [["EU", "VIP"]] * 12


async def test_few_people_go_with_those_of_other_partitions(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    world.job()
    worker = await world.start()
    written = _count_writes(worker, monkeypatch)
    for person in PEOPLE:
        world.change(person, "enter", "vip", 1)
    await worker.rest()
    assert written[PEOPLE[0].encode()] == 2


@pytest.mark.usefixtures("_patient")
async def test_who_is_refused_in_a_call_has_the_refusal_and_no_second_call(world: World) -> None:
    worker = await _begin(world)
    world.controls.add_subscriber(world.list_id, PEOPLE[0])
    world.controls.unsubscribe(world.list_id, PEOPLE[0])
    before = _imports(world)
    for person in PEOPLE:
        world.change(person, "enter", "vip", 1)
    await worker.rest()
    assert world.outcomes(PEOPLE[0]) == ["refused unsubscribed"]
    assert _outcomes(world) == {"added": 11, "refused": 1}
    assert _imports(world) - before <= world.log.partitions + 1  # who was refused is sent again, alone


async def _slow(world: World) -> Worker:
    world.timeout_seconds = 60.0
    worker = await _begin(world)
    world.slow_down(30)
    for person in PEOPLE:
        world.change(person, "enter", "vip", 1)
    await worker.consume()
    return worker


async def test_a_list_that_answers_slowly_holds_the_batch_for_seconds_only(world: World) -> None:
    worker = await _slow(world)
    assert all(opened.queue.in_flight for opened in worker.state.open.values())
    await worker.rest()
    assert _outcomes(world) == {"added": 12}
    writes = [write["email"] for write in world.controls.writes()]
    assert len(writes) == len(set(writes)) == 13


@pytest.mark.usefixtures("_patient")
async def test_a_job_that_is_edited_meanwhile_is_looked_at_again(world: World) -> None:
    worker = await _begin(world)
    world.slow_down(3)
    for person in PEOPLE:
        world.change(person, "enter", "vip", 1)
    consuming = asyncio.create_task(worker.consume())
    while not any(opened.direct.room.locked() or opened.queue.in_flight for opened in worker.state.open.values()):
        await asyncio.sleep(0.05)
        if _imports(world) > 1:
            break
    world.change_job(custom_field_name="Groups")
    await consuming
    await worker.rest()
    assert [world.options(person, "Groups") for person in PEOPLE] == [["VIP"]] * 12
    assert sum(_outcomes(world).values()) == 12


async def _killed_at_every_effect(world: World) -> None:
    """Kill the worker at each effect of a batch in turn; nobody's automation is started twice."""
    worker = await _begin(world, queue_autoresponders=True)
    for effects in range(1, 16):
        people = [f"k{effects}-{number}@example.com" for number in range(4)]
        for person in people:
            world.change(person, "enter", "vip", 1)
        worker.process.kill_at = worker.process.effects + effects
        with contextlib.suppress(Revoked):
            await worker.consume()
        await worker.crash()
        worker = await world.start()
        await worker.rest()
    ids = [receipt["event_id"] for receipt in world.receipts()]
    assert len(ids) == len(set(ids)), "a receipt was published twice"
    assert len(ids) == 61, "a change has no receipt"
    writes = Counter(write["email"] for write in world.controls.writes() if write.get("kind") != "read")
    assert max(writes.values()) == 1, "somebody was imported twice"


async def test_each_change_has_one_receipt_wherever_the_worker_is_killed(world: World) -> None:
    await _killed_at_every_effect(world)


async def test_sabotage_of_the_note(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    async def nothing(self: DirectBatch, list_id: str) -> None:
        self._noted.add(list_id)

    monkeypatch.setattr(DirectBatch, "_note", nothing)
    with pytest.raises(AssertionError, match="imported twice"):
        await _killed_at_every_effect(world)


async def test_sabotage_of_reading_the_note(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(DirectBatch, "note_repeated", lambda *_: None)
    with pytest.raises(AssertionError, match="imported twice"):
        await _killed_at_every_effect(world)


@pytest.mark.usefixtures("_patient")
async def test_a_batch_whose_receipts_are_not_acknowledged_comes_again(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was sent is not sent again, and nobody has two receipts."""
    worker = await _begin(world, queue_autoresponders=True)
    publish, failed = worker.process.publish_all, []

    async def lost(outputs: Any) -> None:
        await publish(outputs)
        if outputs and outputs[0].topic == "audience-delivery" and not failed:
            failed.append(True)
            raise NotDelivered("not acknowledged")

    monkeypatch.setattr(worker.process, "publish_all", lost)
    for person in PEOPLE:
        world.change(person, "enter", "vip", 1)
    await worker.rest()
    assert failed
    ids = [receipt["event_id"] for receipt in world.receipts()]
    assert len(ids) == len(set(ids)) == 13
    writes = Counter(write["email"] for write in world.controls.writes())
    assert max(writes.values()) == 1


@pytest.mark.usefixtures("_patient")
@pytest.mark.parametrize("what", ["receipts", "rows"])
async def test_a_batch_that_failed_after_a_call_gives_no_receipt_of_folding_twice(
    world: World, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    """Three parts: somebody whose change is replaced, which has its receipt at once, and people for two calls."""
    world.import_size = 6
    worker = await _begin(world)
    replaced = "warm@example.com"
    for at in (1, 2):
        world.change(replaced, "enter", "eu", at)
    for person in PEOPLE:
        world.change(person, "enter", "vip", 3)
    settled, failed = DirectAnswers.settle_flat, []

    async def fails(self: DirectAnswers, *values: Any) -> None:
        if what != "receipts" or failed:
            await settled(self, *values)
        if not failed:
            failed.append(True)
            raise NotDelivered("not acknowledged")

    monkeypatch.setattr(DirectAnswers, "settle_flat", fails)
    await worker.rest()
    assert failed
    ids = Counter(receipt["event_id"] for receipt in world.receipts())
    assert max(ids.values()) == 1
    assert len(ids) == 1 + 2 + len(PEOPLE)


async def test_a_call_in_a_stopped_job_s_name_is_known_when_it_starts_again(world: World) -> None:
    worker = await _begin(world, queue_autoresponders=True)
    for person in PEOPLE:
        world.change(person, "enter", "vip", 1)
    worker.process.kill_at = worker.process.effects + 2  # the notes; then the calls, and no receipt
    with contextlib.suppress(Revoked):
        await worker.consume()
    await worker.crash()
    world.change_job(state="stopped")
    worker = await world.start()
    await worker.rest()
    world.change_job(state="running")
    await worker.rest()
    assert sum(_outcomes(world).values()) == 12
    writes = Counter(write["email"] for write in world.controls.writes())
    assert max(writes.values()) == 1


def test_an_answer_of_a_request_that_is_not_the_queue_s_changes_nothing() -> None:
    queue, key = SendQueue(), (0, b"a@example.com")
    queue.touch(key, 0.0)
    assert queue.next_batch(0.0, 1, 1) is not None
    other = QueuedPerson(key, live=True, since=0.0)
    queue.retry_at(other, 1.0)
    queue.requeue(other, RequestRoute(RequestKind.IMPORT))
    assert queue.has_request(key)
    assert queue.next_batch(2.0, 1, 1) is None


async def test_people_who_need_a_call_each_do_not_keep_a_batch_waiting(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While hundreds leave, one call each, a batch of others gets its turn."""
    monkeypatch.setattr(direct_calls, "ANSWER_SECONDS", 30.0)
    worker = await _begin(world)
    leaving = [f"l{number}@example.com" for number in range(60)]
    for person in leaving:
        world.change(person, "enter", "vip", 1)
    await worker.rest()
    world.slow_down(1.8)
    for person in leaving:
        world.change(person, "exit", "vip", 2)
    await worker.consume()
    for person in PEOPLE:
        world.change(person, "enter", "vip", 3)
    await worker.consume()
    answered = [world.outcomes(person) for person in PEOPLE]
    left = sum(world.options(person) == ["VIP"] for person in leaving)
    assert answered == [["added"]] * 12
    assert left > 20, "the batch waited for everybody who leaves"
    await worker.rest()
    assert [world.options(person) for person in PEOPLE] == [["VIP"]] * 12


@pytest.mark.usefixtures("_patient")
async def test_receipts_that_a_paused_broker_appends_late_are_not_published_again(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The request timed out, and is in the topic only after the end was read for the first time."""
    worker = await _begin(world)
    publish, late = worker.process.publish_all, []

    async def stays_in_the_socket(outputs: Any) -> None:
        if outputs and outputs[0].topic == "audience-delivery" and not late:
            late.extend(outputs)
            asyncio.get_running_loop().call_later(
                0.5, lambda: [world.log.append(output, world.wall()) for output in late]
            )
            raise NotDelivered("timed out")
        await publish(outputs)

    monkeypatch.setattr(worker.process, "publish_all", stays_in_the_socket)
    for person in PEOPLE:
        world.change(person, "enter", "vip", 1)
    await worker.rest()
    await asyncio.sleep(1.0)
    assert late
    ids = [receipt["event_id"] for receipt in world.receipts()]
    assert len(ids) == len(set(ids)) == 13


def test_people_who_need_a_call_alone_do_not_hold_up_an_import() -> None:
    queue = SendQueue()
    leaving, entering = [(0, b"l%d@example.com" % i) for i in range(8)], [(0, b"e%d@example.com" % i) for i in range(3)]
    for key in leaving:
        queue.touch(key, 0.0)
    guessed = queue.next_batch(0.0, 1, 1)
    assert guessed is not None
    for person in guessed.people:
        queue.requeue(person, RequestRoute(RequestKind.UPDATE))
    for key in entering:
        queue.touch(key, 1.0)

    def taken(now: float) -> int:
        batch = queue.next_batch(now, 1, 1)
        return 0 if batch is None else len(batch.people)

    assert [taken(1.0), taken(1.2)] == [1, 1]  # the import may gather for a moment
    assert [taken(1.3), taken(1.4)] == [3, 1]
    for number, key in enumerate(entering):
        queue.done(key, 1.5)
        queue.touch((1, key[1]), 1.5 + number)
    queue._limit = 1
    assert [len(queue.next_batch(9.0, 1, 1).people) for _ in range(4)] == [1, 1, 1, 1]
    assert (
        sum(person.route.kind is RequestKind.UPDATE for person in queue.people() if not queue.has_request(person.key))
        == 3
    )
