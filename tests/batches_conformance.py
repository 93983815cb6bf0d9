"""What a table, an owner and a producer of `streams.batches` do, as tests that every stand-in of them must pass too.

A test module derives a class from these and gives it a fixture `world`: integration/batches/test_conformance.py has the
real ones on a broker, unit/batches/test_conformance_fakes.py those in memory that other tests use.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Protocol

import pytest

from streams.batches import Batch, Output, StoredRecord, TopicIncarnation

SOURCE_ID = 7
"""Of the source's incarnation: any number, as long as it stays the same."""


class World(Protocol):
    """What is tested, and what a test needs to look at it from outside."""

    table: Any
    producer: Any
    source: str
    """Topic of the batches."""
    outputs: str
    """A topic to publish to."""
    partition: int
    generation: int

    async def run_as_owner(self, job: Callable[[], Awaitable[Any]]) -> Any:
        """Run the job as the owner of `partition`."""

    def set_text(self, row: Any, text: str) -> None:
        """Put a text into the row's data."""

    def text_of(self, row: Any) -> str | None:
        """Return the text, None where there was none."""

    async def published(self, topic: str) -> list[tuple[bytes | None, bytes | None]]:
        """Return key and value of all records of a topic, in their order."""


def batch_of(world: World, offsets: Sequence[int], key: bytes = b"k") -> Batch:
    records = [StoredRecord(offset, key, b"v%d" % offset) for offset in offsets]
    return Batch(TopicIncarnation(world.source, SOURCE_ID), world.partition, records, generation=world.generation)


class TableConformance:
    """Rows: read, changed, written by the end of a batch."""

    async def write(self, world: World, batch: Batch, texts: dict[bytes, str]) -> None:
        """As an agent does it: encode each row, then write all of them."""

        async def job() -> None:
            rows = await world.table.read(world.partition, list(texts))
            for key, text in texts.items():
                world.set_text(rows[key], text)
            await world.table.write(batch, rows.values())

        await world.run_as_owner(job)

    async def read(self, world: World, keys: Sequence[bytes]) -> dict[bytes, Any]:
        async def job() -> Any:
            return await world.table.read(world.partition, keys)

        found: dict[bytes, Any] = await world.run_as_owner(job)
        return found

    async def test_an_absent_row_is_empty_and_says_that_it_does_not_exist(self, world: World) -> None:
        (row,) = (await self.read(world, [b"absent"])).values()
        assert (row.key, row.exists, world.text_of(row)) == (b"absent", False, None)

    async def test_what_was_written_is_read_again_with_the_batch_s_last_offset(self, world: World) -> None:
        batch = batch_of(world, [3, 4, 9])
        await self.write(world, batch, {b"a": "one", b"b": "two"})
        rows = await self.read(world, [b"a", b"b", b"c"])
        assert {key: world.text_of(row) for key, row in rows.items()} == {b"a": "one", b"b": "two", b"c": None}
        assert {key: row.exists for key, row in rows.items()} == {b"a": True, b"b": True, b"c": False}
        assert [rows[key].position(batch.source) for key in (b"a", b"b", b"c")] == [9, 9, -1]

    async def test_a_later_batch_advances_the_row_and_another_incarnation_of_the_topic_knows_nothing(
        self, world: World
    ) -> None:
        await self.write(world, batch_of(world, [1]), {b"a": "one"})
        await self.write(world, batch_of(world, [5]), {b"a": "two"})
        (row,) = (await self.read(world, [b"a"])).values()
        assert world.text_of(row) == "two"
        assert row.position(TopicIncarnation(world.source, SOURCE_ID)) == 5
        assert row.position(TopicIncarnation(world.source, SOURCE_ID + 1)) == -1

    async def test_a_change_that_is_not_written_leaves_no_trace(self, world: World) -> None:
        await self.write(world, batch_of(world, [1]), {b"a": "one"})
        for row in (await self.read(world, [b"a", b"new"])).values():
            world.set_text(row, "lost")
        rows = await self.read(world, [b"a", b"new"])
        assert (world.text_of(rows[b"a"]), world.text_of(rows[b"new"])) == ("one", None)
        assert not rows[b"new"].exists


