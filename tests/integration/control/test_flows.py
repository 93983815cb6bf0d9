"""What a reading of all flows asks the brokers, counted: as much for a hundred partitions as for one."""

import asyncio
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest
from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import AdminClient

from connectors.kafka import lag
from connectors.kafka.admin import ensure_topics
from connectors.kafka.settings import KafkaSettings
from schemas import dead_letter
from streams.control import flows, undelivered
from streams.control.flows import FlowReader
from streams.dead_letters import replays
from streams.dead_letters.replays import discard
from streams.export.rules.waiting import WAITING, Undelivered, WaitingReport
from tests.deadline import eventually

PARTITIONS = 12
READ = ("audience-membership", "cm_user", "cm_activity", "cm_membership-commands")
NOW = 1_700_000_000.0


@pytest.fixture
def kafka(bootstrap_servers: str, namespace: str) -> KafkaSettings:
    """Topics of several partitions, and a group that is some records behind in each."""
    kafka = KafkaSettings(
        _env_file=None, bootstrap_servers=bootstrap_servers, topic_prefix=namespace, partitions=PARTITIONS
    )
    ensure_topics(kafka, create=True)
    producer = Producer({"bootstrap.servers": bootstrap_servers, "linger.ms": 5})
    for role in READ:
        for partition in range(PARTITIONS):
            for number in range(5):
                at = int(NOW * 1_000) + number
                producer.produce(kafka.names()[role], b"v", b"k", partition=partition, timestamp=at)
    producer.flush()
    group = Consumer({"bootstrap.servers": bootstrap_servers, "group.id": namespace + "worker"})
    places = [TopicPartition(kafka.names()[role], number, 2) for role in READ for number in range(PARTITIONS)]
    group.commit(offsets=places, asynchronous=False)
    group.close()
    return kafka


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch, namespace: str) -> Counter[str]:
    """How often each question was asked, consumers were opened, and records were read."""
    counts: Counter[str] = Counter()

    class Counting(Consumer):  # type: ignore[misc]  # the client has no types
        def __init__(self, config: dict[str, Any]) -> None:
            counts["opened"] += 1
            super().__init__(config)

        def poll(self, *args: Any, **named: Any) -> Any:
            message = super().poll(*args, **named)
            counts["records"] += message is not None and message.error() is None
            return message

        def consume(self, *args: Any, **named: Any) -> list[Any]:
            found: list[Any] = super().consume(*args, **named)
            counts["records"] += sum(message.error() is None for message in found)
            return found

    class CountingAdmin(AdminClient):
        pass

    def count(of: type, name: str) -> None:
        method = getattr(of, name)

        def counted(self: Any, *args: Any, **named: Any) -> Any:
            counts[name] += 1
            return method(self, *args, **named)

        setattr(of, name, counted)

    for name in ("list_topics", "committed", "offsets_for_times", "get_watermark_offsets", "assign"):
        count(Counting, name)
    for name in ("list_topics", "list_consumer_groups", "describe_consumer_groups"):
        count(CountingAdmin, name)
    for module in (lag, flows, undelivered, replays):
        monkeypatch.setattr(module, "Consumer", Counting)
    monkeypatch.setattr(lag, "AdminClient", CountingAdmin)
    groups = lag.LagReader.groups
    ours = namespace + "worker"
    monkeypatch.setattr(lag.LagReader, "groups", lambda self: [name for name in groups(self) if name == ours])
    return counts


@pytest.fixture
def reader(kafka: KafkaSettings, asked: Counter[str]) -> Iterator[FlowReader]:
    with FlowReader(kafka) as reader:
        yield reader


def keep(kafka: KafkaSettings, count: int) -> None:
    """Refuse records of audience-membership."""
    topic = kafka.names()["audience-membership"]
    producer = Producer({"bootstrap.servers": kafka.bootstrap_servers, "linger.ms": 5})
    for number in range(count):
        origin = dead_letter.Origin(topic, 0, number)
        letter = dead_letter.letter(
            b"k",
            b"v",
            [],
            reason="at: missing",
            stage=dead_letter.Stage.SCHEMA,
            origin=origin,
            at="2026-01-02T00:00:00.000Z",
            max_bytes=100_000,
        )
        key, value, headers = letter
        producer.produce(topic + ".dlq", value, key, partition=number % PARTITIONS, headers=list(headers))
    producer.flush()


