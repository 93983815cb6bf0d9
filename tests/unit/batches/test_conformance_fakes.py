"""Stand-ins for tables, owners and producers that other tests use behave as the real ones do."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from streams.batches import JsonCodec
from tests.batches_conformance import OwnerConformance, TableConformance
from tests.unit.export.memory_runtime import Log, Process
from tests.unit.profile.in_memory_table import InMemoryProfileTable


class ExportWorld:
    """tests/unit/export: rows are memberships; a text goes into a field."""

    source, outputs, partition, generation = "in", "out", 0, 1

    def __init__(self) -> None:
        self._log = Log(partitions=1)
        self.table = self.producer = self._process = Process(self._log)

    async def run_as_owner(self, job: Callable[[], Awaitable[Any]]) -> Any:
        return await self._process.run_as_owner(self.partition, self.generation, job)

    def set_text(self, row: Any, text: str) -> None:
        row.data.fields["text"] = (text, 1)

    def text_of(self, row: Any) -> str | None:
        text: str | None = row.data.fields.get("text", (None, 0))[0]
        return text

    async def published(self, topic: str) -> list[tuple[bytes | None, bytes | None]]:
        return [(record.key, record.value) for record in self._log.read(topic)]


class ProfileTable(InMemoryProfileTable):
    """tests/unit/profile: only what the profile agent calls, so `write` is made of that."""

    async def write(self, batch: Any, rows: Any) -> None:
        await self.write_encoded(batch, [self.encode(batch, row) for row in rows])


class ProfileWorld:
    source, outputs, partition, generation = "in", "out", 0, 1
    producer = None

    def __init__(self) -> None:
        self.table = ProfileTable(JsonCodec())

    async def run_as_owner(self, job: Callable[[], Awaitable[Any]]) -> Any:
        return await job()

    def set_text(self, row: Any, text: str) -> None:
        row.data["text"] = text

    def text_of(self, row: Any) -> str | None:
        text: str | None = row.data.get("text")
        return text

    async def published(self, topic: str) -> list[tuple[bytes | None, bytes | None]]:
        return [(output.key, output.value) for output in self.table.outputs if output.topic == topic]


class TestExportMemory(OwnerConformance):
    @pytest.fixture
    def world(self) -> ExportWorld:
        return ExportWorld()


class TestProfileShelf(TableConformance):
    @pytest.fixture
    def world(self) -> ProfileWorld:
        return ProfileWorld()
