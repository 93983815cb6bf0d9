"""The producer: acknowledged or an error, in order, to the partition that Faust would choose."""

import asyncio
import random
import time
from collections.abc import AsyncIterator

import pytest
from aiokafka.producer.producer import DefaultPartitioner

from connectors.devkit.embedded_kafka.broker import EmbeddedKafka
from connectors.kafka.producer import AsyncProducer
from connectors.kafka.publishing import PublishError, RecordTooLargeError
from connectors.kafka.records import OutgoingRecord, Position
from connectors.kafka.settings import KafkaSettings
from tests.deadline import eventually
from tests.kafka_io import create_topic, read_all


@pytest.fixture
def settings(bootstrap_servers: str) -> KafkaSettings:
    return KafkaSettings(bootstrap_servers=bootstrap_servers)


@pytest.fixture
async def producer(settings: KafkaSettings) -> AsyncIterator[AsyncProducer]:
    async with AsyncProducer(settings, "test") as producer:
        yield producer


async def test_publish_returns_where_the_record_stands(
    producer: AsyncProducer, bootstrap_servers: str, namespace: str
) -> None:
    topic = create_topic(bootstrap_servers, namespace + "x", 3)
    first = await producer.publish(topic, b"k", b"v", [("h", b"1"), ("h", b"2")], partition=2)
    second = await producer.publish(topic, None, None, partition=2)
    assert (first, second) == (Position(topic, 2, 0), Position(topic, 2, 1))
    records = await asyncio.to_thread(read_all, bootstrap_servers, topic)
    assert [(r.key, r.value, r.headers) for r in records] == [
        (b"k", b"v", [("h", b"1"), ("h", b"2")]),
        (None, None, []),
    ]


async def test_chooses_the_partition_that_faust_chooses(
    producer: AsyncProducer, bootstrap_servers: str, namespace: str
) -> None:
    topic = create_topic(bootstrap_servers, namespace + "x", 12)
    source = random.Random(7)
    keys = [b"", *(source.randbytes(source.randint(1, 40)) for _ in range(499))]
    keys += [f"person{n}@example.com".encode() for n in range(500)]
    await producer.publish_many(OutgoingRecord(topic, key, key) for key in keys)
    records = await asyncio.to_thread(read_all, bootstrap_servers, topic, at_least=len(keys))
    where = {record.key: record.partition for record in records}
    assert len(where) == len(set(keys)) == 1000
    faust = DefaultPartitioner()
    everywhere = list(range(12))
    assert {key: faust(key, everywhere, everywhere) for key in keys} == where


async def test_many_keep_their_order_and_are_all_there_on_return(
    producer: AsyncProducer, bootstrap_servers: str, namespace: str
) -> None:
    topic = create_topic(bootstrap_servers, namespace + "x", 2)
    records = [OutgoingRecord(topic, b"%d" % (n % 7), b"%d" % n, None, n % 2) for n in range(5_000)]
    assert await producer.publish_many(records) == 5_000
    found = await asyncio.to_thread(read_all, bootstrap_servers, topic)
    assert len(found) == 5_000
    for partition in (0, 1):
        values = [int(r.value or b"") for r in found if r.partition == partition]
        assert values == sorted(values)


async def test_nothing_is_no_trouble(producer: AsyncProducer) -> None:
    assert await producer.publish_many([]) == 0


async def test_a_full_buffer_is_waited_for(settings: KafkaSettings, bootstrap_servers: str, namespace: str) -> None:
    topic = create_topic(bootstrap_servers, namespace + "x")
    async with AsyncProducer(settings, "small", {"queue.buffering.max.messages": 100}) as producer:
        assert await producer.publish_many(OutgoingRecord(topic, b"k", b"%d" % n) for n in range(3_000)) == 3_000
    assert len(await asyncio.to_thread(read_all, bootstrap_servers, topic)) == 3_000


