"""Whatever an agent raises: records are done, or dead-lettered, or the range does not settle. Jobs take turns."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from structlog.testing import capture_logs

from connectors.kafka.settings import KafkaSettings
from streams.batches import (
    MOVED_FROM,
    Batch,
    BatchSettings,
    DeadLetter,
    FatalError,
    Output,
    PoisonRecord,
    Revoked,
    StoredRecord,
    TopicIncarnation,
    TransientError,
    partition_of,
)
from streams.batches.consume.attempt import Attempts, backoff_seconds
from streams.batches.consume.partition_worker import PartitionWorker

SOURCE = TopicIncarnation("t", 1)


@pytest.fixture
def settings(tmp_path) -> BatchSettings:
    return BatchSettings(
        app_id="a",
        kafka=KafkaSettings(bootstrap_servers="x:1"),
        data_dir=tmp_path,
        partitions=1,
        retry_first_seconds=0.001,
        retry_longest_seconds=0.01,
    )


class Ledger:
    """What became of the records."""

    def __init__(self) -> None:
        self.done: list[int] = []
        self.letters: list[DeadLetter] = []
        self.moved: list[Output] = []
        self.retries = 0

    async def keep(self, letters) -> None:
        self.letters += letters

    async def move(self, records) -> None:
        self.moved += records


def attempts(
    ledger: Ledger,
    agent,
    settings: BatchSettings,
    count: int = 8,
    closing: asyncio.Event | None = None,
    publish=None,
    **more,
) -> Attempts:
    batch = Batch(SOURCE, 0, [StoredRecord(i, b"k%d" % i, b"") for i in range(count)], generation=3)

    def retried(error: BaseException, attempt: int) -> None:
        ledger.retries += 1

    return Attempts(
        batch,
        agent,
        publish or ledger.keep,
        settings,
        publish_moved=ledger.move,
        closing=closing or asyncio.Event(),
        retried=retried,
        **more,
    )


async def test_a_record_is_moved_once_and_the_second_time_it_is_refused(settings: BatchSettings) -> None:
    ledger = Ledger()

    async def agent(batch: Batch) -> None:
        again = [StoredRecord(9, output.key, output.value, 0, output.headers) for output in ledger.moved]
        for record in again or batch.records[:1]:
            batch.move(record, b"other")

    await attempts(ledger, agent, settings).run()
    assert ledger.moved == [Output("t", b"other", b"", [(MOVED_FROM, b"t/0/0")], 0)]
    assert ledger.letters == []
    await attempts(ledger, agent, settings).run()
    assert len(ledger.moved) == 1
    assert [letter.stage for letter in ledger.letters] == ["partitioning"]


def test_a_key_is_held_where_the_partitioner_puts_it() -> None:
    for key in (b"k%d" % n for n in range(50)):
        holding = [n for n in range(7) if Batch(SOURCE, n, [StoredRecord(0, key, b"")], partitions=7).holds(key)]
        assert holding == [partition_of(key, 7)]


async def test_a_transient_error_runs_the_same_batch_again(settings: BatchSettings) -> None:
    ledger = Ledger()

    async def agent(batch: Batch) -> None:
        if batch.attempt < 4:
            raise TransientError("down")
        ledger.done += [r.offset for r in batch.records]

    await attempts(ledger, agent, settings).run()
    assert (ledger.done, ledger.letters, ledger.retries) == (list(range(8)), [], 3)


@pytest.mark.parametrize("error", [TimeoutError(), ConnectionResetError()])
async def test_the_usual_network_errors_are_transient(settings: BatchSettings, error: Exception) -> None:
    ledger = Ledger()

    async def agent(batch: Batch) -> None:
        if batch.attempt == 1:
            raise error

    await attempts(ledger, agent, settings).run()
    assert ledger.retries == 1


async def test_a_named_poison_record_is_taken_out(settings: BatchSettings) -> None:
    ledger = Ledger()

    async def agent(batch: Batch) -> None:
        for r in batch.records:
            if r.offset in (2, 5):
                raise PoisonRecord("bad", offset=r.offset, stage="parse")
        ledger.done += [r.offset for r in batch.records]

    await attempts(ledger, agent, settings).run()
    assert ledger.done == [0, 1, 3, 4, 6, 7]
    assert [(x.record.offset, x.stage, x.reason) for x in ledger.letters] == [(2, "parse", "bad"), (5, "parse", "bad")]


@pytest.mark.parametrize("bad", [{0}, {7}, {3, 4}, set(range(8)), {1, 6}])
async def test_a_defect_is_narrowed_down_to_its_records(settings: BatchSettings, bad: set[int]) -> None:
    ledger = Ledger()

    async def agent(batch: Batch) -> None:
        if bad & {r.offset for r in batch.records}:
            raise KeyError("defect")
        ledger.done += [r.offset for r in batch.records]

    await attempts(ledger, agent, settings).run()
    assert ledger.done == [i for i in range(8) if i not in bad], "in offset order"
    assert [x.record.offset for x in ledger.letters] == sorted(bad)
    assert all(x.reason == "KeyError: 'defect'" for x in ledger.letters)


async def test_a_defect_of_several_records_is_logged_once_with_its_place(settings: BatchSettings) -> None:
    """It may be one that no record of them has alone: then nothing else shows it."""

    async def agent(batch: Batch) -> None:
        if len(batch.records) > 2:
            raise RuntimeError("dictionary changed size during iteration")

    with capture_logs() as logs:
        await attempts(Ledger(), agent, settings).run()
    (line,) = logs
    assert (line["log_level"], line["batch"]) == ("error", "<Batch t[0] 0..7>")
    assert line["exc_info"]


async def test_dead_letters_are_tried_until_they_are_kept(settings: BatchSettings) -> None:
    ledger = Ledger()
    failures = 3

    async def keep(letters) -> None:
        nonlocal failures
        if failures:
            failures -= 1
            raise RuntimeError("dead letter topic is not writable")
        ledger.letters += letters

    async def agent(batch: Batch) -> None:
        batch.refuse(batch.records[0], "strange")

    await attempts(ledger, agent, settings, publish=keep).run()
    assert [x.record.offset for x in ledger.letters] == [0]


async def test_a_fatal_error_passes_at_once(settings: BatchSettings) -> None:
    async def agent(batch: Batch) -> None:
        raise FatalError("no")

    with pytest.raises(FatalError):
        await attempts(Ledger(), agent, settings).run()


async def test_poison_without_an_offset_is_a_fatal_mistake_not_a_guess(settings: BatchSettings) -> None:
    async def agent(batch: Batch) -> None:
        raise PoisonRecord("which?")

    with pytest.raises(FatalError, match="without the offset"):
        await attempts(Ledger(), agent, settings).run()


async def test_revocation_ends_the_wait_between_two_attempts(settings: BatchSettings) -> None:
    closing = asyncio.Event()
    slow = settings.model_copy(update={"retry_first_seconds": 60.0, "retry_longest_seconds": 60.0})

    async def agent(batch: Batch) -> None:
        asyncio.get_running_loop().call_soon(closing.set)
        raise TransientError("down")

    with pytest.raises(Revoked):
        await asyncio.wait_for(attempts(Ledger(), agent, slow, closing=closing).run(), 5)


async def test_a_long_failure_is_reported_and_taken_back(settings: BatchSettings) -> None:
    reported: list[str | None] = []
    clock = iter(range(0, 1000, 10))

    async def agent(batch: Batch) -> None:
        if batch.attempt < 6:
            raise TransientError("down")

    await attempts(Ledger(), agent, settings, stuck=reported.append, clock=lambda: next(clock)).run()
    assert reported[-1] is None
    assert any("down" in why for why in reported if why)


def test_backoff_grows_and_is_bounded() -> None:
    assert backoff_seconds(1, 0.1, 5, 0.0) == pytest.approx(0.05)
    assert backoff_seconds(1, 0.1, 5, 1.0) == pytest.approx(0.1)
    assert backoff_seconds(10_000, 0.1, 5, 1.0) == 5


class NamedBatch:
    generation = 1

    def __init__(self, name: str) -> None:
        self.name = name


async def test_neither_jobs_nor_batches_wait_for_all_of_the_others() -> None:
    done: list[str] = []

    async def process(worker: PartitionWorker, batch: Any) -> None:
        done.append(batch.name)

    async def job(name: str) -> None:
        done.append(name)

    worker = PartitionWorker(0, 1, process, lambda: None)
    jobs = [asyncio.create_task(worker.run(lambda n=n: job(f"job {n}"))) for n in range(3)]  # type: ignore[misc]
    await asyncio.sleep(0)
    for name in ("batch 0", "batch 1"):
        worker.put(NamedBatch(name))  # type: ignore[arg-type]
    await asyncio.gather(*jobs)
    await worker.idle()
    await worker.end()
    assert done == ["job 0", "batch 0", "job 1", "batch 1", "job 2"]
