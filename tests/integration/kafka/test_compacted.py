"""A compacted topic in memory: complete after start, then followed."""

import asyncio

import pytest
from confluent_kafka import Producer

from connectors.devkit.embedded_kafka.broker import EmbeddedKafka
from connectors.kafka.compacted import CompactedTopic
from connectors.kafka.producer import AsyncProducer
from connectors.kafka.read_to_end import MissingTopicError
from connectors.kafka.records import ConsumedRecord
from connectors.kafka.settings import KafkaSettings
from tests.deadline import eventually
from tests.kafka_io import create_topic, produce

COMPACT = {"cleanup.policy": "compact"}


@pytest.fixture
def settings(bootstrap_servers: str) -> KafkaSettings:
    return KafkaSettings(bootstrap_servers=bootstrap_servers)


async def test_holds_the_newest_of_each_key_and_follows(
    settings: KafkaSettings, bootstrap_servers: str, namespace: str
) -> None:
    topic = create_topic(bootstrap_servers, namespace + "x", 2, COMPACT)
    produce(
        bootstrap_servers, topic, [(b"a", b"1"), (b"b", b"1"), (b"a", b"2"), (b"deleted", b"1"), (b"deleted", None)]
    )
    changes: list[ConsumedRecord] = []
    async with CompactedTopic(settings, topic, changes.append) as view:
        assert {key: record.value for key, record in view.items()} == {b"a": b"2", b"b": b"1"}
        assert len(changes) == 5
        async with AsyncProducer(settings, "test") as producer:
            await view.wait_for(await producer.publish(topic, b"b", b"2"))
            assert view[b"b"].value == b"2"
            await view.wait_for(await producer.publish(topic, b"a", None))
            assert b"a" not in view
            assert changes[-1].value is None


async def test_an_empty_topic_is_complete_at_once(
    settings: KafkaSettings, bootstrap_servers: str, namespace: str
) -> None:
    topic = create_topic(bootstrap_servers, namespace + "x", 3, COMPACT)
    async with CompactedTopic(settings, topic) as view:
        assert len(view) == 0


async def test_transactions_count_when_committed_and_markers_do_not_stop_it(
    settings: KafkaSettings, bootstrap_servers: str, namespace: str
) -> None:
    topic = create_topic(bootstrap_servers, namespace + "x", 1, COMPACT)
    producer = Producer({"bootstrap.servers": bootstrap_servers, "transactional.id": namespace + "id"})
    producer.init_transactions()
    for value, end in ((b"1", producer.commit_transaction), (b"2", producer.abort_transaction)):
        producer.begin_transaction()
        producer.produce(topic, value, b"a")
        producer.flush()
        end()
    async with CompactedTopic(settings, topic) as view:
        assert view[b"a"].value == b"1"


async def test_a_missing_topic_is_a_sentence(settings: KafkaSettings, namespace: str) -> None:
    with pytest.raises(MissingTopicError, match="check-topics --create"):
        await CompactedTopic(settings, namespace + "missing").start()


async def test_a_failing_callback_does_not_end_the_view(
    settings: KafkaSettings, bootstrap_servers: str, namespace: str
) -> None:
    topic = create_topic(bootstrap_servers, namespace + "x", 1, COMPACT)

    def fail(_record: ConsumedRecord) -> None:
        raise ValueError("a fault of the caller")

    async with CompactedTopic(settings, topic, fail) as view:
        produce(bootstrap_servers, topic, [(b"a", b"1"), (b"b", b"1")])
        await eventually(lambda: len(view) == 2)


async def test_goes_on_after_the_broker_came_back(own_broker: EmbeddedKafka) -> None:
    settings = KafkaSettings(bootstrap_servers=own_broker.bootstrap_servers)
    topic = create_topic(own_broker.bootstrap_servers, "x", 1, COMPACT)
    produce(own_broker.bootstrap_servers, topic, [(b"a", b"1")])
    async with CompactedTopic(settings, topic) as view:
        await asyncio.to_thread(own_broker.restart)
        assert view[b"a"].value == b"1"
        await asyncio.to_thread(produce, own_broker.bootstrap_servers, topic, [(b"a", b"2")])
        await eventually(lambda: view[b"a"].value == b"2")
