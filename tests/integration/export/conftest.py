"""The export worker against a real broker and a simulated Campaign Monitor."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import orjson
import pytest
from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic
from pydantic import SecretStr

from connectors.campaign_monitor.credentials import ApiKey, CampaignMonitorSettings, Credential
from connectors.control.jobs import Jobs
from connectors.devkit.simulator import Simulator, SimulatorSettings
from connectors.kafka.producer import AsyncProducer
from connectors.kafka.settings import KafkaSettings
from schemas.control import ExportJob
from schemas.topics import TOPICS
from streams.export.settings import ExportSettings
from streams.export.worker import ExportWorker
from streams.process import StreamsSettings

PARTITIONS = 2


class World:
    """One broker namespace, one simulated account, and the upstream that writes to both."""

    def __init__(self, bootstrap: str, prefix: str, simulator: Simulator, path: Path) -> None:
        self.kafka = KafkaSettings(
            _env_file=None,
            bootstrap_servers=bootstrap,
            topic_prefix=prefix,
            partitions=PARTITIONS,
            session_timeout_seconds=10,
            delivery_timeout_seconds=8,
        )
        self.names = self.kafka.names()
        self.simulator = simulator
        self.client_id = simulator.controls.add_client("Acme", "(GMT) Coordinated Universal Time")
        self.list_id = simulator.controls.add_list(self.client_id, "Newsletter")
        self.path = path
        self.attention: dict[str, str | None] = {}
        self.producer = Producer({"bootstrap.servers": bootstrap, "partitioner": "murmur2_random", "linger.ms": 0})
        self._topics(AdminClient({"bootstrap.servers": bootstrap}))

    def _topics(self, admin: AdminClient) -> None:
        roles = (
            "audience-membership",
            "audience-membership.dlq",
            "audience-delivery",
            "cm_activity",
            "cm_jobs",
            "cm_audit",
            "cm_authorizations",
            "cm_export-state",
            "cm_membership-commands",
            "cm_memberships-changelog",
        )
        new = [
            NewTopic(
                self.names[role],
                TOPICS[role].partitions or PARTITIONS,
                1,
                config={"cleanup.policy": TOPICS[role].cleanup},
            )
            for role in roles
        ]
        for future in admin.create_topics(new).values():
            future.result()

    def job(self, **options: Any) -> ExportJob:
        """Publish an export job and return it."""
        now = options.pop("now", datetime.now(UTC))
        values: dict[str, Any] = {
            "id": "job-1",
            "authorization_id": "auth-1",
            "client_id": self.client_id,
            "list_id": self.list_id,
            "created_at": now,
            "updated_at": now,
            "started_at": datetime(2026, 1, 1, tzinfo=UTC),
            **options,
        }
        job = ExportJob(**values)
        self.producer.produce(self.names["cm_jobs"], job.to_bytes(), job.id.encode())
        self.producer.flush()
        return job

    def change(self, email: str, change: str, audience: str, at: int, **user: Any) -> None:
        """Publish one membership event; `at` in seconds of a made-up day."""
        body = {
            "email": email,
            "change": change,
            "audience": {"id": audience, "name": audience.upper()},
            "at": f"2026-01-02T00:{at // 60:02d}:{at % 60:02d}Z",
            "user": user,
        }
        self.producer.produce(self.names["audience-membership"], orjson.dumps(body), email.encode())
        self.producer.poll(0)

    @asynccontextmanager
    async def worker(self, name: str = "w1", **overrides: Any) -> AsyncIterator[ExportWorker]:
        """Run an export worker."""

        async def credential(_authorization_id: str) -> Credential:
            return ApiKey(SecretStr(self.simulator.api_key))

        async def report_blocked(job_id: str, why: str | None) -> None:
            self.attention[job_id] = why

        worker = ExportWorker(
            StreamsSettings(_env_file=None, data_dir=self.path / name),
            self.kafka,
            ExportSettings(_env_file=None, checkpoint_seconds=0.5, probe_seconds=1.0, fields_check_seconds=2.0),
            CampaignMonitorSettings(base_url=self.simulator.base_url, oauth_url=self.simulator.oauth_url),
            credential,
            report_blocked,
            **overrides,
        )

        def job_changed(_job_id: str, _job: object) -> None:
            worker.set_jobs(jobs.exports().values())

        async with AsyncProducer(self.kafka, "test") as producer:
            jobs = Jobs(self.kafka, producer, on_change=job_changed)
            try:
                async with jobs, worker.app.running():
                    worker.set_jobs(jobs.exports().values())
                    yield worker
            finally:
                await worker.close()

    def receipts(self) -> list[dict[str, Any]]:
        """Everything on `audience-delivery`."""
        return [orjson.loads(value) for _, value in self.read("audience-delivery")]

    def read(self, role: str) -> list[tuple[Any, bytes]]:
        """Every record of a topic, read to its end."""
        consumer = Consumer(
            {
                "bootstrap.servers": self.kafka.bootstrap_servers,
                "group.id": "reader",
                "isolation.level": "read_committed",
            }
        )
        found = []
        try:
            for partition in range(TOPICS[role].partitions or PARTITIONS):
                tp = TopicPartition(self.names[role], partition, 0)
                _low, high = consumer.get_watermark_offsets(tp, timeout=10)
                consumer.assign([tp])
                seen = 0
                while seen < high:
                    message = consumer.poll(10)
                    if message is None:
                        break
                    found.append((message, message.value()))
                    seen = message.offset() + 1
        finally:
            consumer.close()
        return found


@pytest.fixture
async def world(bootstrap_servers: str, namespace: str, tmp_path: Path) -> AsyncIterator[World]:
    """A fresh world."""
    async with Simulator(SimulatorSettings()) as simulator:
        yield World(bootstrap_servers, namespace, simulator, tmp_path)
