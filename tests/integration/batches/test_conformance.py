"""The real table, owner and producer, on a broker: what their stand-ins are held to (tests/batches_conformance.py)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest
import pytest_asyncio

from streams.batches import BatchApp, BatchTable, Revoked
from tests import kafka_io
from tests.batches_conformance import OwnerConformance, batch_of
from tests.deadline import eventually


class RealWorld:
    """An app with all of its partitions."""

    partition = 1

    def __init__(self, counting: Any, app: BatchApp, table: BatchTable[Any]) -> None:
        self.table, self.producer = table, app.producer
        self.source, self.outputs = counting.source, f"{counting.source}.out"
        self.generation = table.owned()[self.partition]
        self._app = app
        self._bootstrap_servers = counting.bootstrap_servers

    async def run_as_owner(self, job: Callable[[], Awaitable[Any]]) -> Any:
        return await self._app.run_as_owner(self.partition, self.generation, job)

    def set_text(self, row: Any, text: str) -> None:
        row.data["text"] = text

    def text_of(self, row: Any) -> str | None:
        text: str | None = row.data.get("text")
        return text

    async def published(self, topic: str) -> list[tuple[bytes | None, bytes | None]]:
        records = await asyncio.to_thread(kafka_io.read_all, self._bootstrap_servers, topic)
        return [(record.key, record.value) for record in records]


class TestBatchTable(OwnerConformance):
    @pytest_asyncio.fixture
    async def world(self, counting: Any) -> AsyncIterator[RealWorld]:
        await asyncio.to_thread(kafka_io.create_topic, counting.bootstrap_servers, f"{counting.source}.out", 1, {})
        app, table = counting.app()
        async with app.running():
            await eventually(lambda: app.health().ready and len(table.owned()) == 4)
            yield RealWorld(counting, app, table)

    async def test_a_batch_of_an_older_assignment_writes_nothing(self, world: RealWorld) -> None:
        """Not of the stand-ins: they know one assignment only."""
        batch = batch_of(world, [1])
        batch.generation -= 1
        with pytest.raises(Revoked):
            await self.write(world, batch, {b"a": "one"})
        assert not (await self.read(world, [b"a"]))[b"a"].exists

    async def test_publishing_returns_where_the_record_is(self, world: RealWorld) -> None:
        """Not of the stand-ins: nothing of ours asks for it there."""
        positions = [await world.producer.publish(world.outputs, b"k", b"") for _ in range(2)]
        assert positions == [(world.outputs, 0, 0), (world.outputs, 0, 1)]
