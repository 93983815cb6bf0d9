"""Asking the import connector for work: a task on `cm_import_tasks`, so that it is done once, whoever owns it."""

import asyncio
import zlib
from datetime import UTC, datetime

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

from connectors.kafka.client_config import admin_config
from connectors.kafka.producer import AsyncProducer
from connectors.kafka.settings import KafkaSettings
from schemas.control import WebhookRegistration
from schemas.envelope import rfc3339
from schemas.import_task import ImportTask
from schemas.topics import TopicNames


def task_key(task: ImportTask) -> bytes:
    """Return the key of a task: its chain, so that a chain has one partition."""
    return f"{task.job_id}:{task.chain}".encode()


def home_partition(job_id: str, partitions: int) -> int:
    """Return the task partition whose owner starts and ends the job's runs."""
    return zlib.crc32(job_id.encode()) % partitions


def partition_count(settings: KafkaSettings, topic: str) -> int:
    """Return how many partitions a topic has. Blocks. Raises KafkaException when no broker answers."""
    client = AdminClient({**admin_config(settings, "importer"), "log_level": 0})
    found = client.list_topics(topic, timeout=10).topics[topic]
    if found.error is not None:
        raise KafkaException(found.error)
    return len(found.partitions)


async def request_run(kafka: KafkaSettings, producer: AsyncProducer, job_id: str) -> None:
    """Ask that the job's next run begins at once; nothing happens while one is under way.

    Raises:
        PublishError: the brokers did not accept it.
        KafkaException: no broker answers.
    """
    topic = kafka.names()["cm_import_tasks"]
    count = await asyncio.to_thread(partition_count, kafka, topic)
    task = ImportTask(job_id=job_id, run=0, chain="start", kind="start", started_at=datetime.now(UTC))
    await producer.publish(topic, task_key(task), task.to_bytes(), partition=home_partition(job_id, count))


async def request_missed_changes(
    producer: AsyncProducer, names: TopicNames, hook: WebhookRegistration, since: datetime
) -> None:
    """Ask for the changes of state on a list since its webhook was last seen to work.

    Safe to ask twice, and after late events: the same change has the same event id. Raises PublishError.
    """
    task = ImportTask(
        job_id=hook.job_ids[0],
        run=0,
        chain=f"gap/{hook.list_id}",
        kind="gap",
        list_ids=[hook.list_id],
        since=rfc3339(since),
        label="events that a webhook missed",
        group=f"list {hook.list_name or hook.list_id}",
        started_at=datetime.now(UTC),
    )
    await producer.publish(names["cm_import_tasks"], task_key(task), task.to_bytes())
