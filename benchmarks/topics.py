"""Topics of a run: made, filled, read back and removed. Thin around confluent-kafka."""

import time
import uuid
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any, NamedTuple

from confluent_kafka import Consumer, KafkaError, KafkaException, Producer, TopicPartition
from confluent_kafka import Message as KafkaMessage
from confluent_kafka.admin import AdminClient, NewTopic

from benchmarks.job import PARTITIONS

PREFIX = "bench"
"""Of every topic's name, so that a run on somebody's broker touches nothing else."""


class Message(NamedTuple):
    """One record to publish. `timestamp` is in milliseconds; 0 leaves it to the producer."""

    topic: str
    key: bytes
    value: bytes
    timestamp: int = 0
    headers: Sequence[tuple[str, bytes]] = ()


class Topics:
    """The broker of a run, as the harness uses it."""

    def __init__(self, bootstrap: str) -> None:
        self.bootstrap = bootstrap
        self._admin = AdminClient({"bootstrap.servers": bootstrap, "log_level": 0})  # silent when the broker ends

    def create(self, *names: str, compact: bool = False) -> None:
        """Make topics with the partitions of every benchmark; those that exist stay as they are."""
        config = {"cleanup.policy": "compact"} if compact else {"retention.ms": "-1"}
        made = self._admin.create_topics([NewTopic(name, PARTITIONS, 1, config=config) for name in names])
        for future in made.values():
            try:
                future.result()
            except KafkaException as error:
                if error.args[0].code() != KafkaError.TOPIC_ALREADY_EXISTS:
                    raise

    def delete(self, prefix: str) -> None:
        """Remove every topic whose name starts so, and wait until the broker no longer lists them."""
        names = [name for name in self._admin.list_topics(timeout=10).topics if name.startswith(prefix)]
        if not names:
            return
        for future in self._admin.delete_topics(names).values():
            with suppress(KafkaException):
                future.result()
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline:
            left = self._admin.list_topics(timeout=10).topics
            if not any(name in left for name in names):
                return
            time.sleep(0.05)

    def fill(self, messages: Iterable[Message], *, compression: str = "lz4") -> int:
        """Publish all messages, partitioned by key as Java clients do, and return how many the broker has taken."""
        return _publish(Producer(self._options(compression)), messages)

    @contextmanager
    def held_back(self, messages: Iterable[Message]) -> Iterator[Callable[[], None]]:
        """Publish messages that nobody can read yet; calling what is yielded lets all of them go at once.

        So the producer is at rest while the reader is measured: they are records of a transaction.
        """
        producer = Producer(self._options("lz4") | {"transactional.id": f"{PREFIX}-{uuid.uuid4().hex}"})
        producer.init_transactions()
        producer.begin_transaction()
        _publish(producer, messages)
        yield producer.commit_transaction

    def _options(self, compression: str) -> dict[str, Any]:
        return {
            "bootstrap.servers": self.bootstrap,
            "partitioner": "murmur2_random",
            "enable.idempotence": True,
            "linger.ms": 50,
            "log_level": 3,  # a coordinator that is still starting is no news
            "compression.type": compression,
            "queue.buffering.max.messages": 500_000,
        }

    def records(self, topic: str) -> int:
        """Return how many offsets a topic has used; markers of transactions count too."""
        consumer = Consumer({"bootstrap.servers": self.bootstrap, "group.id": f"{PREFIX}-count"})
        try:
            metadata = self._admin.list_topics(topic, timeout=10).topics[topic]
            return sum(
                consumer.get_watermark_offsets(TopicPartition(topic, partition), timeout=10)[1]
                for partition in metadata.partitions
            )
        finally:
            consumer.close()

    def values(self, topic: str, *, deadline_seconds: float = 180) -> Iterator[bytes]:
        """Yield every committed value. Raises TimeoutError when the end was not reached in time."""
        for record in self.read(topic, deadline_seconds):
            if (value := record.value()) is not None:
                yield value

    def latest(
        self, topic: str, *, wanted: Callable[[bytes], bool] = lambda key: True, deadline_seconds: float = 180
    ) -> dict[bytes, bytes]:
        """Return the last value of each wanted key, read committed to the end; a tombstone removes its key.

        Raises:
            TimeoutError: the end was not reached in time.
        """
        values: dict[bytes, bytes] = {}
        for record in self.read(topic, deadline_seconds):
            key, value = record.key() or b"", record.value()
            if not wanted(key):
                continue
            if value is None:
                values.pop(key, None)
            else:
                values[key] = value
        return values

    def read(self, topic: str, deadline_seconds: float = 180) -> Iterator[KafkaMessage]:
        """Yield every committed record. Raises TimeoutError when the end was not reached in time."""
        consumer = Consumer(
            {
                "bootstrap.servers": self.bootstrap,
                "group.id": f"{PREFIX}-read",
                "enable.auto.commit": False,
                "isolation.level": "read_committed",
                "enable.partition.eof": True,
            }
        )
        try:
            partitions = self._admin.list_topics(topic, timeout=10).topics[topic].partitions
            consumer.assign([TopicPartition(topic, partition, 0) for partition in partitions])
            unread = set(partitions)
            deadline = time.monotonic() + deadline_seconds
            while unread:
                if time.monotonic() > deadline:
                    raise TimeoutError(f"{topic} was not read to its end in {deadline_seconds:.0f} s")
                for record in consumer.consume(10_000, 0.5):
                    if (error := record.error()) is None:
                        yield record
                    elif error.code() != KafkaError._PARTITION_EOF:
                        raise KafkaException(error)
                    else:
                        unread.discard(record.partition())
        finally:
            consumer.close()


def _publish(producer: Producer, messages: Iterable[Message]) -> int:
    failed: list[KafkaError] = []

    def delivered(error: KafkaError | None, _: object) -> None:
        if error is not None:
            failed.append(error)

    count = 0
    for message in messages:
        options: dict[str, Any] = {"timestamp": message.timestamp} if message.timestamp else {}
        if message.headers:
            options["headers"] = list(message.headers)
        while True:
            try:
                producer.produce(message.topic, message.value, message.key, on_delivery=delivered, **options)
                break
            except BufferError:
                producer.poll(0.1)
        count += 1
        if count % 1000 == 0:
            producer.poll(0)
    producer.flush()
    if failed:
        raise KafkaException(failed[0])
    return count
