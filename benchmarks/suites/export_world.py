"""One export worker, one simulated list and the topics between them."""

import contextlib
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import orjson
from confluent_kafka import Consumer, Producer, TopicPartition

from benchmarks.contest import Bench, WrongOutputError
from benchmarks.job import PARTITIONS
from benchmarks.services import Account, Service, product, simulator
from benchmarks.suites.waiting import until
from benchmarks.topics import Message
from connectors.kafka.admin import ensure_topics
from connectors.kafka.settings import KafkaSettings
from schemas.control import ExportJob, FieldMapping

LATENCY_MS = 100.0
CALL_ROWS = 1_000
"""People in one import call."""
AUDIENCE = "vip"
IMPORT_CALL = "POST /subscribers/{listid}/import"


@dataclass(slots=True)
class World:
    """What a scenario works with."""

    bench: Bench
    kafka: KafkaSettings
    directory: Path
    account: Account
    client_id: str
    list_id: str
    producer: Producer = field(init=False)

    def __post_init__(self) -> None:
        options = {"bootstrap.servers": self.bench.topics.bootstrap, "partitioner": "murmur2_random", "linger.ms": 0}
        self.producer = Producer(options)

    @property
    def source(self) -> str:
        """The topic of membership events."""
        return self.kafka.names()["audience-membership"]

    @contextlib.contextmanager
    def worker(self, in_flight: int) -> Iterator[Service]:
        """Run `cm-streams worker export`."""
        environment = self.environment() | {
            "CM_REQUESTS_IN_FLIGHT": str(in_flight),
            "CM_REQUESTS_IN_FLIGHT_PER_LIST": str(in_flight),
        }
        with product(["worker", "export"], self.directory, environment) as it:
            yield it

    def environment(self) -> dict[str, str]:
        """Return what the product's processes need to know of the broker and the account."""
        return self.account.environment() | {
            "KAFKA_BOOTSTRAP_SERVERS": self.kafka.bootstrap_servers,
            "KAFKA_TOPIC_PREFIX": self.kafka.topic_prefix,
            "KAFKA_PARTITIONS": str(self.kafka.partitions),
        }

    def job(self, *, existing_users: bool = False) -> None:
        """Publish the export job: one audience, one mapped field."""
        now = datetime.now(UTC)
        job = ExportJob(
            id="bench",
            authorization_id="bench",
            client_id=self.client_id,
            list_id=self.list_id,
            audiences=[AUDIENCE],
            existing_users=existing_users,
            field_mappings=[FieldMapping(user_field="city", custom_field="City")],
            removal_guard=1.0,
            created_at=now,
            updated_at=now,
            started_at=now if existing_users else now - timedelta(hours=3),
        )
        self.producer.produce(self.kafka.names()["cm_jobs"], job.to_bytes(), job.id.encode())
        self.producer.flush(10)

    def send(self, email: str, change: str) -> float:
        """Append one change now and return when (seconds since 1970)."""
        at = time.time()
        message = membership(self.source, email, change, datetime.fromtimestamp(at, UTC))
        self.producer.produce(message.topic, message.value, message.key)
        self.producer.poll(0)
        return at

    def written(self) -> int:
        """How many writes the API has accepted so far."""
        return int(self.account.do("summary")["writes"])

    def await_writes(self, count: int, seconds: float, *, every: float = 0.1) -> None:
        """Wait for so many accepted writes. Raises WrongOutputError when there were fewer in time, or more."""
        until(lambda: self.written() >= count, seconds, f"{count:,} accepted writes", every=every)
        if (found := self.written()) != count:
            raise WrongOutputError(f"{found:,} writes were accepted, not {count:,}")

    def warm_up(self, people: Sequence[str] = ("warm1@example.com", "warm2@example.com")) -> None:
        """Have people accepted: field, option and segment are made, all connections are open."""
        for person in people:
            self.send(person, "enter")
        self.producer.flush(10)
        until(lambda: self.active() >= len(people), 60, "the first people on the list")
        time.sleep(1.0)  # what follows a list's first write: its segment, and one subscriber read back

    def active(self) -> int:
        """How many Active subscribers the list has."""
        return int(self.account.do("list_state", list_id=self.list_id)["Active"])

    def folded(self, topic: str = "", app_id: str = "cm-export") -> bool:
        """Whether every record of a topic, by default every membership event, has become part of a row."""
        group = self.kafka.topic_prefix + app_id
        consumer = Consumer({"bootstrap.servers": self.kafka.bootstrap_servers, "group.id": group})
        try:
            asked = [TopicPartition(topic or self.source, partition) for partition in range(self.kafka.partitions)]
            for found in consumer.committed(asked, timeout=10):
                end = consumer.get_watermark_offsets(TopicPartition(found.topic, found.partition), timeout=10)[1]
                if found.offset < end:
                    return False
            return True
        finally:
            consumer.close()

    def receipts(self) -> Iterator[dict[str, Any]]:
        """Yield every receipt."""
        for value in self.bench.topics.values(self.kafka.names()["audience-delivery"]):
            yield orjson.loads(value)


@contextlib.contextmanager
def world(bench: Bench, name: str, *, book_limit: int | None = None, partitions: int = PARTITIONS) -> Iterator[World]:
    """Make the topics, start the simulator; nothing of it is left afterwards."""
    prefix, directory = bench.fresh(f"export-{name}")
    kafka = KafkaSettings(
        _env_file=None, bootstrap_servers=bench.topics.bootstrap, topic_prefix=prefix, partitions=partitions
    )
    ensure_topics(kafka, create=True)
    try:
        with simulator(directory, latency_ms=LATENCY_MS, book_limit=book_limit) as account:
            client_id = account.do("add_client", name="Acme")
            list_id = account.do("add_list", client_id=client_id, title="Newsletter")
            here = World(bench, kafka, directory, account, client_id, list_id)
            try:
                yield here
            finally:
                here.producer.flush(10)
    finally:
        bench.topics.delete(prefix)


def membership(topic: str, email: str, change: str, at: datetime) -> Message:
    """Return a membership event as upstream systems write it."""
    body = {
        "email": email,
        "change": change,
        "audience": {"id": AUDIENCE, "name": "VIP"},
        "at": at.isoformat(timespec="milliseconds"),
        "user": {"name": "Ada Lovelace", "city": "London", "plan": "gold", "points": 17},
    }
    return Message(topic, email.encode(), orjson.dumps(body))
