"""faust-traps.md sections A, B and F: each trap either does not occur here, or what protects us is shown."""

from __future__ import annotations

import asyncio
import importlib
from typing import Any

import faust
import pytest
from aiokafka.partitioner import murmur2
from confluent_kafka import Producer as ConfluentProducer

from streams.batches import ExitCode, FatalError, TransientError, faust_app
from streams.batches.partitioning import partition_of
from streams.batches.topics import describe
from tests import kafka_io
from tests.deadline import eventually


def words(count: int) -> list[tuple[bytes, bytes]]:
    return [(b"k%d" % (i % 10), b"1") for i in range(count)]


async def test_trap_a1_an_exception_out_of_the_agent_acknowledges_nothing(counting, ended) -> None:
    app, _ = counting.app()
    tried = asyncio.Event()

    async def agent(batch: Any) -> None:
        tried.set()
        raise TransientError("down")

    app.runtime.batched[counting.source] = agent
    await counting.produce(words(100))
    async with app.running():
        await asyncio.wait_for(tried.wait(), 20)
        await app.runtime.consumer.commit()
    assert all(offset <= 0 for offset in await counting.committed())
    app, table = counting.app()
    async with app.running():
        await app.settled()
        assert sum(row.data["n"] for row in [await table.get(b"k%d" % i) for i in range(10)]) == 100
    assert ended == []


async def test_trap_a1_a_halt_ends_the_process_with_the_position_and_commits_nothing(counting, ended, told) -> None:
    app, _ = counting.app()

    async def agent(batch: Any) -> None:
        raise FatalError("credentials")

    app.runtime.batched[counting.source] = agent
    await counting.produce([(b"k", b"1")] * 3)
    async with app.running():
        await eventually(lambda: ended)
    assert ended[0] == ExitCode.FATAL
    assert f"{counting.source}[{partition_of(b'k', 4)}] 0..2" in told
    assert all(offset <= 0 for offset in await counting.committed())


async def test_trap_a2_a3_a4_leaving_the_faust_stream_settles_nothing(counting) -> None:
    """Faust acknowledges when the loop body ends, which here is when the batch is handed to its owner."""
    app, _ = counting.app()
    release, entered = asyncio.Event(), asyncio.Event()

    async def agent(batch: Any) -> None:
        entered.set()
        await release.wait()

    app.runtime.batched[counting.source] = agent
    await counting.produce(words(10))
    async with app.running():
        await asyncio.wait_for(entered.wait(), 20)
        await app.runtime.consumer.commit()
        assert all(offset <= 0 for offset in await counting.committed())
        release.set()
        await app.settled()
    assert sum(await counting.committed()) == 10


async def test_trap_a5_what_was_finished_is_committed_at_revocation_not_delivered_again(counting) -> None:
    seen: list[int] = []
    app, _ = counting.app(commit_interval_seconds=3600)
    agent = app.runtime.batched[counting.source]

    async def watched(batch: Any) -> None:
        await agent(batch)
        seen.append(len(batch))

    app.runtime.batched[counting.source] = watched
    await counting.produce(words(100))
    async with app.running():
        await eventually(lambda: sum(seen) == 100)
    assert sum(await counting.committed()) == 100


async def test_trap_a6_a_failed_commit_is_tried_again_without_new_records(counting) -> None:
    app, _ = counting.app()
    async with app.running():
        await app.settled()
        thread = app.runtime.consumer._thread
        commit, failures = thread._commit, 2

        async def fail_first(offsets: Any) -> bool:
            nonlocal failures
            if failures:
                failures -= 1
                return False
            return bool(await commit(offsets))

        thread._commit = fail_first
        await counting.produce(words(10))
        await app.settled()
        assert failures == 0
    assert sum(await counting.committed()) == 10


async def test_trap_a6_an_error_of_the_commit_request_does_not_crash_the_consumer(counting, ended) -> None:
    app, _ = counting.app()
    async with app.running():
        await app.settled()
        consumer = app.runtime.consumer._thread._consumer
        commit, failures = consumer.commit, 1

        async def broken(offsets: Any) -> None:
            nonlocal failures
            if failures:
                failures -= 1
                raise ConnectionError("cut")
            await commit(offsets)

        consumer.commit = broken
        await counting.produce(words(10))
        await app.settled()
    assert ended == []
    assert sum(await counting.committed()) == 10


