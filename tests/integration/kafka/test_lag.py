"""Lag in readable records, on topics with transactions as on others."""

from collections.abc import Iterator

import pytest
from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import AdminClient

from connectors.kafka.lag import LagReader, PartitionLag
from connectors.kafka.settings import KafkaSettings
from tests.deadline import within
from tests.kafka_io import create_topic, produce


@pytest.fixture
def reader(bootstrap_servers: str) -> Iterator[LagReader]:
    with LagReader(KafkaSettings(bootstrap_servers=bootstrap_servers)) as reader:
        yield reader


@pytest.fixture
def group(namespace: str) -> str:
    return namespace + "group"


def commit(bootstrap_servers: str, group: str, topic: str, offset: int, partition: int = 0) -> None:
    consumer = Consumer({"bootstrap.servers": bootstrap_servers, "group.id": group, "enable.auto.commit": False})
    consumer.commit(offsets=[TopicPartition(topic, partition, offset)], asynchronous=False)
    consumer.close()


def transact(bootstrap_servers: str, namespace: str, topic: str, *pages: tuple[list[bytes], str]) -> Producer:
    producer = Producer({"bootstrap.servers": bootstrap_servers, "transactional.id": namespace + "id"})
    producer.init_transactions()
    for values, end in pages:
        producer.begin_transaction()
        for value in values:
            producer.produce(topic, value)
        producer.flush()
        if end != "open":
            getattr(producer, f"{end}_transaction")()
    return producer


def test_a_transactional_topic_at_rest_has_no_lag(
    reader: LagReader, bootstrap_servers: str, namespace: str, group: str
) -> None:
    topic = create_topic(bootstrap_servers, namespace + "x")
    transact(bootstrap_servers, namespace, topic, ([b"1", b"2"], "commit"), ([b"3"], "commit"))
    # Offsets: 0 and 1, a marker at 2, a record at 3, a marker at 4. Who has read everything has committed 4.
    commit(bootstrap_servers, group, topic, 4)
    within(20, lambda: reader.read([group])[0].stable_end == 5)
    (lag,) = reader.read([group])
    assert (lag.lag, lag.exact, lag.committed) == (0, True, 4)
    assert reader.read([group], exact=False)[0].lag == 1, "by offsets alone it would stay at one for ever"


def test_counts_committed_records_only(reader: LagReader, bootstrap_servers: str, namespace: str, group: str) -> None:
    topic = create_topic(bootstrap_servers, namespace + "x")
    transact(bootstrap_servers, namespace, topic, ([b"1"] * 3, "commit"), ([b"x"] * 5, "abort"), ([b"2"] * 2, "commit"))
    commit(bootstrap_servers, group, topic, 0)
    within(20, lambda: reader.read([group])[0].stable_end == 13)
    (lag,) = reader.read([group])
    assert (lag.lag, lag.exact) == (5, True)


def test_what_an_open_transaction_holds_back_is_no_lag_yet(
    reader: LagReader, bootstrap_servers: str, namespace: str, group: str
) -> None:
    topic = create_topic(bootstrap_servers, namespace + "x")
    produce(bootstrap_servers, topic, [(b"k", b"1")])
    producer = transact(bootstrap_servers, namespace, topic, ([b"open"], "open"))
    produce(bootstrap_servers, topic, [(b"k", b"behind")])
    commit(bootstrap_servers, group, topic, 1)
    assert reader.read([group])[0].lag == 0
    producer.commit_transaction()
    # The markers are written after the commit was answered.
    within(20, lambda: reader.read([group])[0].lag == 2)


def test_all_partitions_of_a_groups_topics_are_there_also_without_a_commit(
    reader: LagReader, bootstrap_servers: str, namespace: str, group: str
) -> None:
    topic = create_topic(bootstrap_servers, namespace + "x", 3)
    for partition in range(3):
        produce(bootstrap_servers, topic, [(b"k", b"v")] * (partition + 1), partition=partition)
    commit(bootstrap_servers, group, topic, 1, partition=0)
    lags = reader.read([group])
    assert [(lag.partition, lag.committed, lag.lag) for lag in lags] == [(0, 1, 0), (1, None, 2), (2, None, 3)]
    assert reader.read([group], topics=["another"]) == []
    assert group in reader.groups()


def test_a_large_difference_is_not_read(reader: LagReader, bootstrap_servers: str, namespace: str, group: str) -> None:
    topic = create_topic(bootstrap_servers, namespace + "x")
    produce(bootstrap_servers, topic, [(None, b"v")] * 3_000)
    commit(bootstrap_servers, group, topic, 500)
    (lag,) = reader.read([group])
    assert (lag.lag, lag.exact) == (2_500, False)


def test_a_recreated_topic_and_expired_records_are_reported(
    reader: LagReader, bootstrap_servers: str, namespace: str, group: str, kafka_admin: AdminClient
) -> None:
    topic = create_topic(bootstrap_servers, namespace + "x", 2)
    produce(bootstrap_servers, topic, [(None, b"v")] * 10, partition=0)
    commit(bootstrap_servers, group, topic, 2, partition=0)
    commit(bootstrap_servers, group, topic, 40, partition=1)
    kafka_admin.delete_records([TopicPartition(topic, 0, 7)])[TopicPartition(topic, 0)].result(20)
    expired, recreated = reader.read([group])
    assert isinstance(expired, PartitionLag)
    assert (expired.lost, expired.lag, expired.beyond) == (5, 3, False)
    assert (recreated.lost, recreated.lag, recreated.beyond) == (0, 0, True)


def test_an_unknown_group_has_no_lags(reader: LagReader, namespace: str) -> None:
    assert reader.read([namespace + "nobody"]) == []
