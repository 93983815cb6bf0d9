"""A control topic as a table: what is held, what is refused, and what is written when."""

from datetime import UTC, datetime

import pytest

from connectors.control import jobs as control_jobs
from connectors.control import table
from connectors.control.jobs import (
    Jobs,
    UnknownJobError,
    chain_partition,
    home_partition,
    request_missed_changes,
    task_key,
)
from connectors.kafka.records import ConsumedRecord, Position
from connectors.kafka.settings import KafkaSettings
from schemas.control import ExportJob, ImportJob, WebhookRegistration
from schemas.import_task import ImportTask

NOW = datetime(2026, 1, 2, tzinfo=UTC)
LATER = datetime(2026, 1, 3, 4, 5, 6, 789_999, tzinfo=UTC)
JOB = ImportJob(id="i", authorization_id="a", client_id="c", created_at=NOW, updated_at=NOW)
EXPORT = ExportJob(
    id="e", authorization_id="a", client_id="c", list_id="l", created_at=NOW, updated_at=NOW, started_at=NOW
)


class FakeTopic:
    """A compacted topic and its producer in one: what is published is seen at once."""

    def __init__(self) -> None:
        self.published: list[tuple[str, bytes, bytes | None]] = []
        self.partitions: list[int | None] = []
        self.merge = None

    def view(self, _settings, _topic, on_change):
        self.merge = on_change
        return self

    async def start(self) -> None:
        """Nothing to read."""

    async def close(self) -> None:
        """Nothing to close."""

    async def publish(self, topic, key, value, *, partition=None) -> Position:
        offset = len(self.published)
        self.published.append((topic, key, value))
        self.partitions.append(partition)
        if self.merge is not None:
            self.merge(ConsumedRecord(topic, 0, offset, key, value, 0, ()))
        return Position(topic, 0, offset)

    async def wait_for(self, _position) -> None:
        """Seen already."""

    async def catch_up(self) -> None:
        """Seen already."""


@pytest.fixture
def topic(monkeypatch) -> FakeTopic:
    fake = FakeTopic()
    monkeypatch.setattr(table, "CompactedTopic", fake.view)
    return fake


@pytest.fixture
def jobs(topic) -> Jobs:
    return Jobs(KafkaSettings(), topic, clock=lambda: LATER)


async def test_a_write_is_what_everybody_reads(jobs):
    await jobs.put(JOB)
    changed = await jobs.set_state("i", "stopped")
    assert changed == jobs.known("i")
    assert changed.updated_at == LATER.replace(microsecond=789_000), "instants are cut to milliseconds"


async def test_a_change_to_the_same_writes_nothing(jobs, topic):
    await jobs.put(JOB)
    await jobs.set_attention("import", "i", None)
    await jobs.set_state("i", "running")
    assert len(topic.published) == 1


async def test_who_asks_for_attention_hides_neither_what_others_ask_nor_an_edit(topic):
    """Each has read the job as it was before, and all write at once."""
    processes = [Jobs(KafkaSettings(), topic, clock=lambda: LATER) for _process in range(4)]
    merges = [process._merge for process in processes]
    topic.merge = lambda record: [merge(record) for merge in merges]
    importer, webhooks, people, reader = processes
    await people.put(JOB)
    stale = topic.merge
    written = []
    topic.merge = written.append
    await importer.set_attention("import", "i", "could not be read")
    await webhooks.set_attention("webhooks", "i", "Webhooks: no URL")
    await people.set_state("i", "stopped")
    for record in written:
        stale(record)
    shown = reader.known("i")
    assert (shown.state, shown.attention) == ("stopped", "could not be read\nWebhooks: no URL")
    topic.merge = stale
    await webhooks.set_attention("webhooks", "i", None)
    assert reader.known("i").attention == "could not be read"
    assert reader.known("i").updated_at == people.known("i").updated_at
    job_records = [value for _topic, key, value in topic.published if key == b"i"]
    assert all(b"could not" not in value for value in job_records)
    await people.remove("i")
    await people.put(JOB)
    assert reader.known("i").attention is None, "a job that is created again begins without"