def test_trap_a7_f7_the_compiled_iterator_is_installed() -> None:
    assert importlib.import_module("faust._cython.streams")
    assert importlib.import_module("faust.transport._cython.conductor")


async def test_trap_a9_undecodable_bytes_never_reach_faust(counting) -> None:
    app, _ = counting.app(fold=lambda row, records: [r.value.decode() for r in records] and None)
    await counting.produce([(b"\xff\xfe", b"\xff\xfe\x00"), (b"k", None), (b"k", b"")])
    async with app.running():
        await app.settled()
    letters = await counting.dead_letters(2)
    assert sorted((letter.key, letter.value) for letter in letters) == [(b"k", None), (b"\xff\xfe", b"\xff\xfe\x00")]


async def test_trap_a10_publish_returns_after_the_brokers_answer(counting) -> None:
    app, _ = counting.app()
    async with app.running():
        partition, offset = await app.producer.publish(counting.source, b"k", b"v")
        read = await asyncio.to_thread(kafka_io.read_all, counting.bootstrap_servers, counting.source)
        assert [(r.partition, r.offset) for r in read] == [(partition, offset)]


async def test_trap_b_exactly_once_is_off_and_settings_are_the_safe_ones(counting) -> None:
    app, _ = counting.app()
    conf = app.faust.conf
    assert conf.processing_guarantee.value == "at_least_once"
    assert not conf.stream_publish_on_commit
    assert not conf.topic_allow_declare
    assert conf.topic_disable_leader
    assert conf.table_standby_replicas == 0
    assert conf.stream_wait_empty
    assert conf.broker_max_poll_interval >= 3600
    assert not conf.producer_threaded


async def test_trap_e1_f4_no_web_server_and_the_group_member_reads_committed(counting) -> None:
    app, _ = counting.app()
    assert not app.faust.conf.web_enabled
    async with app.running():
        await app.settled()
        consumer = app.runtime.consumer._thread._consumer
        assert consumer._isolation_level == "read_committed"
        assert consumer._auto_offset_reset == "none"


async def test_trap_e6_faust_s_assignor_is_used_also_without_any_table(counting) -> None:
    app, _ = counting.app()
    app.runtime.takeover.tables.clear()
    app.runtime.batched[counting.source] = _nothing
    async with app.running():
        await app.settled()
        assert app.runtime.consumer._thread._consumer._coordinator._assignors == [app.faust.assignor]


async def _nothing(batch: Any) -> None:
    return None


async def test_trap_f2_a_crashed_service_ends_the_process(counting, ended) -> None:
    app, _ = counting.app()
    async with app.running():
        await app.settled()
        await app.runtime.consumer.crash(RuntimeError("broken"))
        await eventually(lambda: ended)
        assert ended[0] == ExitCode.FATAL


def test_trap_f8_all_partitioners_agree_for_1000_keys_and_the_empty_one(bootstrap_servers, namespace) -> None:
    topic = kafka_io.create_topic(bootstrap_servers, f"{namespace}keys", 7)
    keys = [b"", *(f"user{i}@example.com".encode() for i in range(1000))]
    producer = ConfluentProducer({"bootstrap.servers": bootstrap_servers, "partitioner": "murmur2_random"})
    placed: dict[bytes, int] = {}
    for key in keys[1:]:
        producer.produce(topic, b"", key, on_delivery=lambda e, m: placed.__setitem__(m.key(), m.partition()))
    producer.flush(20)
    for key in keys:
        assert partition_of(key, 7) == (murmur2(key) & 0x7FFFFFFF) % 7
        assert key == b"" or placed[key] == partition_of(key, 7)


def test_trap_f5_f6_g3_versions_are_the_ones_that_were_read() -> None:
    import importlib.metadata as metadata

    import aiokafka

    assert metadata.version("faust-streaming") == "0.15.3"
    assert aiokafka.__version__ == "0.14.0"
    assert issubclass(faust_app.FaustApp, faust.App)


async def test_trap_c8_c6_topics_are_checked_before_the_first_record(counting, kafka_admin) -> None:
    app, _ = counting.app()
    async with app.running():
        pass
    facts = describe(kafka_admin, [counting.changelog])
    assert facts[counting.changelog].partitions == 4
    app, _ = counting.app(partitions=3)
    with pytest.raises(FatalError, match=r"found 4 partitions, wanted 3"):
        await app.start()
    await app.producer.close(1)
