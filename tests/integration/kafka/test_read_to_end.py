"""Reading to the end: what was there is read, whatever the last offsets are, and nothing is waited for that is not."""

import asyncio
import time

import pytest
from confluent_kafka import Consumer, Producer

from connectors.devkit.embedded_kafka.broker import EmbeddedKafka
from connectors.kafka.read_to_end import (
    EndReader,
    MissingTopicError,
    ReadError,
    TopicAndPartition,
    newest_by_partition,
    pages,
    read_to_end,
    reader_config,
)
from connectors.kafka.settings import KafkaSettings
from tests.kafka_io import create_topic, produce


@pytest.fixture
def settings(bootstrap_servers: str) -> KafkaSettings:
    return KafkaSettings(bootstrap_servers=bootstrap_servers)


def transactional(bootstrap_servers: str, name: str) -> Producer:
    producer = Producer({"bootstrap.servers": bootstrap_servers, "transactional.id": name})
    producer.init_transactions()
    return producer


def values(settings: KafkaSettings, topic: str, **more: float) -> list[bytes | None]:
    return [record.value for page in read_to_end(settings, "test", topic, **more) for record in page]  # type: ignore[arg-type]


def test_several_topics_and_their_empty_partitions(
    settings: KafkaSettings, bootstrap_servers: str, namespace: str
) -> None:
    some, none = (
        create_topic(bootstrap_servers, namespace + "x", 4),
        create_topic(bootstrap_servers, namespace + "y", 3),
    )
    produce(bootstrap_servers, some, [(b"a", b"%d" % n) for n in range(10)], partition=2)
    counts: list[int] = []
    read = [record for page in read_to_end(settings, "test", [some, none], progress=counts.append) for record in page]
    assert [(record.topic, record.partition, record.value) for record in read] == [
        (some, 2, b"%d" % n) for n in range(10)
    ]
    assert counts[-1] == 10
    assert not list(read_to_end(settings, "test", some, partitions=[0, 1]))


def test_markers_and_aborted_records_at_the_end(
    settings: KafkaSettings, bootstrap_servers: str, namespace: str
) -> None:
    topic = create_topic(bootstrap_servers, namespace + "x")
    producer = transactional(bootstrap_servers, namespace + "id")
    for value, end in ((b"1", producer.commit_transaction), (b"2", producer.abort_transaction)):
        producer.begin_transaction()
        producer.produce(topic, value, b"a")
        producer.flush()
        end()
    assert values(settings, topic, silence_seconds=5.0) == [b"1"]


def test_an_open_transaction_is_not_waited_for(settings: KafkaSettings, bootstrap_servers: str, namespace: str) -> None:
    topic = create_topic(bootstrap_servers, namespace + "x")
    produce(bootstrap_servers, topic, [(b"a", b"1")])
    producer = transactional(bootstrap_servers, namespace + "id")
    producer.begin_transaction()
    producer.produce(topic, b"2", b"a")
    producer.flush()
    produce(bootstrap_servers, topic, [(b"a", b"3")])
    begun = time.monotonic()
    assert values(settings, topic, silence_seconds=10.0) == [b"1"]
    assert time.monotonic() - begun < 10
    producer.commit_transaction()
    assert values(settings, topic) == [b"1", b"2", b"3"]


def test_what_comes_meanwhile_is_left_for_another_time(
    settings: KafkaSettings, bootstrap_servers: str, namespace: str
) -> None:
    topic = create_topic(bootstrap_servers, namespace + "x")
    produce(bootstrap_servers, topic, [(b"a", b"%d" % n) for n in range(3)])
    consumer = Consumer(reader_config(settings, "test"))
    try:
        reader = EndReader(consumer)
        reader.assign(reader.partitions(topic))
        produce(bootstrap_servers, topic, [(b"a", b"late")] * 5)
        assert [record.value for page in pages(reader) for record in page] == [b"0", b"1", b"2"]
    finally:
        consumer.close()


def test_from_an_offset_on(settings: KafkaSettings, bootstrap_servers: str, namespace: str) -> None:
    topic = create_topic(bootstrap_servers, namespace + "x")
    produce(bootstrap_servers, topic, [(b"a", b"%d" % n) for n in range(10)])
    consumer = Consumer(reader_config(settings, "test"))
    part = TopicAndPartition(topic, 0)
    try:
        reader = EndReader(consumer)
        for start, count in ((7, 3), (10, 0), (99, 0)):
            reader.assign([part], {part: start})
            assert sum(len(page) for page in pages(reader)) == count
    finally:
        consumer.close()


def test_the_newest_of_each_key_with_tombstones_a_partition_at_a_time(
    settings: KafkaSettings, bootstrap_servers: str, namespace: str
) -> None:
    topic = create_topic(bootstrap_servers, namespace + "x", 3, {"cleanup.policy": "compact"})
    produce(bootstrap_servers, topic, [(b"a", b"1"), (b"b", b"1"), (b"a", b"2")], partition=0)
    produce(bootstrap_servers, topic, [(b"c", b"1"), (b"c", None)], partition=2)
    found = [
        {key: record.value for key, record in part.items()} for part in newest_by_partition(settings, "test", topic)
    ]
    assert found == [{b"a": b"2", b"b": b"1"}, {}, {b"c": None}]


def test_no_request_waits_at_an_end_for_what_may_come(settings: KafkaSettings) -> None:
    """It holds up whatever is asked next: with 100 ms a pass over twelve partitions took 2.6 s, most of it waiting."""
    assert reader_config(settings, "test")["fetch.wait.max.ms"] <= 10


def test_a_missing_topic_is_a_sentence(settings: KafkaSettings, namespace: str) -> None:
    with pytest.raises(MissingTopicError, match=f"Topic {namespace}missing cannot be read"):
        values(settings, namespace + "missing")


async def test_a_broker_that_answers_nothing_ends_the_reading_with_a_sentence(own_broker: EmbeddedKafka) -> None:
    settings = KafkaSettings(bootstrap_servers=own_broker.bootstrap_servers)
    topic = create_topic(own_broker.bootstrap_servers, "x")
    produce(own_broker.bootstrap_servers, topic, [(b"a", b"1")] * 10)
    consumer = Consumer(reader_config(settings, "test"))
    reader = EndReader(consumer, silence_seconds=1.0)
    parts = await asyncio.to_thread(reader.partitions, topic)
    ends = {parts[0]: 99}  # more than there will be
    reader.assign(parts, {parts[0]: 0}, ends)
    own_broker.pause()
    with pytest.raises(ReadError, match=r"nothing came for 1 s, and not read to the end is x\[0\] at \d+ of 99"):
        await asyncio.to_thread(lambda: list(pages(reader)))
    own_broker.resume()
    await asyncio.to_thread(consumer.close)