async def test_what_is_asked_for_is_shown_whichever_record_is_read_first(topic):
    """A compacted topic keeps the latest record of each key: a job may come behind what is asked for it."""
    changes = []
    jobs = Jobs(KafkaSettings(), topic, on_change=lambda job_id, job: changes.append((job_id, job and job.attention)))
    await topic.publish(
        "cm_jobs", b"attention:import:a:b", b'{"kind":"attention","job_id":"a:b","by":"import","text":"x"}'
    )
    await topic.publish("cm_jobs", b"attention:import:i", b"no json")
    await jobs.put(JOB.model_copy(update={"id": "a:b"}))
    await jobs.set_attention("export", "a:b", "y")
    await jobs.set_attention("import", "a:b", None)
    assert changes == [("a:b", "x"), ("a:b", "y\nx"), ("a:b", "y")]
    assert list(jobs.all()) == ["a:b"]


async def test_what_is_asked_for_while_the_job_is_removed_does_not_stay(topic):
    jobs = Jobs(KafkaSettings(), topic)
    await jobs.put(JOB)
    publish = topic.publish

    async def removed_before(name, key, value):
        topic.publish = publish
        await jobs.remove("i")
        return await publish(name, key, value)

    topic.publish = removed_before
    await jobs.set_attention("import", "i", "x")
    await jobs.put(JOB)
    assert jobs.known("i").attention is None


async def test_jobs_are_told_apart_by_kind_and_removed_by_a_tombstone(jobs, topic):
    await jobs.put(JOB)
    await jobs.put(EXPORT)
    assert (jobs.imports(), jobs.exports()) == ({"i": JOB}, {"e": EXPORT})
    await jobs.remove("e")
    assert topic.published[-1] == ("cm_jobs", b"e", None)
    with pytest.raises(UnknownJobError, match="There is no job e; there are: i"):
        await jobs.remove("e")


async def test_an_unreadable_record_keeps_the_model_before_it_and_calls_nobody(topic):
    changes = []
    jobs = Jobs(KafkaSettings(), topic, on_change=lambda job_id, job: changes.append((job_id, job)))
    await jobs.put(JOB)
    await topic.publish("cm_jobs", b"i", b"no json")
    await topic.publish("cm_jobs", b"\xff", b'{"kind": "export"}')
    assert jobs.all() == {"i": JOB}
    await jobs.remove("i")
    assert changes == [("i", JOB), ("i", None)]


async def test_without_a_producer_jobs_can_only_be_read(topic):
    jobs = Jobs(KafkaSettings())
    with pytest.raises(RuntimeError, match="cm_jobs was opened without a producer"):
        await jobs.put(JOB)


def test_a_job_has_one_home_whatever_process_asks():
    assert [home_partition(job, 16) for job in ("i", "imp", "a-job")] == [1, 11, 9]


async def test_missed_changes_are_requested_as_a_task_of_the_lists_first_job(topic, monkeypatch):
    monkeypatch.setattr(control_jobs, "partition_count", lambda _settings, _topic: 16)
    hook = WebhookRegistration(
        list_id="l",
        client_id="c",
        time_zone="",
        job_ids=["i", "j"],
        authorization_id="a",
        updated_at=NOW,
    )
    await request_missed_changes(KafkaSettings(), topic, hook, NOW, [])
    ((name, key, value),) = topic.published
    task = ImportTask.from_bytes(value)
    assert (name, key) == ("cm_import_tasks", b"i:gap/l")
    assert task_key(task) == key
    assert topic.partitions == [chain_partition("i", "gap/l", 16)], "who reads the chain orders what is asked for it"
    assert task.client_id == "c"
    assert (task.kind, task.list_ids, task.since, task.group) == ("gap", ["l"], "2026-01-02T00:00:00.000Z", "list l")
