"""Reads what the summary is computed from: the topics, read committed, and the local Campaign Monitor's own books."""

import asyncio
from contextlib import closing

from confluent_kafka import Consumer

from connectors.kafka.read_to_end import EndReader, pages, reader_config
from connectors.kafka.settings import KafkaSettings
from schemas.topics import TOPICS
from streams.up.findings import Kept

READ_SECONDS = 60.0


async def read_topics(settings: KafkaSettings) -> dict[str, list[Kept]]:
    """Return every committed record of every topic, by the topic's role. Raises ReadError."""
    return await asyncio.to_thread(_read_topics, settings)


def _read_topics(settings: KafkaSettings) -> dict[str, list[Kept]]:
    names = settings.names()
    role_of = {names[role]: role for role in TOPICS}
    found: dict[str, list[Kept]] = {role: [] for role in TOPICS}
    with closing(Consumer(reader_config(settings, "summary"))) as consumer:
        reader = EndReader(consumer, silence_seconds=READ_SECONDS, deadline_seconds=READ_SECONDS)
        known = consumer.list_topics(timeout=10).topics
        reader.assign([part for name in role_of if name in known for part in reader.partitions(name)])
        for page in pages(reader):
            for record in page:
                found[role_of[record.topic]].append(Kept(record.key, record.value))
    return found
