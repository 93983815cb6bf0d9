"""Export workers that are killed: each change has one receipt, the list is what it should be, no mail is sent twice.

Two processes as `cm-streams worker export` starts them, a broker that may be killed and started again on its data, the
simulator with faults of the API, and people who unsubscribe under way. `FAULT_KILLS` is the number of SIGKILLs of
workers, `FAULT_BROKER_KILLS` of the broker (after which it takes minutes: who has no answer is read alone),
`FAULT_CHANGES` about how many changes there are, `FAULT_LATENCY_MS` how long a call takes, `FAULT_SEED` the dice. The
changes come in waves that are large enough to be sent before rows are written; the people of the first are there before
the job, which finds them as a backfill.
"""

import asyncio
import contextlib
import os
import random
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import orjson
import pytest
from confluent_kafka import Consumer, KafkaException, Producer, TopicPartition

from connectors.control.jobs import Jobs
from connectors.devkit.embedded_kafka.broker import EmbeddedKafka
from connectors.devkit.simulator.server import Simulator
from connectors.devkit.simulator.settings import SimulatorSettings
from connectors.kafka.producer import AsyncProducer
from connectors.kafka.settings import KafkaSettings
from schemas.control import ExportJob
from tests.deadline import eventually
from tests.integration.importer.importing import kafka_settings, topic

KILLS = int(os.environ.get("FAULT_KILLS", "3"))
SEED = int(os.environ.get("FAULT_SEED", str(random.randrange(10_000))))
CHANGES = int(os.environ.get("FAULT_CHANGES", str(2_800 + 800 * KILLS)))
BROKER_KILLS = min(int(os.environ.get("FAULT_BROKER_KILLS", "0")), max(0, KILLS - 1))
LATENCY_MS = int(os.environ.get("FAULT_LATENCY_MS", "100"))
# In every wave a fifth of the people enter twice, and a seventh of those before a third time.
PEOPLE = int(CHANGES / (1.2 + KILLS / (KILLS + 1) / 7))
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

    def _start(self, number: int) -> "subprocess.Popen[bytes]":
        with (self._directory / f"worker-{number}.log").open("ab") as output:
            environment = self._environment | {"STREAMS_DATA_DIR": str(self._directory / f"data-{number}")}
            command = [sys.executable, "-m", "streams.cli", "worker", "export"]
            return subprocess.Popen(command, env=environment, cwd=ROOT, stdout=output, stderr=output)

    def kill(self, number: int) -> None:
        """SIGKILL one and start it again."""
        self.processes[number].kill()
        self.processes[number].wait()
        self.processes[number] = self._start(number)

    def defects(self) -> list[str]:
        """Return what they logged of batches that failed for another reason than a broker that is away."""
        logs = (self._directory / f"worker-{number}.log" for number in range(2))
        return [line for log in logs for line in log.read_text().splitlines() if "batch failed" in line]

    def end(self) -> None:
        """Leave nothing running."""
        for process in self.processes:
            process.kill()
            process.wait()


@pytest.fixture
def started() -> Iterator[list[Workers]]:
    made: list[Workers] = []
    yield made
    for workers in made:
        workers.end()


class Upstream:
    """Publishes changes, and keeps who is in what."""

    def __init__(self, kafka: KafkaSettings, begin: datetime) -> None:
        self._producer = Producer({"bootstrap.servers": kafka.bootstrap_servers, "partitioner": "murmur2_random"})
        self._topic = kafka.names()["audience-membership"]
        self._now = begin
        self.left: set[str] = set()
        """Who has unsubscribed."""
        self.wanted: dict[str, set[str]] = {}
        self.changes = 0

    def change(self, number: int, change: str, audience: str) -> None:
        """Let somebody enter or leave an audience."""
        email = f"p{number}@example.com"
        self._now += timedelta(milliseconds=1)
        inside = self.wanted.setdefault(email, set())
        (inside.add if change == "enter" else inside.discard)(audience.upper())
        named = {"id": audience, "name": audience.upper()}
        body = {"email": email, "change": change, "audience": named, "at": self._now.isoformat(), "user": {"city": "x"}}
        self._producer.produce(self._topic, orjson.dumps(body), email.encode())
        self._producer.poll(0)
        self.changes += 1

    def unsubscribe(self, simulator: Simulator, list_id: str, numbers: range) -> None:
        """Let some unsubscribe at Campaign Monitor, as far as they are on the list by now."""
        for number in numbers:
            email = f"p{number}@example.com"
            with contextlib.suppress(KeyError):  # not on the list yet
                if simulator.controls.unsubscribe(list_id, email):
                    self.left.add(email)

    def flush(self) -> None:
        """Wait until the broker has everything."""
        assert self._producer.flush(30) == 0


async def _job(kafka: KafkaSettings, client_id: str, list_id: str, begin: datetime) -> None:
    values: dict[str, Any] = {
        "id": "export",
        "authorization_id": "main",
        "client_id": client_id,
        "list_id": list_id,
        "queue_autoresponders": True,
        "existing_users": True,
        "removal_guard": 1.0,
        "field_mappings": [{"user_field": "city", "custom_field": "City"}],
    }
    async with AsyncProducer(kafka, "test") as producer, Jobs(kafka, producer) as jobs:
        await jobs.put(ExportJob(**values, created_at=begin, updated_at=begin, started_at=begin))


