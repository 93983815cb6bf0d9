"""faust-traps.md, what is awaited, bounded or never asked of Faust: A4, C1, C2, C7, C9 to C12, E7 to E9, F3."""

from __future__ import annotations

import time
from typing import Any

import confluent_kafka
import pytest

from connectors.kafka import bulk_reader
from streams.batches import ExitCode, JsonCodec, NotDelivered, Revoked
from streams.batches.core.errors import StoreFailed
from streams.batches.table.store import PartitionStore
from tests.deadline import eventually


def words(count: int) -> list[tuple[bytes, bytes]]:
    return [(b"k%d" % (i % 10), b"1") for i in range(count)]


async def test_trap_c1_c2_a_changelog_write_that_fails_settles_nothing_and_is_done_again(counting) -> None:
    app, table = counting.app()
    publish, fails, tried = app.producer.publish_block, True, 0

    async def failing(*arguments: Any, **more: Any) -> int:
        nonlocal tried
        tried += 1
        if fails:
            raise NotDelivered("request timed out")
        return int(await publish(*arguments, **more))

    app.producer.publish_block = failing
    await counting.produce(words(100))
    async with app.running():
        await eventually(lambda: tried >= 12)
        await app.runtime.consumer.commit()
        assert all(offset <= 0 for offset in await counting.committed())
        assert [await table.get(b"k%d" % n) for n in range(10)] == [None] * 10, "nor is it in the store"
        fails = False
        await app.settled()
        assert [(await table.get(b"k%d" % n)).data for n in range(10)] == [{"n": 10}] * 10


async def test_trap_c7_rows_are_read_and_written_by_their_partitions_owner_only(counting) -> None:
    app, table = counting.app()
    async with app.running():
        await eventually(lambda: app.health().ready and len(table.owned()) == 4)
        generation = table.owned()[0]
        with pytest.raises(RuntimeError, match="by its owner only"):
            await table.read(0, [b"k"])
        with pytest.raises(RuntimeError, match="by its owner only"):
            await table.write_rows(0, generation, [])

        async def of_another_partition() -> None:
            await table.read(1, [b"k"])

        with pytest.raises(RuntimeError, match="by its owner only"):
            await app.run_as_owner(0, generation, of_another_partition)

        async def of_an_older_assignment() -> None:
            await table.write_rows(0, generation - 1, [])

        with pytest.raises(Revoked):
            await app.run_as_owner(0, generation, of_an_older_assignment)


@pytest.mark.parametrize("compiled", [True, False])
async def test_trap_c9_a_recovery_that_gets_nothing_ends_the_process(
    counting, ended, logged, monkeypatch, compiled
) -> None:
    await counting.produce(words(50))
    app, _ = counting.app()
    async with app.running():
        await app.settled()
    counting.wipe()

    class Silent(confluent_kafka.Consumer):
        def consume(self, *arguments: Any) -> list[Any]:
            time.sleep(0.05)
            return []

    class SilentQueue:
        def __init__(self, *arguments: Any) -> None:
            pass

        def poll(self, *arguments: Any) -> tuple[dict[Any, Any], list[Any]]:
            time.sleep(0.05)
            return {}, []

        def close(self) -> None:
            pass

    monkeypatch.setattr(confluent_kafka, "Consumer", Silent)
    monkeypatch.setattr(bulk_reader, "PartitionQueue", SilentQueue if compiled else None)
    app, table = counting.app(recovery_stall_seconds=1.0)
    async with app.running():
        await eventually(lambda: ended)
        assert table.owned() == {}, "no batch is folded into rows that are not there"
    assert ended[0] == ExitCode.RECOVERY
    assert "recovery: nothing came for" in logged
    assert counting.changelog in logged


async def test_trap_c10_an_error_while_the_changelog_is_applied_ends_the_process(counting, ended, monkeypatch) -> None:
    await counting.produce(words(50))
    app, _ = counting.app()
    async with app.running():
        await app.settled()
    counting.wipe()

    def full(self: PartitionStore, fill: Any, checkpoint: Any) -> None:
        raise StoreFailed("no space left on device")

    monkeypatch.setattr(PartitionStore, "write_with", full)
    app, table = counting.app()
    async with app.running():
        await eventually(lambda: ended)
        assert table.owned() == {}
    assert ended[0] == ExitCode.STORE


async def test_trap_a4_c11_c12_e7_faust_has_no_table_of_its_own_and_one_plain_agent_a_topic(counting) -> None:
    app, table = counting.app()
    async with app.running():
        await app.settled()
    assert not app.faust.tables, "none to window, and none whose changelog Faust would have to find"
    assert table.changelog == counting.changelog
    assert [(a.concurrency, a.isolated_partitions) for a in app.faust.agents.values()] == [(1, False)]


async def test_trap_e8_partitions_are_spread_evenly(counting) -> None:
    one, table_one = counting.app("one")
    two, table_two = counting.app("two")
    async with one.running():
        await eventually(lambda: len(table_one.owned()) == 4)
        async with two.running():
            await eventually(lambda: len(table_one.owned()) == 2 and len(table_two.owned()) == 2)
        await eventually(lambda: len(table_one.owned()) == 4)


async def test_trap_e9_what_is_declared_after_the_start_is_refused(counting) -> None:
    app, _ = counting.app()
    async with app.running():
        with pytest.raises(RuntimeError, match="before start"):
            app.agent("later")(_nothing)
        with pytest.raises(RuntimeError, match="before start"):
            app.table("later", codec=JsonCodec(), sources=["later"])


async def _nothing(batch: Any) -> None:
    return None


async def test_trap_f3_an_agent_that_blocks_the_loop_is_seen_by_the_watchdog(counting, ended, logged) -> None:
    app, _ = counting.app(stall_seconds=1.0)

    async def blocking(batch: Any) -> None:
        until = time.monotonic() + 20
        while not ended and time.monotonic() < until:
            time.sleep(0.05)  # noqa: ASYNC251 - that is the mistake

    app.runtime.batched[counting.source] = blocking
    await counting.produce(words(10))
    async with app.running():
        await eventually(lambda: ended)
    assert ended[0] == ExitCode.STALLED
    assert "readable records wait and nothing is committed" in logged