async def test_one_refused_record_fails_the_call_and_not_its_neighbours(
    producer: AsyncProducer, bootstrap_servers: str, namespace: str
) -> None:
    topic = create_topic(bootstrap_servers, namespace + "x")
    big = OutgoingRecord(topic, b"k", b"x" * 2_000_000)
    small = OutgoingRecord(topic, b"k", b"y")
    with pytest.raises(RecordTooLargeError, match="MSG_SIZE_TOO_LARGE") as caught:
        await producer.publish_many([small, big, small])
    assert (caught.value.failed, caught.value.topic) == (1, topic)
    with pytest.raises(PublishError, match="MSG_SIZE_TOO_LARGE"):
        await producer.publish(*big)
    await producer.publish(topic, b"k", b"z")
    values = [r.value for r in await asyncio.to_thread(read_all, bootstrap_servers, topic)]
    assert values == [b"y", b"y", b"z"]


async def test_records_beside_each_other_fit_a_topic_whose_limit_each_of_them_fits(
    bootstrap_servers: str, namespace: str
) -> None:
    limit = 50_000
    topic = create_topic(bootstrap_servers, namespace + "x", 1, {"max.message.bytes": str(limit)})
    settings = KafkaSettings(bootstrap_servers=bootstrap_servers, max_message_bytes=limit)
    source = random.Random(1)
    records = [OutgoingRecord(topic, None, source.randbytes(20_000)) for _ in range(50)]
    async with AsyncProducer(settings, "test") as producer:
        assert await producer.publish_many(records) == 50


async def test_what_the_brokers_refuse_is_an_error(
    producer: AsyncProducer, bootstrap_servers: str, namespace: str
) -> None:
    topic = create_topic(bootstrap_servers, namespace + "x", 1, {"max.message.bytes": "5000"})
    value = random.Random(1).randbytes(20_000)
    with pytest.raises(PublishError, match="MSG_SIZE_TOO_LARGE"):
        await producer.publish_many([OutgoingRecord(topic, b"k", value)])
    with pytest.raises(PublishError, match="MSG_SIZE_TOO_LARGE"):
        await producer.publish(topic, b"k", value)
    assert await producer.publish_many([OutgoingRecord(topic, b"k", b"v")]) == 1


async def test_a_topic_that_does_not_exist_is_an_error_in_time(settings: KafkaSettings, namespace: str) -> None:
    config = {"message.timeout.ms": 1500, "topic.metadata.propagation.max.ms": 500}
    async with AsyncProducer(settings, "test", config) as producer:
        with pytest.raises(PublishError, match="not published"):
            await producer.publish(namespace + "missing", b"k", b"v")


async def test_a_paused_broker_is_an_error_in_time_and_no_loss_afterwards(own_broker: EmbeddedKafka) -> None:
    settings = KafkaSettings(bootstrap_servers=own_broker.bootstrap_servers)
    topic = create_topic(own_broker.bootstrap_servers, "x")
    async with AsyncProducer(settings, "test", {"message.timeout.ms": 2000}) as producer:
        await producer.publish(topic, b"k", b"1")
        own_broker.pause()
        begun = time.monotonic()
        with pytest.raises(PublishError, match="_MSG_TIMED_OUT"):
            await producer.publish(topic, b"k", b"2")
        assert time.monotonic() - begun < 10
        own_broker.resume()
        await producer.publish(topic, b"k", b"3")
    values = [r.value for r in await asyncio.to_thread(read_all, own_broker.bootstrap_servers, topic)]
    assert values[0] == b"1"
    assert values[-1] == b"3"


async def test_a_caller_that_goes_away_leaves_the_producer_in_order(
    producer: AsyncProducer, bootstrap_servers: str, namespace: str
) -> None:
    topic = create_topic(bootstrap_servers, namespace + "x")
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0):
            await producer.publish_many(OutgoingRecord(topic, b"k", b"v") for _ in range(10_000))
    assert (await producer.publish(topic, b"k", b"last")).topic == topic


async def test_a_closed_producer_refuses(settings: KafkaSettings) -> None:
    producer = AsyncProducer(settings, "test")
    await producer.close()
    with pytest.raises(RuntimeError, match="closed"):
        await producer.publish("t", b"k", b"v")