def _receipts(kafka: KafkaSettings) -> list[dict[str, Any]]:
    return [orjson.loads(record.value) for record in topic(kafka, "audience-delivery")]


@pytest.mark.slow
@pytest.mark.timeout(240 + 40 * KILLS + 200 * BROKER_KILLS)
async def test_killed_at_random(
    own_broker: EmbeddedKafka, namespace: str, tmp_path: Path, started: list[Workers]
) -> None:
    print(f"FAULT_SEED={SEED}")
    dice, begin = random.Random(SEED), datetime.now(UTC) - timedelta(minutes=2)
    times = {"session_timeout_seconds": 6.0, "delivery_timeout_seconds": 5.0}
    kafka = kafka_settings(own_broker.bootstrap_servers, namespace).model_copy(update=times)
    async with Simulator(SimulatorSettings(latency_ms=LATENCY_MS)) as simulator:
        client_id = simulator.controls.add_client("Acme", "(GMT) Coordinated Universal Time")
        list_id = simulator.controls.add_list(client_id, "Newsletter")
        for kind, change in (("status", {"status": 500}), ("reset", {"after": True}), ("truncate", {})):
            simulator.controls.inject(
                kind=kind, probability=0.01, count=None, seed=SEED, path="/subscribers/*", **change
            )
        upstream = Upstream(kafka, begin)
        workers = Workers(kafka, simulator, tmp_path)
        started.append(workers)
        broker_kills = set(dice.sample(range(1, KILLS), BROKER_KILLS)) if BROKER_KILLS > 0 else set()
        size = PEOPLE // (KILLS + 1)
        for wave in range(KILLS + 1):
            first = wave * size
            for number in range(first, first + size):
                upstream.change(number, "enter", "vip")
                if number % 5 == 0:
                    upstream.change(number, "enter", "eu")
                if wave and number % 7 == 0:
                    upstream.change(number - size, "enter", "eu")
            upstream.flush()
            if not wave:
                await eventually(lambda: _folded(kafka), seconds=90, every=0.5)
                await _job(kafka, client_id, list_id, datetime.now(UTC))
            else:
                upstream.unsubscribe(simulator, list_id, range(wave % 23, first, 23 * wave))
            answered = await asyncio.to_thread(_end, kafka)
            await eventually(lambda seen=answered: _more(kafka, seen), seconds=90, every=0.1)
            await asyncio.sleep(dice.random() * 0.6)
            if wave < KILLS:
                workers.kill(dice.randrange(2))
            if wave in broker_kills:
                await asyncio.to_thread(own_broker.kill)
                await asyncio.to_thread(own_broker.start)
        answered = 0
        while answered < upstream.changes:  # slowly: whose call has no answer is read alone
            await eventually(lambda seen=answered: _more(kafka, seen), seconds=150, every=1.0)
            answered = await asyncio.to_thread(_end, kafka)
        assert workers.defects() == []
        simulator.controls.clear_faults()
        receipts = _receipts(kafka)
        counted = Counter(receipt["event_id"] for receipt in receipts)
        doubled = [receipt for receipt in receipts if counted[receipt["event_id"]] > 1]
        assert not doubled, f"{len(doubled)} receipts of changes that have two, the first: {doubled[:4]}"
        assert len(counted) == upstream.changes
        found = {email: _options(simulator, list_id, email) for email in upstream.wanted.keys() - upstream.left}
        assert found == {email: upstream.wanted[email] for email in found}
        states = {email: (simulator.controls.subscriber(list_id, email) or {}).get("State") for email in upstream.left}
        assert set(states.values()) <= {"Unsubscribed"}, "somebody was made active again"
        assert len(states) > PEOPLE // 100 or not KILLS
        started_mails = simulator.controls.automations(list_id)
        assert all(count["queued"] <= 1 and not count["restarted"] for count in started_mails.values())


async def _folded(kafka: KafkaSettings) -> bool:
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


def _end(kafka: KafkaSettings) -> int:
    """How many receipts there are, by the ends of their partitions: reading them all takes long when there are many."""
    consumer = Consumer({"bootstrap.servers": kafka.bootstrap_servers, "group.id": f"{kafka.topic_prefix}looks"})
    try:
        parts = [TopicPartition(kafka.names()["audience-delivery"], number) for number in range(kafka.partitions)]
        return sum(consumer.get_watermark_offsets(part, timeout=10)[1] for part in parts)
    finally:
        consumer.close()


async def _more(kafka: KafkaSettings, seen: int) -> bool:
    with contextlib.suppress(KafkaException):  # a broker that has just started
        return await asyncio.to_thread(_end, kafka) > seen
    return False


def _options(simulator: Simulator, list_id: str, email: str) -> set[str]:
    found = simulator.controls.subscriber(list_id, email) or {"CustomFields": []}
    return {value["Value"] for value in found["CustomFields"] if "Audiences" in value["Key"]}
