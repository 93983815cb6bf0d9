"""Apps on the run's broker, each with topics and directories of its own, and an independent witness of their topics."""

from __future__ import annotations

import asyncio
import json
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import aiokafka
import pytest

from connectors.kafka.settings import KafkaSettings
from streams.batches import BatchApp, BatchSettings, BatchTable, JsonCodec, Metrics, Record, Row
from streams.batches.core import halt
from tests import kafka_io

PARTITIONS = 4


class Ended(BaseException):
    """The process would have ended here."""


class Counting:
    """A word count: one source topic, one table; each worker has its own disk."""

    def __init__(self, bootstrap_servers: str, namespace: str, tmp_path: Path) -> None:
        self.bootstrap_servers = bootstrap_servers
        self.group = f"{namespace}app"
        self.source = f"{namespace}words"
        self.changelog = f"{namespace}counts"
        self.directory = tmp_path
        kafka_io.create_topic(bootstrap_servers, self.source, PARTITIONS)
        kafka_io.create_topic(bootstrap_servers, f"{self.source}.dlq", PARTITIONS)

    def settings(self, worker: str = "w", *, compression: Any = "lz4", **more: Any) -> BatchSettings:
        return BatchSettings(
            **{
                "app_id": self.group,
                "kafka": KafkaSettings(bootstrap_servers=self.bootstrap_servers, compression=compression),
                "data_dir": self.directory / worker,
                "partitions": PARTITIONS,
                "commit_interval_seconds": 0.1,
                "fetch_max_wait_milliseconds": 100,
                **more,
            }
        )

    def app(
        self,
        worker: str = "w",
        fold: Callable[[Row[Any], Sequence[Record]], Any] | None = None,
        *,
        public: bool = False,
        index: Any = None,
        **more: Any,
    ) -> tuple[BatchApp, BatchTable[Any]]:
        app = BatchApp(self.settings(worker, **more), metrics=Metrics())
        table = app.table(
            "counts", codec=JsonCodec(), sources=[self.source], changelog=self.changelog, public=public, index=index
        )

        @app.agent(self.source)
        async def words(batch: Any) -> None:
            await table.fold(batch, fold or count)

        return app, table

    def wipe(self, worker: str = "w") -> None:
        shutil.rmtree(self.directory / worker, ignore_errors=True)

    async def produce(self, records: Sequence[tuple[Any, ...]], **more: Any) -> None:
        await asyncio.to_thread(kafka_io.produce, self.bootstrap_servers, self.source, records, **more)

    async def committed(self) -> list[int]:
        return await asyncio.to_thread(kafka_io.committed, self.bootstrap_servers, self.group, self.source, PARTITIONS)

    async def dead_letters(self, at_least: int = 0) -> list[kafka_io.Record]:
        return await asyncio.to_thread(
            kafka_io.read_all, self.bootstrap_servers, f"{self.source}.dlq", at_least=at_least
        )


def count(row: Row[Any], records: Sequence[Record]) -> None:
    row.data["n"] = row.data.get("n", 0) + len(records)


async def update(
    app: BatchApp, table: BatchTable[Any], partition: int, generation: int, keys: list[bytes], change: Any
) -> int:
    """Change rows outside of an event, as the owner; returns how many were written."""

    async def job() -> int:
        rows = await table.read(partition, keys)
        for row in rows.values():
            change(row)
        await table.write_rows(partition, generation, rows.values())
        return len(rows)

    return int(await app.run_as_owner(partition, generation, job))


async def everything(table: BatchTable[Any]) -> dict[bytes, tuple[str, Any]]:
    """All rows of the partitions that are owned here, with their positions."""
    rows: dict[bytes, tuple[str, Any]] = {}
    for partition in table.owned():
        async for found in table.scan(partition):
            for row in found:
                rows[row.key] = (json.dumps(row.data, sort_keys=True), sorted(row.positions.items()))
    return rows


@pytest.fixture
def counting(bootstrap_servers: str, namespace: str, tmp_path: Path) -> Counting:
    return Counting(bootstrap_servers, namespace, tmp_path)


@pytest.fixture(autouse=True)
def ended(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Exit codes with which the process would have ended; a test that expects none looks at nothing."""
    codes: list[int] = []
    monkeypatch.setattr(halt, "exit_process", codes.append)
    return codes


class FakeLog:
    """Replaces the logger that records the end of a process, however logging is configured."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def info(self, event: str, **fields: object) -> None:
        self.lines.append(f"{event} {fields}")

    critical = info

    def __contains__(self, text: str) -> bool:
        return any(text in line for line in self.lines)


@pytest.fixture
def logged(monkeypatch: pytest.MonkeyPatch) -> FakeLog:
    """What was logged with the end of the process."""
    logged = FakeLog()
    monkeypatch.setattr(halt, "log", logged)
    return logged


@pytest.fixture
def consumer_arguments(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What the last consumer of aiokafka was made with."""
    arguments: dict[str, Any] = {}

    class Watched(aiokafka.AIOKafkaConsumer):
        def __init__(self, **given: Any) -> None:
            arguments.update(given)
            super().__init__(**given)

    monkeypatch.setattr(aiokafka, "AIOKafkaConsumer", Watched)
    return arguments


@pytest.fixture
def all_rows() -> Any:
    return everything