async def test_rows_are_at_the_offsets_where_they_should_be(
    producer: AsyncProducer, bootstrap_servers: str, namespace: str
) -> None:
    topic = create_topic(bootstrap_servers, namespace + "x", 2)
    rows = [(b"k%d" % n, b"%d" % n, [("h", b"%d" % n)]) for n in range(4_500)]
    assert await producer.publish_rows(topic, 1, rows, next_offset=0) == 4_499
    assert await producer.publish_rows(topic, 1, rows[:1]) == 4_500
    assert await producer.publish_rows(topic, 1, [(b"k", None, None)], next_offset=4_501) == 4_501
    with pytest.raises(PublishError, match="the last row is at 4503, not 4502") as caught:
        await producer.publish_rows(topic, 1, rows[:2], next_offset=4_501)
    assert (caught.value.reason, caught.value.failed) == ("UNEXPECTED_OFFSET", 2)
    records = await asyncio.to_thread(read_all, bootstrap_servers, topic)
    assert [(r.key, r.value, r.headers) for r in records[:4_500]] == rows
    assert {r.partition for r in records} == {1}


async def test_a_block_is_where_it_should_be(producer: AsyncProducer, bootstrap_servers: str, namespace: str) -> None:
    topic = create_topic(bootstrap_servers, namespace + "x", 2)
    records = [(b"k%d" % n, b"%d" % n if n % 7 else None) for n in range(4_500)]
    assert await producer.publish_block(topic, 1, records, next_offset=0) == 4_499
    assert await producer.publish_block(topic, 1, records[:3]) == 4_502
    assert await producer.publish_block(topic, 1, records[:1]) == 4_503
    assert await producer.publish_block(topic, 1, records[:1], next_offset=4_504) == 4_504
    with pytest.raises(PublishError, match="2 records from 4504 on, the last one at 4506") as caught:
        await producer.publish_block(topic, 1, records[:2], next_offset=4_504)
    assert (caught.value.reason, caught.value.failed) == ("UNEXPECTED_OFFSET", 2)
    found = await asyncio.to_thread(read_all, bootstrap_servers, topic)
    assert [(record.key, record.value) for record in found[:4_500]] == records
    assert {record.partition for record in found} == {1}


@pytest.mark.parametrize("next_offset", [0, None])
async def test_a_block_waits_for_room_and_keeps_its_order(
    settings: KafkaSettings, bootstrap_servers: str, namespace: str, next_offset: int | None
) -> None:
    topic = create_topic(bootstrap_servers, namespace + "x")
    records = [(b"k", b"%d" % n) for n in range(3_000)]
    async with AsyncProducer(settings, "test", {"queue.buffering.max.messages": 70}) as producer:
        assert await producer.publish_block(topic, 0, records, next_offset=next_offset) == 2_999
    found = await asyncio.to_thread(read_all, bootstrap_servers, topic)
    assert [(record.key, record.value) for record in found] == records


async def test_somebody_else_in_a_block_is_found(
    producer: AsyncProducer, settings: KafkaSettings, bootstrap_servers: str, namespace: str
) -> None:
    """Without a known offset, too: the last one's is higher than the first one's and their number give."""
    topic = create_topic(bootstrap_servers, namespace + "x")
    async with AsyncProducer(settings, "other") as other:

        async def publish() -> None:
            for _ in range(50):
                await other.publish(topic, b"other", b"v")

        writing = asyncio.create_task(publish())
        caught = []
        while not writing.done():
            try:
                await producer.publish_block(topic, 0, [(b"k", b"v" * 10_000)] * 500)
            except PublishError as error:
                caught.append(error.reason)
        await writing
    assert set(caught) == {"UNEXPECTED_OFFSET"}