async def test_a_reading_asks_few_questions_and_reads_only_what_is_new(
    kafka: KafkaSettings, reader: FlowReader, asked: Counter[str]
) -> None:
    keep(kafka, 300)
    reading = reader.read(NOW + 60)
    assert sum(lag.lag for lag in reading.lags) == 3 * len(READ) * PARTITIONS
    assert all(lag.exact for lag in reading.lags)
    assert len(reading.since) == len(READ) * PARTITIONS, "of all partitions"
    assert set(reading.since.values()) == {NOW + 0.002}
    assert [group.letters for group in reader.letters()] == [300]
    asked.clear()
    for _time in range(3):
        assert reader.read(NOW + 65).lags == reading.lags
        assert [group.letters for group in reader.letters()] == [300]
    assert asked == {
        "list_topics": 3,
        "list_consumer_groups": 3,
        "describe_consumer_groups": 3,
        "offsets_for_times": 6,
        "committed": 3 + 3,  # of the group, and of what was done with of the one topic that has letters
    }
    keep(kafka, 1)
    asked.clear()
    reader.read(NOW + 70)
    assert [group.letters for group in reader.letters()] == [301]
    assert (asked["opened"], asked["records"], asked["assign"]) == (0, 1, 1)
    topic = kafka.names()["audience-membership"]
    assert await discard(kafka, topic, lambda letter: letter.record.partition == 0) == 26
    asked.clear()
    reader.read(NOW + 75)
    assert [group.letters for group in reader.letters()] == [275]
    assert asked["records"] == 0, "of the partition whose letters were all done with nothing is left to read"
    assert await discard(kafka, topic, lambda letter: letter.record.partition == 1 and letter.record.offset > 9) == 15
    reader.read(NOW + 80)
    assert [group.letters for group in reader.letters()] == [260]


def test_a_reading_knows_what_workers_report_as_undelivered(kafka: KafkaSettings, reader: FlowReader) -> None:
    producer = Producer({"bootstrap.servers": kafka.bootstrap_servers, "linger.ms": 0})

    def report(worker: str, found: WaitingReport | None) -> None:
        value = found.to_bytes() if found else None
        producer.produce(kafka.names()["cm_export-state"], value, WAITING + worker.encode())
        producer.flush()

    assert reader.read(NOW).undelivered == Undelivered()
    at = int(NOW * 1_000)
    report("one", WaitingReport(3, at - 40_000, at))
    report("two", WaitingReport(4, at - 50_000, at))
    assert reader.read(NOW + 1).undelivered == Undelivered(7, NOW - 50)
    report("two", None)
    assert reader.read(NOW + 1).undelivered == Undelivered(3, NOW - 40)
    assert reader.read(NOW + 30).undelivered == Undelivered(), "the worker has ended"


async def test_two_groups_at_different_places_of_a_partition_both_wait(
    kafka: KafkaSettings, reader: FlowReader, namespace: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = Consumer({"bootstrap.servers": kafka.bootstrap_servers, "group.id": namespace + "other"})
    topic = kafka.names()["cm_user"]
    await asyncio.to_thread(other.commit, offsets=[TopicPartition(topic, 3, 4)], asynchronous=False)
    other.close()
    names = [namespace + "worker", namespace + "other"]
    monkeypatch.setattr(lag.LagReader, "groups", lambda _self: names)
    wanted = [NOW + 0.002, NOW + 0.004]
    # What does not come in time is looked at by the next reading.
    await eventually(lambda: [reader.read(NOW).since.get((group, topic, 3)) for group in names] == wanted)
    reading = reader.read(NOW)
    assert [reading.since[group, topic, 3] for group in names] == wanted
    assert {lag.group: lag.lag for lag in reading.lags if (lag.topic, lag.partition) == (topic, 3)} == {
        names[0]: 3,
        names[1]: 1,
    }
