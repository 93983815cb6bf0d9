"""What integration tests do with Kafka, by confluent-kafka alone: an independent witness, none of it our own code.

Every function blocks; from a coroutine use `await asyncio.to_thread(read_all, ...)`.
"""

import time
import uuid
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, KafkaException, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

DEADLINE_SECONDS = 30.0
_COORDINATOR_MOVES = (
    KafkaError.NOT_COORDINATOR,
    KafkaError.COORDINATOR_LOAD_IN_PROGRESS,
    KafkaError.COORDINATOR_NOT_AVAILABLE,
)


class Record(NamedTuple):
    """A record as it was read."""

    topic: str
    partition: int
    offset: int
    key: bytes | None
    value: bytes | None
    headers: list[tuple[str, bytes]]
    timestamp_ms: int


def create_topic(
    bootstrap_servers: str, name: str, partitions: int = 1, config: Mapping[str, str] | None = None
) -> str:
    """Make a topic and return its name when the broker serves it."""
    admin = AdminClient({"bootstrap.servers": bootstrap_servers})
    topic = NewTopic(name, num_partitions=partitions, replication_factor=1, config=dict(config or {}))
    admin.create_topics([topic])[name].result(DEADLINE_SECONDS)
    deadline = time.monotonic() + DEADLINE_SECONDS
    while time.monotonic() < deadline:
        known = admin.list_topics(timeout=DEADLINE_SECONDS).topics.get(name)
        if known and len(known.partitions) == partitions and all(p.leader >= 0 for p in known.partitions.values()):
            return name
    raise AssertionError(f"topic {name} was made and has no leader")


def produce(
    bootstrap_servers: str,
    topic: str,
    records: Iterable[tuple[Any, ...]],
    *,
    partition: int = -1,
    config: Mapping[str, Any] | None = None,
) -> list[tuple[int, int]]:
    """Publish (key, value) or (key, value, headers) and return (partition, offset) of each, in order."""
    settings = {"bootstrap.servers": bootstrap_servers, "acks": "all", "partitioner": "murmur2_random", "linger.ms": 5}
    producer = Producer({**settings, **(config or {})})
    positions: dict[int, tuple[int, int]] = {}
    failures: list[str] = []
    count = 0
    for index, (key, value, *headers) in enumerate(records):

        def delivered(error: KafkaError | None, message: Any, index: int = index) -> None:
            if error:
                failures.append(str(error))
            else:
                positions[index] = (message.partition(), message.offset())

        while True:
            try:
                producer.produce(
                    topic,
                    value,
                    key,
                    partition=partition,
                    headers=headers[0] if headers else None,
                    on_delivery=delivered,
                )
                break
            except BufferError:
                producer.poll(0.1)
        producer.poll(0)
        count = index + 1
    left = producer.flush(DEADLINE_SECONDS)
    assert not left, f"{left} records were not taken in time"
    assert not failures, failures[0]
    return [positions[index] for index in range(count)]


def read_all(
    bootstrap_servers: str,
    topics: str | Sequence[str],
    *,
    at_least: int = 0,
    isolation: str = "read_committed",
    deadline_seconds: float = DEADLINE_SECONDS,
) -> list[Record]:
    """Read every partition from its beginning to its end; go on past the end until there are `at_least` records.

    Fails when they do not come in time. The end is the last stable offset for `read_committed`: what an open
    transaction holds back is not waited for.
    """
    names = [topics] if isinstance(topics, str) else list(topics)
    consumer = Consumer(
        {
            "bootstrap.servers": bootstrap_servers,
            "group.id": f"witness-{uuid.uuid4().hex}",
            "isolation.level": isolation,
            "enable.auto.commit": False,
            "enable.partition.eof": True,
            "fetch.wait.max.ms": 50,
        }
    )
    deadline = time.monotonic() + deadline_seconds
    try:
        known = consumer.list_topics(timeout=deadline_seconds).topics
        parts = {(name, partition) for name in names for partition in known[name].partitions}
        assert parts, f"no partitions in {names}"
        consumer.assign([TopicPartition(name, partition, OFFSET_BEGINNING) for name, partition in parts])
        records: list[Record] = []
        open_parts = set(parts)
        while open_parts or len(records) < at_least:
            if time.monotonic() > deadline:
                raise AssertionError(f"{len(records)} of {at_least} records of {names} in {deadline_seconds:g} s")
            first = consumer.poll(0.1)
            for message in () if first is None else (first, *consumer.consume(10_000, timeout=0)):
                error = message.error()
                where = (message.topic(), message.partition())
                if error is None:
                    records.append(_record(message))
                elif error.code() == KafkaError._PARTITION_EOF:
                    open_parts.discard(where)
                else:
                    raise AssertionError(f"reading {where}: {error}")
        return records
    finally:
        consumer.close()


def send_again(bootstrap_servers: str, records: Iterable[Record]) -> int:
    """Write records as they are, with their timestamps; return how many the broker refused as too old."""
    producer = Producer({"bootstrap.servers": bootstrap_servers, "acks": "all"})
    refused: list[str] = []

    def answered(error: Any, message: Any) -> None:
        if error is not None:
            # INVALID_RECORD for those that came in one batch with others too old.
            assert error.code() in (KafkaError.INVALID_TIMESTAMP, KafkaError.INVALID_RECORD), error
            refused.append(message.topic())

    for record in records:
        producer.produce(
            record.topic,
            record.value,
            record.key,
            record.partition,
            answered,
            timestamp=record.timestamp_ms,
            headers=record.headers,
        )
    assert producer.flush(DEADLINE_SECONDS) == 0
    return len(refused)


def committed(bootstrap_servers: str, group: str, topic: str, partitions: int) -> list[int]:
    """Return the group's committed offset of each partition, -1001 where there is none."""
    consumer = Consumer({"bootstrap.servers": bootstrap_servers, "group.id": group, "enable.auto.commit": False})
    try:
        return committed_of(consumer, [TopicPartition(topic, number) for number in range(partitions)])
    finally:
        consumer.close()


def committed_of(consumer: Consumer, wanted: list[TopicPartition]) -> list[int]:
    """Return the committed offset of each partition; a coordinator that is just moving or loading is asked again."""
    deadline = time.monotonic() + DEADLINE_SECONDS
    while True:
        try:
            found = consumer.committed(wanted, DEADLINE_SECONDS)
        except KafkaException as error:
            if error.args[0].code() not in _COORDINATOR_MOVES or time.monotonic() > deadline:
                raise
            time.sleep(0.1)
        else:
            offset_of = {(part.topic, part.partition): part.offset for part in found}
            return [offset_of[part.topic, part.partition] for part in wanted]


def _record(message: Any) -> Record:
    return Record(
        message.topic(),
        message.partition(),
        message.offset(),
        message.key(),
        message.value(),
        list(message.headers() or ()),
        message.timestamp()[1],
    )
