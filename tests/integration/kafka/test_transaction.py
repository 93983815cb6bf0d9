"""Pages in transactions: all or nothing, with the task's offset; the one who lost the partition is locked out."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from confluent_kafka import Consumer, Producer, TopicPartition

from connectors.kafka.client_config import consumer_config
from connectors.kafka.records import OutgoingRecord, Position
from connectors.kafka.settings import KafkaSettings
from connectors.kafka.transaction import FencedError, TransactionalPublisher, TransactionError
from tests.deadline import within
from tests.kafka_io import committed, create_topic, produce, read_all


@pytest.fixture
def settings(bootstrap_servers: str) -> KafkaSettings:
    return KafkaSettings(bootstrap_servers=bootstrap_servers)


@pytest.fixture
def topic(bootstrap_servers: str, namespace: str) -> str:
    return create_topic(bootstrap_servers, namespace + "out", 2)


@pytest.fixture
async def publisher(settings: KafkaSettings, namespace: str) -> AsyncIterator[TransactionalPublisher]:
    async with TransactionalPublisher(settings, namespace + "id") as publisher:
        yield publisher


def member(settings: KafkaSettings, group: str, topic: str) -> Consumer:
    """A group member that owns the topic's partitions."""
    consumer = Consumer(consumer_config(settings, "test", group))
    consumer.subscribe([topic])

    def owns() -> bool:
        consumer.poll(0.1)
        return bool(consumer.assignment())

    within(20, owns)
    return consumer


async def test_records_and_offset_are_committed_together(
    publisher: TransactionalPublisher, settings: KafkaSettings, bootstrap_servers: str, namespace: str, topic: str
) -> None:
    tasks = create_topic(bootstrap_servers, namespace + "tasks")
    produce(bootstrap_servers, tasks, [(b"t", b"1")])
    consumer = await asyncio.to_thread(member, settings, namespace + "g", tasks)
    page = [OutgoingRecord(topic, b"k%d" % n, b"v", [("h", b"x")]) for n in range(1_000)]

    count = await publisher.publish(page, consumed=[Position(tasks, 0, 0)], group=consumer.consumer_group_metadata())

    consumer.close()
    assert count == 1_000
    assert len(await asyncio.to_thread(read_all, bootstrap_servers, topic, at_least=1_000)) == 1_000
    within(20, lambda: committed(bootstrap_servers, namespace + "g", tasks, 1) == [1])


async def test_what_fails_leaves_no_trace_and_the_publisher_goes_on(
    publisher: TransactionalPublisher, bootstrap_servers: str, topic: str
) -> None:
    with pytest.raises(TransactionError) as caught:
        await publisher.publish([OutgoingRecord(topic, b"k", b"bad"), OutgoingRecord(topic, b"k", b"x" * 3_000_000)])
    assert not isinstance(caught.value, FencedError)
    await publisher.publish([OutgoingRecord(topic, b"k", b"good")])
    assert [r.value for r in read_all(bootstrap_servers, topic, at_least=1)] == [b"good"]


async def test_a_dead_ones_open_transaction_is_aborted_by_its_successor(
    settings: KafkaSettings, bootstrap_servers: str, namespace: str, topic: str
) -> None:
    dead = Producer({"bootstrap.servers": bootstrap_servers, "transactional.id": namespace + "id"})
    dead.init_transactions()
    dead.begin_transaction()
    for _ in range(10):
        dead.produce(topic, b"never seen", b"k", partition=0)
    dead.flush()
    produce(bootstrap_servers, topic, [(b"k", b"webhook")], partition=0)
    assert read_all(bootstrap_servers, topic) == [], "an open transaction hides what came after it"
    assert len(read_all(bootstrap_servers, topic, isolation="read_uncommitted")) == 11

    async with TransactionalPublisher(settings, namespace + "id") as successor:
        await successor.publish([OutgoingRecord(topic, b"k", b"mine", None, 0)])

    values = [r.value for r in read_all(bootstrap_servers, topic, at_least=2, deadline_seconds=5)]
    assert sorted(value or b"" for value in values) == [b"mine", b"webhook"]


async def test_of_two_the_older_is_fenced(
    publisher: TransactionalPublisher, settings: KafkaSettings, bootstrap_servers: str, namespace: str, topic: str
) -> None:
    await publisher.publish([OutgoingRecord(topic, b"k", b"first")])
    async with TransactionalPublisher(settings, namespace + "id") as newer:
        with pytest.raises(FencedError):
            await publisher.publish([OutgoingRecord(topic, b"k", b"too late")])
        await newer.publish([OutgoingRecord(topic, b"k", b"second")])
    assert [r.value for r in read_all(bootstrap_servers, topic, at_least=2)] == [b"first", b"second"]


async def test_a_member_that_lost_its_partition_is_fenced(
    publisher: TransactionalPublisher, settings: KafkaSettings, bootstrap_servers: str, namespace: str, topic: str
) -> None:
    tasks = create_topic(bootstrap_servers, namespace + "tasks")
    consumer = await asyncio.to_thread(member, settings, namespace + "g", tasks)
    stale = consumer.consumer_group_metadata()
    consumer.close()
    consumer = await asyncio.to_thread(member, settings, namespace + "g", tasks)
    with pytest.raises(FencedError):
        await publisher.publish([OutgoingRecord(topic, b"k", b"x")], consumed=[Position(tasks, 0, 0)], group=stale)
    consumer.close()
    assert read_all(bootstrap_servers, topic) == []
    assert committed(bootstrap_servers, namespace + "g", tasks, 1) == [-1001]


async def test_a_transaction_of_nothing_but_an_offset(
    publisher: TransactionalPublisher, settings: KafkaSettings, bootstrap_servers: str, namespace: str
) -> None:
    tasks = create_topic(bootstrap_servers, namespace + "tasks")
    produce(bootstrap_servers, tasks, [(b"t", b"1"), (b"t", b"2")])
    consumer = await asyncio.to_thread(member, settings, namespace + "g", tasks)
    await publisher.publish([], consumed=[Position(tasks, 0, 1)], group=consumer.consumer_group_metadata())
    within(20, lambda: consumer.committed([TopicPartition(tasks, 0)])[0].offset == 2)
    consumer.close()
