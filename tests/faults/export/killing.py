"""Two export workers that are killed, what upstream publishes meanwhile, and what must hold when all is at rest."""

import asyncio
import contextlib
import os
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import orjson
from confluent_kafka import Consumer, KafkaException, Producer, TopicPartition

from connectors.control.jobs import Jobs
from connectors.devkit.simulator.server import Simulator
from connectors.kafka.producer import AsyncProducer
from connectors.kafka.settings import KafkaSettings
from schemas.control import ExportJob
from tests.integration.importer.importing import topic

ROOT = Path(__file__).parents[3]


class Workers:
    """Two export workers of one group; one that is killed is started again."""

    def __init__(self, kafka: KafkaSettings, simulator: Simulator, directory: Path) -> None:
        self._directory = directory
        self._environment = {
            **os.environ,
            "KAFKA_BOOTSTRAP_SERVERS": kafka.bootstrap_servers,
            "KAFKA_TOPIC_PREFIX": kafka.topic_prefix,
            "KAFKA_PARTITIONS": str(kafka.partitions),
            "KAFKA_SESSION_TIMEOUT_SECONDS": str(kafka.session_timeout_seconds),
            "KAFKA_DELIVERY_TIMEOUT_SECONDS": str(kafka.delivery_timeout_seconds),
            "CM_BASE_URL": simulator.base_url,
            "CM_API_KEY": simulator.api_key,
            "EXPORT_LATE_CALL_SECONDS": "3",
        }
        self.processes = [self._start(number) for number in range(2)]

    def _start(self, number: int, kill_at: str = "") -> "subprocess.Popen[bytes]":
        with (self._directory / f"worker-{number}.log").open("ab") as output:
            environment = self._environment | {
                "STREAMS_DATA_DIR": str(self._directory / f"data-{number}"),
                "BATCHES_KILL_AT": kill_at,
            }
            command = [sys.executable, "-m", "streams.cli", "worker", "export"]
            return subprocess.Popen(command, env=environment, cwd=ROOT, stdout=output, stderr=output)

    def kill(self, number: int, kill_at: str = "") -> None:
        """SIGKILL one and start it again; `kill_at`: the boundary at which the new one is killed, see killpoints.py."""
        self.processes[number].kill()
        self.processes[number].wait()
        self.processes[number] = self._start(number, kill_at)

    def has_ended(self, number: int, seconds: float) -> bool:
        """Wait for the end of one, a while."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.processes[number].wait(seconds)
        return self.processes[number].returncode is not None

    def wipe(self, number: int) -> None:
        """End one and remove its stores."""
        self.processes[number].kill()
        self.processes[number].wait()
        shutil.rmtree(self._directory / f"data-{number}", ignore_errors=True)

    def defects(self) -> list[str]:
        """Return what they logged of batches that failed for another reason than a broker that is away."""
        logs = (self._directory / f"worker-{number}.log" for number in range(2))
        return [line for log in logs for line in log.read_text().splitlines() if "batch failed" in line]

    def end(self) -> None:
        """Leave nothing running."""
        for process in self.processes:
            process.kill()
            process.wait()


class Play:
    """What upstream publishes for one job, and who unsubscribes; keeps what is to come of it."""

    def __init__(
        self,
        kafka: KafkaSettings,
        simulator: Simulator,
        client_id: str,
        list_id: str,
        workers: Workers,
        begin: datetime,
    ) -> None:
        self.kafka = kafka
        self.simulator = simulator
        self.list_id = list_id
        self.workers = workers
        self.people = 0
        self.changes = 0
        self.left: set[str] = set()
        """Who has unsubscribed."""
        self.wanted: dict[str, set[str]] = {}
        self._client_id = client_id
        self._now = self._began = begin
        self._producer = Producer({"bootstrap.servers": kafka.bootstrap_servers, "partitioner": "murmur2_random"})
        self._topic = kafka.names()["audience-membership"]

    def wave(self, size: int) -> None:
        """Let new people enter, a fifth of them twice, and some of those before another time."""
        for number in range(self.people, self.people + size):
            self._enter(number, "vip")
            if number % 5 == 0:
                self._enter(number, "eu")
            if self.people and number % 7 == 0:
                self._enter(number - size, "eu")
        self.people += size
        assert self._producer.flush(30) == 0

    def _enter(self, number: int, audience: str) -> None:
        email = f"p{number}@example.com"
        self._now += timedelta(milliseconds=1)
        self.wanted.setdefault(email, set()).add(audience.upper())
        named = {"id": audience, "name": audience.upper()}
        body = {"email": email, "change": "enter", "audience": named, "at": self._now.isoformat()}
        self._producer.produce(self._topic, orjson.dumps(body | {"user": {"city": "x"}}), email.encode())
        self._producer.poll(0)
        self.changes += 1

    def unsubscribe(self, numbers: range) -> None:
        """Let some unsubscribe at Campaign Monitor, as far as they are on the list by now."""
        for number in numbers:
            email = f"p{number}@example.com"
            with contextlib.suppress(KeyError):  # not on the list yet
                if self.simulator.controls.unsubscribe(self.list_id, email):
                    self.left.add(email)

    async def put_job(self, custom_field: str) -> None:
        """Start the job, or let it fill another field: everybody is looked at again."""
        values: dict[str, Any] = {
            "id": "export",
            "authorization_id": "main",
            "client_id": self._client_id,
            "list_id": self.list_id,
            "queue_autoresponders": True,
            "existing_users": True,
            "removal_guard": 1.0,
            "field_mappings": [{"user_field": "city", "custom_field": custom_field}],
        }
        now, began = datetime.now(UTC), self._began
        async with AsyncProducer(self.kafka, "test") as producer, Jobs(self.kafka, producer) as jobs:
            await jobs.put(ExportJob(**values, created_at=began, updated_at=now, started_at=now))


def receipts(kafka: KafkaSettings) -> list[dict[str, Any]]:
    return [orjson.loads(record.value) for record in topic(kafka, "audience-delivery")]


async def folded(kafka: KafkaSettings) -> bool:
    """Whether the workers have committed all of the source."""

    def committed() -> bool:
        name = kafka.names()["audience-membership"]
        consumer = Consumer(
            {"bootstrap.servers": kafka.bootstrap_servers, "group.id": f"{kafka.topic_prefix}cm-export"}
        )
        try:
            parts = [TopicPartition(name, number) for number in range(kafka.partitions)]
            found = consumer.committed(parts, timeout=10)
            return all(part.offset >= consumer.get_watermark_offsets(part, timeout=10)[1] for part in found)
        except KafkaException:  # a broker that has just started
            return False
        finally:
            consumer.close()

    return await asyncio.to_thread(committed)


def receipt_count(kafka: KafkaSettings) -> int:
    """How many receipts there are, by the ends of their partitions: reading them all takes long when there are many."""
    consumer = Consumer({"bootstrap.servers": kafka.bootstrap_servers, "group.id": f"{kafka.topic_prefix}looks"})
    try:
        parts = [TopicPartition(kafka.names()["audience-delivery"], number) for number in range(kafka.partitions)]
        return sum(consumer.get_watermark_offsets(part, timeout=10)[1] for part in parts)
    finally:
        consumer.close()


async def more(kafka: KafkaSettings, seen: int) -> bool:
    with contextlib.suppress(KafkaException):  # a broker that has just started
        return await asyncio.to_thread(receipt_count, kafka) > seen
    return False


def options(simulator: Simulator, list_id: str, email: str) -> set[str]:
    found = simulator.controls.subscriber(list_id, email) or {"CustomFields": []}
    return {value["Value"] for value in found["CustomFields"] if "Audiences" in value["Key"]}


def judge(play: Play, count: Callable[[str, object], None]) -> None:
    """One receipt for each change, the list as it should be, nobody made active again, no mail twice.

    `count` gets obligations and what was lost, doubled or wrong.
    """
    controls, found = play.simulator.controls, receipts(play.kafka)
    counted = Counter(receipt["event_id"] for receipt in found)
    count("obligations", play.changes)
    count("lost", play.changes - len(counted))
    count("doubled", len(found) - len(counted))
    doubled = [receipt for receipt in found if counted[receipt["event_id"]] > 1]
    assert not doubled, f"{len(doubled)} receipts of changes that have two, the first: {doubled[:4]}"
    assert len(counted) == play.changes
    held = {email: options(play.simulator, play.list_id, email) for email in play.wanted.keys() - play.left}
    count("wrong", sum(play.wanted[email] != options for email, options in held.items()))
    assert held == {email: play.wanted[email] for email in held}
    states = {email: (controls.subscriber(play.list_id, email) or {}).get("State") for email in play.left}
    assert set(states.values()) <= {"Unsubscribed"}, "somebody was made active again"
    mails = controls.automations(play.list_id).values()
    assert all(count["queued"] <= 1 and not count["restarted"] for count in mails)
