"""Chains run ahead: each read once, whatever order its own progress comes back in, and a group is one transaction."""

import asyncio
from datetime import UTC, datetime, timedelta

import pytest

from connectors.importer.chains import RunningChains
from connectors.importer.group import CommitGroup
from connectors.importer.tasks.page import TaskResult, progress_of
from connectors.importer.translated import ImportedRecord
from schemas.control import ImportJob
from schemas.import_task import ImportTask, key_of
from schemas.topics import TopicNames

NOW = datetime(2026, 3, 1, tzinfo=UTC)
JOB = ImportJob(id="j", authorization_id="a", client_id="c", created_at=NOW, updated_at=NOW)


def task(step: int = 0, chain: str = "a", run: int = 1, started: datetime = NOW) -> ImportTask:
    return ImportTask(job_id="j", run=run, chain=chain, step=step, kind="read", started_at=started)


class Executor:
    """Leads each chain through three steps; the first begins what `begins` holds for its chain."""

    def __init__(self) -> None:
        self.jobs = {"j": JOB}
        self.executed: list[tuple[str, int, int]] = []
        self.begins: dict[str, ImportTask] = {}
        self.may_read = asyncio.Event()
        self.may_read.set()

    def job(self, job_id: str) -> ImportJob | None:
        return self.jobs.get(job_id)

    def authorized_at(self, _authorization: str) -> datetime | None:
        return None

    def pages(self) -> "Executor":
        return self

    def discard(self) -> None:
        pass

    async def execute(self, step: ImportTask, _pages: object) -> TaskResult:
        await self.may_read.wait()
        self.executed.append((step.chain, step.run, step.step))
        result = TaskResult()
        if step.step == 0 and step.chain in self.begins:
            result.begin(self.begins[step.chain])
        done = step.step == 2
        following = step.model_copy(update={"step": step.step + 1})
        result.progress.append(progress_of(following, {"state": "done" if done else "open"}))
        return result


class Partition:
    """Keeps what chains publish."""

    def __init__(self, ours: bool = True) -> None:
        self.executor = Executor()
        self.published: list[TaskResult] = []
        self.chains = RunningChains(self.executor, self.published.append, self.room, lambda _job, _chain: ours)

    async def room(self) -> None:
        await asyncio.sleep(0)

    def echo(self) -> None:
        """Show on the topic all that was published."""
        for result in self.published:
            for record in result.progress:
                self.chains.merge(record, NOW)
        self.published.clear()


async def settled() -> None:
    for _turn in range(20):
        await asyncio.sleep(0)


async def test_a_chain_is_read_once_whenever_its_progress_is_seen():
    partition = Partition()
    partition.chains.merge(progress_of(task(), {}), NOW)
    await settled()
    partition.echo()
    await settled()
    partition.chains.merge(progress_of(task(3), {"state": "done"}), NOW)
    await settled()
    assert partition.executor.executed == [("a", 1, 0), ("a", 1, 1), ("a", 1, 2)]


@pytest.mark.parametrize("ours", [True, False])
async def test_a_chain_that_another_one_begins_is_read_here_only_if_it_is_ours(ours):
    partition = Partition(ours)
    partition.executor.begins["a"] = task(chain="b")
    partition.chains.start(task())
    await settled()
    partition.echo() if ours else None
    await settled()
    assert [chain for chain, _run, _step in partition.executor.executed].count("b") == (3 if ours else 0)


async def test_a_later_read_replaces_an_earlier_one_and_not_the_other_way_round():
    partition = Partition()
    partition.executor.may_read.clear()
    partition.chains.start(task())
    await settled()
    partition.chains.merge(progress_of(task(run=2, started=NOW + timedelta(minutes=1)), {}), NOW)
    partition.chains.merge(progress_of(task(2), {}), NOW)
    partition.executor.may_read.set()
    await settled()
    assert [run for _chain, run, _step in partition.executor.executed] == [2, 2, 2]


async def test_what_is_parked_goes_on_when_its_time_has_come_and_its_job_runs():
    partition = Partition()
    waits = progress_of(task(), {"state": "parked", "retry_at": NOW + timedelta(minutes=1)})
    partition.chains.merge(waits, NOW)
    partition.executor.jobs["j"] = JOB.model_copy(update={"state": "stopped"})
    stopped = progress_of(task(chain="b"), {"state": "parked"})
    partition.chains.merge(stopped, NOW)
    await settled()
    assert not partition.executor.executed
    partition.executor.jobs["j"] = JOB
    partition.chains.merge(waits, NOW + timedelta(minutes=1))
    partition.chains.merge(stopped, NOW)
    await settled()
    assert {chain for chain, _run, _step in partition.executor.executed} == {"a", "b"}


async def test_a_chain_that_ended_after_it_was_parked_is_not_read_again_while_the_topic_shows_it_parked():
    partition = Partition()
    parked = progress_of(task(1), {"state": "parked"})
    for _look in range(3):
        partition.chains.merge(parked, NOW)
        await settled()
    assert partition.executor.executed == [("a", 1, 1), ("a", 1, 2)]
    partition.echo()
    partition.chains.merge(progress_of(task(run=2, started=NOW + timedelta(1)), {}), NOW)
    await settled()
    assert [run for _chain, run, _step in partition.executor.executed] == [1, 1, 2, 2, 2]


async def test_chains_of_a_removed_job_are_not_read_and_hold_up_nobody():
    partition = Partition()
    for number in range(60):
        partition.chains.merge(
            progress_of(task(chain=f"removed{number}").model_copy(update={"job_id": "gone"}), {}), NOW
        )
    partition.chains.start(task())
    await asyncio.wait_for(settled(), 1)
    assert {chain for chain, _run, _step in partition.executor.executed} == {"a"}
    partition.executor.may_read.clear()
    partition.chains.start(task(chain="b"))
    await settled()
    partition.executor.jobs.clear()
    partition.chains.end_removed()
    partition.executor.may_read.set()
    await settled()
    assert "b" not in {chain for chain, _run, _step in partition.executor.executed}


def test_a_group_holds_all_rows_and_of_each_chain_the_last_step():
    group = CommitGroup()
    group.add(TaskResult([ImportedRecord("cm_activity", b"k", b"1")], [progress_of(task(1), {})]))
    group.add(TaskResult([], [progress_of(task(0, "b"), {})]))
    ended = progress_of(task(2), {"state": "done"})
    group.add(TaskResult([ImportedRecord("cm_user", b"k", b"2")], [ended], [b"mark:j:a"]))
    names = TopicNames("p-")
    out = [record[:3] for record in group.outgoing(names, 4)]
    assert out[:2] == [("p-cm_activity", b"k", b"1"), ("p-cm_user", b"k", b"2")]
    # The end of a chain comes after the beginning of those that it led to, or a run would seem over.
    assert [key for _topic, key, _value in out[2:]] == [b"chain:j:b", key_of(ended), b"mark:j:a"]
    assert out[3][2] == ended.to_bytes()
    assert out[4][2] is None