class OwnerConformance(TableConformance):
    """The same with an owner, a producer and rows that are written outside of a batch."""

    async def test_the_owner_returns_a_job_s_result_and_raises_its_error(self, world: World) -> None:
        async def result() -> int:
            return 5

        async def error() -> None:
            raise KeyError("of the job")

        assert await world.run_as_owner(result) == 5
        with pytest.raises(KeyError, match="of the job"):
            await world.run_as_owner(error)
        assert await world.run_as_owner(result) == 5

    async def test_jobs_of_a_partition_run_one_after_another(self, world: World) -> None:
        trace: list[str] = []

        async def job(name: str) -> None:
            trace.append(f"{name} begins")
            await asyncio.sleep(0.01)
            trace.append(f"{name} ends")

        await asyncio.gather(*(world.run_as_owner(lambda name=name: job(name)) for name in "abc"))
        assert trace == [f"{name} {what}" for name in "abc" for what in ("begins", "ends")]

    async def test_rows_written_outside_of_a_batch_keep_their_offsets(self, world: World) -> None:
        await self.write(world, batch_of(world, [4]), {b"a": "one"})

        async def job() -> None:
            rows = await world.table.read(world.partition, [b"a"])
            world.set_text(rows[b"a"], "two")
            await world.table.write_rows(
                world.partition, world.generation, rows.values(), [Output(world.outputs, b"a", b"sent")]
            )

        await world.run_as_owner(job)
        (row,) = (await self.read(world, [b"a"])).values()
        assert (world.text_of(row), row.position(batch_of(world, [0]).source)) == ("two", 4)
        assert await world.published(world.outputs) == [(b"a", b"sent")]

    async def test_rows_that_are_given_back_are_read_again(self, world: World) -> None:
        await self.write(world, batch_of(world, [4]), {b"a": "one"})

        async def job() -> None:
            rows = await world.table.read(world.partition, [b"a", b"absent"])
            world.table.give_back(world.partition, rows.values())

        await world.run_as_owner(job)
        rows = await self.read(world, [b"a", b"absent"])
        assert [(world.text_of(row), row.exists) for row in rows.values()] == [("one", True), (None, False)]

    async def test_refused_records_and_outputs_of_a_batch_are_published_with_its_rows(self, world: World) -> None:
        batch = batch_of(world, [1, 2, 3])
        batch.refuse(batch.records[1], "strange")

        async def job() -> None:
            rows = await world.table.read(world.partition, [b"k"])
            world.set_text(rows[b"k"], "one")
            outputs = [Output(world.outputs, b"k", b"%d" % number) for number in range(3)]
            await world.table.write(batch, rows.values(), outputs)

        await world.run_as_owner(job)
        assert batch.refused == [], "once is enough"
        assert await world.published(world.outputs) == [(b"k", b"0"), (b"k", b"1"), (b"k", b"2")]
        assert await world.published(f"{world.source}.dlq") == [(b"k", b"v2")]

    async def test_records_of_a_key_are_published_in_their_order(self, world: World) -> None:
        await world.producer.publish_all([Output(world.outputs, b"k", b"%d" % number) for number in range(10)])
        await world.producer.publish(world.outputs, b"k", b"10", headers=[("name", b"content")])
        await world.producer.publish_all([])
        assert await world.published(world.outputs) == [(b"k", b"%d" % number) for number in range(11)]

    async def test_a_scan_meets_every_row_once_in_the_order_of_keys(self, world: World) -> None:
        texts = {b"k%02d" % number: str(number) for number in range(10)}
        await self.write(world, batch_of(world, [1]), texts)
        pages = [page async for page in world.table.scan(world.partition, step=3)]
        assert [len(page) for page in pages] == [3, 3, 3, 1]
        assert {row.key: world.text_of(row) for page in pages for row in page} == texts
        behind = [row.key async for page in world.table.scan(world.partition, after=b"k07") for row in page]
        assert behind == [b"k08", b"k09"]
