"""faust-traps.md sections C and G: each trap either does not occur here, or what protects us is shown."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from confluent_kafka import Consumer as ConfluentConsumer
from confluent_kafka import ConsumerGroupTopicPartitions, KafkaError, KafkaException, TopicPartition
from confluent_kafka import Producer as ConfluentProducer
from confluent_kafka.admin import (
    AdminClient,
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    OffsetSpec,
    ResourceType,
)

from streams.batches import ExitCode, WrongTopic
from streams.batches.core import halt, killpoints
from streams.batches.core.batch import partition_of
from tests import kafka_io
from tests.deadline import eventually


def words(count: int) -> list[tuple[bytes, bytes]]:
    return [(b"k%d" % (i % 10), b"1") for i in range(count)]


class Killed(BaseException):
    """The process was killed here."""


# -- C: tables, changelogs, recovery


async def test_trap_c3_a_row_that_grows_too_large_is_refused_before_writing(counting) -> None:
    def fold(row: Any, records: Any) -> None:
        row.data["text"] = row.data.get("text", "") + records[-1].value.decode()

    app, table = counting.app(fold=fold, max_record_bytes=1000)
    await counting.produce([(b"k", b"x" * 700)])
    async with app.running():
        await app.settled()
        await counting.produce([(b"k", b"y" * 700), (b"other", b"z")])
        await app.settled()
        assert (await table.get(b"k")).data == {"text": "x" * 700}
        assert (await table.get(b"other")).data == {"text": "z"}
    (letter,) = await counting.dead_letters(1)
    assert dict(letter.headers)["dlq.stage"] == b"fold"
    assert app.metrics.value("cm_streams_batches_dead_letters_total", topic=counting.source, reason="row-size") == 1
    assert b"exceeds the limit of 1000 bytes" in dict(letter.headers)["dlq.reason"]


@pytest.mark.parametrize("point", ["after-changelog", "after-store", "after-settle"])
async def test_trap_c4_g6_a_death_between_two_effects_counts_nothing_twice_and_loses_nothing(
    counting, all_rows, monkeypatch, point: str
) -> None:
    """Stopped dead at the point (nothing after it happens), started again on the same disk, then on an empty one."""
    await counting.produce(words(100))
    app, _ = counting.app("dead")

    def stop_here(reached: str) -> None:
        if reached == point:
            raise Killed

    monkeypatch.setattr(killpoints, "hook", stop_here)
    dead = asyncio.Event()
    process = app.runtime._process

    async def dying(worker: Any, batch: Any) -> None:
        try:
            await process(worker, batch)
        except Killed:
            worker.begin_closing()
            dead.set()

    app.runtime._process = dying
    app.runtime.offsets_to_commit = dict  # a dead process commits nothing
    async with app.running():
        await asyncio.wait_for(dead.wait(), 20)
    monkeypatch.setattr(killpoints, "hook", None)
    assert all(offset <= 0 for offset in await counting.committed())
    app, table = counting.app("dead")
    async with app.running():
        await app.settled()
        same_disk = await all_rows(table)
    counting.wipe("dead")
    app, table = counting.app("dead")
    async with app.running():
        await app.settled()
        assert await all_rows(table) == same_disk
    assert {data for data, _ in same_disk.values()} == {'{"n": 10}'}


async def test_trap_c8_a_changelog_that_is_not_compacted_is_refused(counting) -> None:
    await asyncio.to_thread(
        kafka_io.create_topic, counting.bootstrap_servers, counting.changelog, 4, {"cleanup.policy": "delete"}
    )
    app, _ = counting.app()
    with pytest.raises(WrongTopic, match=r"cleanup.policy 'delete', wanted 'compact'"):
        await app.start()
    await app.producer.close(1)


async def test_trap_c9_recovery_ends_at_an_empty_or_emptied_changelog(counting, all_rows) -> None:
    app, table = counting.app()
    async with app.running():
        await app.settled()
        assert await all_rows(table) == {}
    await counting.produce(words(50))
    app, table = counting.app()
    async with app.running():
        await app.settled()
    admin = AdminClient({"bootstrap.servers": counting.bootstrap_servers})
    ends = admin.list_offsets({TopicPartition(counting.changelog, p): OffsetSpec.latest() for p in range(4)})
    tail = [TopicPartition(tp.topic, tp.partition, f.result().offset) for tp, f in ends.items()]
    _policy(admin, counting.changelog, "delete")  # the broker refuses to remove records of a compacted topic
    await eventually(lambda: _removed(admin, tail))
    _policy(admin, counting.changelog, "compact")
    counting.wipe()
    app, table = counting.app()
    async with app.running():
        await eventually(lambda: len(table.owned()) == 4)
        assert await all_rows(table) == {}


def _removed(admin: AdminClient, before: list[TopicPartition]) -> bool:
    """False while the new policy is not in force yet."""
    try:
        for future in admin.delete_records(before).values():
            future.result()
    except KafkaException as error:
        if error.args[0].code() != KafkaError.POLICY_VIOLATION:
            raise
        return False
    return True


def _policy(admin: AdminClient, topic: str, policy: str) -> None:
    entry = ConfigEntry("cleanup.policy", policy, incremental_operation=AlterConfigOpType.SET)
    resource = ConfigResource(ResourceType.TOPIC, topic, incremental_configs=[entry])
    admin.incremental_alter_configs([resource])[resource].result()


async def test_trap_c13_a_changelog_created_again_is_refused(counting, all_rows, monkeypatch) -> None:
    ends: list[int] = []
    monkeypatch.setattr(halt, "exit_process", ends.append)
    await counting.produce(words(50))
    app, table = counting.app()
    async with app.running():
        await app.settled()
        assert len(await all_rows(table)) == 10
    admin = AdminClient({"bootstrap.servers": counting.bootstrap_servers})
    admin.delete_topics([counting.changelog])[counting.changelog].result()
    await eventually(lambda: counting.changelog not in admin.list_topics(timeout=10).topics)
    app, table = counting.app()
    async with app.running():
        await eventually(lambda: ends)
        assert not table.owned(), "the store may be the last copy"
    assert set(ends) == {ExitCode.CONFIGURATION}


# -- G: record batches inside Faust


async def test_trap_g1_g3_our_consumer_never_asks_fausts_bookkeeping(counting) -> None:
    await counting.produce(words(100))
    app, _ = counting.app(max_batch_records=7)
    async with app.running():
        await app.settled()
        consumer = app.runtime.consumer
        assert not any(consumer._acked.values())
        assert not any(consumer._gap.values())
    assert sum(await counting.committed()) == 100


async def test_trap_g4_an_aborted_transaction_leaves_no_trace(counting) -> None:
    producer = _transactional(counting)
    producer.begin_transaction()
    for key, value in words(30):
        producer.produce(counting.source, value, key)
    producer.flush(10)
    producer.abort_transaction()
    producer.begin_transaction()
    producer.produce(counting.source, b"1", b"k1")
    producer.commit_transaction()
    app, table = counting.app()
    async with app.running():
        await app.settled()
        assert (await table.get(b"k1")).data == {"n": 1}
        assert await table.get(b"k2") is None


async def test_trap_g5_a_transactional_topic_at_rest_has_no_lag(counting) -> None:
    producer = _transactional(counting)
    producer.begin_transaction()
    for key, value in words(10):
        producer.produce(counting.source, value, key)
    producer.commit_transaction()
    app, _ = counting.app()
    async with app.running():
        await app.settled()
        watchdog = app.watchdog
        await eventually(lambda: _lag(app, watchdog) == 0)
    ends = {p: kafka_end(counting, p) for p in range(4)}
    assert await counting.committed() == [ends[p] for p in range(4)], "markers included"


def _lag(app: Any, watchdog: Any) -> float:
    watchdog.check()
    watchdog.lag.measure(app.metrics)
    return app.metrics.total("cm_streams_consumer_lag_records")


def kafka_end(counting: Any, partition: int) -> int:
    consumer = ConfluentConsumer({"bootstrap.servers": counting.bootstrap_servers, "group.id": "ends"})
    try:
        return int(consumer.get_watermark_offsets(TopicPartition(counting.source, partition), timeout=10)[1])
    finally:
        consumer.close()


def _transactional(counting: Any) -> ConfluentProducer:
    producer = ConfluentProducer(
        {
            "bootstrap.servers": counting.bootstrap_servers,
            "transactional.id": counting.group,
            "partitioner": "murmur2_random",
        }
    )
    producer.init_transactions(30)
    return producer


async def test_trap_g8_a_source_created_again_is_refused_with_topic_and_offsets(counting, ended, logged) -> None:
    await counting.produce(words(100))
    app, _ = counting.app()
    async with app.running():
        await app.settled()
    before = await counting.committed()
    admin = AdminClient({"bootstrap.servers": counting.bootstrap_servers})
    # The group's offsets outlive the topic when they are put back, as a backup or a mirror would do.
    admin.delete_topics([counting.source])[counting.source].result()
    await eventually(lambda: counting.source not in admin.list_topics(timeout=10).topics)
    await asyncio.to_thread(kafka_io.create_topic, counting.bootstrap_servers, counting.source, 4)
    offsets = [TopicPartition(counting.source, p, before[p]) for p in range(4)]
    admin.alter_consumer_group_offsets([ConsumerGroupTopicPartitions(counting.group, offsets)])[counting.group].result()
    app, _ = counting.app()
    async with app.running():
        await eventually(lambda: ended)
    assert ended[0] == ExitCode.CONFIGURATION
    assert counting.source in logged
    assert "was truncated or created again" in logged


async def test_trap_g8_records_removed_unread_are_an_alarm_with_a_count(counting, ended) -> None:
    app, _ = counting.app()
    await counting.produce([(b"k", b"1")] * 10)
    async with app.running():
        await app.settled()
    await counting.produce([(b"k", b"1")] * 10)
    partition = partition_of(b"k", 4)
    admin = AdminClient({"bootstrap.servers": counting.bootstrap_servers})
    for future in admin.delete_records([TopicPartition(counting.source, partition, 15)]).values():
        future.result()
    app, _ = counting.app()
    async with app.running():
        await eventually(lambda: ended)
    assert ended[0] == ExitCode.CONFIGURATION
    ended.clear()
    app, table = counting.app(on_lost_records="continue")
    async with app.running():
        await app.settled()
        assert app.metrics.total("cm_streams_batches_lost_records_total") == 5
        assert (await table.get(b"k")).data == {"n": 15}
    assert ended == []


async def test_trap_g11_a_record_in_another_keys_partition_is_published_again_in_its_own(counting, all_rows) -> None:
    right = partition_of(b"k", 4)
    await counting.produce([(b"k", b"1")], partition=(right + 1) % 4)
    await counting.produce([(b"k", b"1")])
    app, table = counting.app()
    async with app.running():
        await app.settled()
        await eventually(lambda: app.metrics.total("cm_streams_batches_misplaced_total") == 1)
        await app.settled()
        assert (await table.get(b"k")).data == {"n": 2}
        assert list(await all_rows(table)) == [b"k"]


async def test_trap_g11_changelog_records_go_to_the_sources_partition_whatever_the_key(counting) -> None:
    await counting.produce(words(50))
    app, _ = counting.app()
    async with app.running():
        await app.settled()
    read = await asyncio.to_thread(kafka_io.read_all, counting.bootstrap_servers, counting.changelog)
    assert len(read) >= 10
    assert all(record.partition == partition_of(record.key or b"", 4) for record in read)