async def test_a_block_with_a_record_that_is_too_large_is_refused(
    settings: KafkaSettings, bootstrap_servers: str, namespace: str
) -> None:
    topic = create_topic(bootstrap_servers, namespace + "x")
    async with AsyncProducer(settings, "test", {"message.max.bytes": 100_000}) as producer:
        for at in (0, 5, 9):
            records = [(b"k", b"v" * (200_000 if n == at else 10)) for n in range(10)]
            with pytest.raises(RecordTooLargeError):
                await producer.publish_block(topic, 0, records)


async def test_the_hooks_are_called_before_a_record_is_sent_and_after_all_rows_are_handed_over(
    settings: KafkaSettings, bootstrap_servers: str, namespace: str
) -> None:
    topic = create_topic(bootstrap_servers, namespace + "x")
    seen: list[str] = []
    hooks = {"before_send": lambda: seen.append("send"), "rows_handed_over": lambda: seen.append("handed over")}
    async with AsyncProducer(settings, "test", **hooks) as producer:  # type: ignore[arg-type]
        await producer.publish(topic, b"k", b"v")
        assert seen == ["send"]
        await producer.publish_rows(topic, 0, [(b"k", b"v", None)] * 2)
        assert seen[-1] == "handed over"
        assert set(seen[1:-1]) == {"send"}
        await producer.publish_block(topic, 0, [(b"k", b"v")] * 2)
        assert seen[-1] == "send"
        await producer.publish_block(topic, 0, [(b"k", b"v")] * 2, are_rows=True)
        assert seen[-2:] == ["send", "handed over"]


async def test_a_hook_that_refuses_keeps_the_records_back(
    settings: KafkaSettings, bootstrap_servers: str, namespace: str
) -> None:
    topic = create_topic(bootstrap_servers, namespace + "x")

    def refuse() -> None:
        raise InterruptedError

    async with AsyncProducer(settings, "test", before_send=refuse) as producer:
        with pytest.raises(InterruptedError):
            await producer.publish(topic, b"k", b"v")
        assert producer.pending() == 0
    assert not await asyncio.to_thread(read_all, bootstrap_servers, topic)


async def test_what_is_queued_can_be_dropped_and_its_callers_know(own_broker: EmbeddedKafka) -> None:
    settings = KafkaSettings(bootstrap_servers=own_broker.bootstrap_servers)
    topic = create_topic(own_broker.bootstrap_servers, "x")
    async with AsyncProducer(settings, "test", {"linger.ms": 10_000}) as producer:
        waiting = asyncio.create_task(producer.publish_many([(topic, b"k", b"v", None, None)] * 10))
        await eventually(lambda: producer.pending() == 10)
        producer.drop_queued()
        with pytest.raises(PublishError, match="_PURGE_QUEUE"):
            await waiting
        assert producer.pending() == 0


async def test_close_counts_what_was_not_acknowledged_in_time(own_broker: EmbeddedKafka) -> None:
    settings = KafkaSettings(bootstrap_servers=own_broker.bootstrap_servers)
    topic = create_topic(own_broker.bootstrap_servers, "x")
    producer = AsyncProducer(settings, "test")
    await producer.publish(topic, b"k", b"1")
    own_broker.pause()
    waiting = asyncio.create_task(producer.publish(topic, b"k", b"2"))
    await asyncio.sleep(0.1)
    assert await producer.close(0.5) == 1
    with pytest.raises(PublishError):
        await waiting
    assert await producer.close() == 0
    own_broker.resume()


async def test_a_caller_that_is_cancelled_while_the_buffer_is_full_is_forgotten(own_broker: EmbeddedKafka) -> None:
    settings = KafkaSettings(bootstrap_servers=own_broker.bootstrap_servers)
    topic = create_topic(own_broker.bootstrap_servers, "x")
    async with AsyncProducer(settings, "test", {"queue.buffering.max.messages": 10}) as producer:
        await producer.publish(topic, b"k", b"v")
        own_broker.pause()
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.3):
                await producer.publish_many((topic, b"k", b"v", None, None) for _ in range(20))
        own_broker.resume()
        await eventually(lambda: producer.pending() == 0 and not producer._busy)
