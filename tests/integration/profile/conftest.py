"""Profile workers on the run's broker, each with a disk of its own, and an independent witness of their topics."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, ClassVar

import pytest

from connectors.kafka.settings import KafkaSettings
from streams.mapping.catalog import DEFAULT_DIRECTORY
from streams.process import StreamsSettings
from streams.profile.rebuild import Rebuild
from streams.profile.settings import ProfileSettings
from streams.profile.worker import ProfileWorker
from tests import kafka_io

PARTITIONS = 4
TOPICS = ("cm_user", "cm_activity", "cm_profile_moves")
OTHERS = ("cm_erasures", "cm_profile_changes", "cm_membership-commands")
TOKEN = "a-token-for-tests"


class World:
    """Topics under a prefix of their own, workers that share them, and what can be read from outside."""

    def __init__(self, bootstrap_servers: str, namespace: str, directory: Path) -> None:
        self.bootstrap_servers = bootstrap_servers
        self.namespace = namespace
        self.directory = directory
        for topic in TOPICS:
            self.make(topic)
            self.make(f"{topic}.dlq")
        for topic in OTHERS:
            self.make(topic)
        self.make("cm_profile", {"cleanup.policy": "compact"})

    def make(self, topic: str, config: dict[str, str] | None = None) -> str:
        return kafka_io.create_topic(self.bootstrap_servers, self.namespace + topic, PARTITIONS, config)

    waits: ClassVar[dict[str, Any]] = {
        "commit_interval_seconds": 0.1,
        "fetch_max_wait_milliseconds": 100,
        "create_topics": False,
    }

    @property
    def kafka(self) -> KafkaSettings:
        return KafkaSettings(
            bootstrap_servers=self.bootstrap_servers,
            topic_prefix=self.namespace,
            partitions=PARTITIONS,
            replication_factor=1,
            min_insync_replicas=1,
        )

    def worker(self, disk: str = "w", *, overrides: dict[str, Any] | None = None, **profile: Any) -> ProfileWorker:
        streams = StreamsSettings(data_dir=self.directory / disk)
        settings = ProfileSettings(api_token=TOKEN, **profile)
        return ProfileWorker(streams, self.kafka, settings, **{**self.waits, **(overrides or {})})

    def rebuild(self, **profile: Any) -> Rebuild:
        return Rebuild(StreamsSettings(data_dir=self.directory / "rebuild"), self.kafka, ProfileSettings(**profile))

    @asynccontextmanager
    async def running(self, disk: str = "w", **more: Any):
        worker = self.worker(disk, **more)
        await worker.start()
        try:
            yield worker
        finally:
            await worker.stop()

    def process(
        self,
        disk: str,
        *,
        module: str = "tests.integration.profile.run_worker",
        log_file: Path | None = None,
        **environment: str,
    ) -> subprocess.Popen[bytes]:
        """A worker as a process of its own; the caller ends it. `log_file`: where its output goes, else to a pipe."""
        settings = {
            "KAFKA_BOOTSTRAP_SERVERS": self.bootstrap_servers,
            "KAFKA_TOPIC_PREFIX": self.namespace,
            "KAFKA_PARTITIONS": str(PARTITIONS),
            "KAFKA_REPLICATION_FACTOR": "1",
            "KAFKA_MIN_INSYNC_REPLICAS": "1",
            "STREAMS_DATA_DIR": str(self.directory / disk),
            "PROFILE_API_TOKEN": TOKEN,
        }
        out = subprocess.PIPE if log_file is None else os.open(log_file, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        try:
            return subprocess.Popen(
                [sys.executable, "-m", module],
                env={**os.environ, **settings, **environment},
                stdout=out,
                stderr=subprocess.STDOUT,
            )
        finally:
            if log_file is not None:
                os.close(out)

    def send(self, topic: str, *messages: Any, key: bytes | None = None) -> None:
        """Publish messages under their address's key; dicts as JSON."""
        records = []
        for message in messages:
            value = message if isinstance(message, bytes) or message is None else json.dumps(message).encode()
            name = key if key is not None or not isinstance(message, dict) else message["email"].lower().encode()
            records.append((name, value))
        kafka_io.produce(self.bootstrap_servers, self.namespace + topic, records)

    async def publish(self, topic: str, *messages: Any, key: bytes | None = None) -> None:
        await asyncio.to_thread(self.send, topic, *messages, key=key)

    async def records(self, topic: str) -> list[kafka_io.Record]:
        return await asyncio.to_thread(kafka_io.read_all, self.bootstrap_servers, self.namespace + topic)

    async def profiles(self) -> dict[str, dict[str, Any]]:
        """The newest value of each key; tombstones left out."""
        newest = {record.key.decode(): record.value for record in await self.records("cm_profile")}
        return {key: json.loads(value) for key, value in newest.items() if value is not None}


@pytest.fixture
def world(bootstrap_servers: str, namespace: str, tmp_path: Path) -> World:
    return World(bootstrap_servers, namespace, tmp_path)


@pytest.fixture
def default_mappings() -> Path:
    return DEFAULT_DIRECTORY
