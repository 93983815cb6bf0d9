"""Reads what the summary is computed from: the topics, read committed, and the local Campaign Monitor's own books."""

import asyncio
import time
import uuid

from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, TopicPartition

from connectors.kafka.settings import KafkaSettings, consumer_config
from schemas.topics import TOPICS
from streams.up.findings import Kept

READ_SECONDS = 60.0


class IncompleteReadError(RuntimeError):
    """A topic was not read to its end in time."""


async def read_topics(settings: KafkaSettings) -> dict[str, list[Kept]]:
    """Return every committed record of every topic, by the topic's role."""
    return await asyncio.to_thread(_read_topics, settings)


def _read_topics(settings: KafkaSettings) -> dict[str, list[Kept]]:
    names = settings.names()
    role_of = {names[role]: role for role in TOPICS}
    found: dict[str, list[Kept]] = {role: [] for role in TOPICS}
    config = consumer_config(settings, "summary", f"summary-{uuid.uuid4().hex}")
    config["enable.partition.eof"] = True
    consumer = Consumer(config)
    try:
        known = consumer.list_topics(timeout=10).topics
        open_partitions = {
            (name, partition) for name in role_of if name in known for partition in known[name].partitions
        }
        consumer.assign([TopicPartition(name, partition, OFFSET_BEGINNING) for name, partition in open_partitions])
        deadline = time.monotonic() + READ_SECONDS
        while open_partitions:
            if time.monotonic() > deadline:
                raise IncompleteReadError(
                    f"topics not read to their ends within {READ_SECONDS:.0f} s: {open_partitions}"
                )
            for message in consumer.consume(5_000, 0.2):
                error = message.error()
                if error is None:
                    found[role_of[message.topic()]].append(Kept(message.key(), message.value()))
                elif error.code() == KafkaError._PARTITION_EOF:
                    open_partitions.discard((message.topic(), message.partition()))
    finally:
        consumer.close()
    return found
