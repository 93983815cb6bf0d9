"""Asking for a run: a task on the job's home partition, so that it is answered once, whoever owns it."""

import asyncio
from datetime import UTC, datetime

from connectors.importer.connector import partitions_of
from connectors.importer.outcome import task_key
from connectors.importer.partition import home_of
from connectors.kafka.producer import AsyncProducer
from connectors.kafka.settings import KafkaSettings
from schemas.import_task import ImportTask


async def request_run(kafka: KafkaSettings, producer: AsyncProducer, job_id: str) -> None:
    """Ask that the job's next run begins at once; nothing happens while one is under way.

    Raises:
        PublishError: the brokers did not take it.
        KafkaException: nobody answers.
    """
    topic = kafka.names()["cm_import_tasks"]
    count = await asyncio.to_thread(partitions_of, kafka, topic)
    task = ImportTask(job_id=job_id, run=0, chain="start", kind="start", started_at=datetime.now(UTC))
    await producer.publish(topic, task_key(task), task.to_bytes(), partition=home_of(job_id, count))
