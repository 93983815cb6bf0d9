"""faust-traps.md, where something waits, hangs or overlaps: C5, E1 to E3, F1, F9, F11, G10, G13, G14."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from streams.batches import ExitCode, NotDelivered
from tests.deadline import eventually
from tests.integration.batches.conftest import update


def words(count: int) -> list[tuple[bytes, bytes]]:
    return [(b"k%d" % (i % 10), b"1") for i in range(count)]


async def test_trap_c5_a_value_changed_in_place_is_written(counting) -> None:
    def fold(row: Any, records: Any) -> None:
        row.data.setdefault("seen", []).extend(record.offset for record in records)

    for _ in range(2):
        await counting.produce([(b"k", b"1")])
        app, table = counting.app(fold=fold)
        async with app.running():
            await app.settled()
        counting.wipe()
    app, table = counting.app(fold=fold)
    async with app.running():
        await app.settled()
        assert (await table.get(b"k")).data == {"seen": [0, 1]}


async def test_trap_e1_a_static_member_that_restarts_causes_no_rebalance(counting) -> None:
    static = {"session_timeout_seconds": 10.0, "message_timeout_seconds": 5.0, "allowed_pause_seconds": 5.0}
    one, table_one = counting.app("one", instance_id="one", **static)
    async with one.running():
        two, table_two = counting.app("two", instance_id="two", **static)
        async with two.running():
            await eventually(lambda: len(table_one.owned()) == 2 and len(table_two.owned()) == 2)
            generations, partitions = dict(table_one.owned()), set(table_two.owned())
        again, table_again = counting.app("two", instance_id="two", **static)
        async with again.running():
            await eventually(lambda: len(table_again.owned()) == 2)
            assert set(table_again.owned()) == partitions
            assert table_one.owned() == generations, "the other worker noticed nothing"


async def test_trap_e2_a_batch_that_does_not_end_is_abandoned_within_the_grace_and_delivered_again(
    counting, ended
) -> None:
    app, _ = counting.app(revoke_grace_seconds=0.5, stop_seconds=5)
    entered = asyncio.Event()

    async def endless(batch: Any) -> None:
        entered.set()
        await asyncio.Event().wait()

    app.runtime.batched[counting.source] = endless
    await counting.produce(words(100))
    began = asyncio.get_running_loop().time()
    async with app.running():
        await asyncio.wait_for(entered.wait(), 20)
        began = asyncio.get_running_loop().time()
    assert asyncio.get_running_loop().time() - began < 5
    assert all(offset <= 0 for offset in await counting.committed())
    app, table = counting.app()
    async with app.running():
        await app.settled()
        assert (await table.get(b"k1")).data == {"n": 10}
    assert ended == []


async def test_trap_e2_what_is_still_queued_when_the_grace_is_over_is_dropped(counting) -> None:
    app, _ = counting.app(revoke_grace_seconds=0.5, stop_seconds=5, linger_milliseconds=19_000)
    waits: list[asyncio.Task[Any]] = []

    async def endless(batch: Any) -> None:
        if not waits:
            waits.append(asyncio.create_task(app.producer.publish(counting.changelog, b"late", b"{}")))
        await asyncio.Event().wait()

    app.runtime.batched[counting.source] = endless
    await counting.produce(words(100))
    async with app.running():
        await eventually(lambda: app.producer.pending() > 0)
    with pytest.raises(NotDelivered, match="Purged in queue"):
        await waits[0]


async def test_trap_e3_a_worker_whose_batches_wait_stays_in_the_group(counting) -> None:
    short = {
        "session_timeout_seconds": 1.5,
        "heartbeat_interval_seconds": 0.3,
        "message_timeout_seconds": 1.0,
        "allowed_pause_seconds": 1.2,
    }
    app, table = counting.app(max_batch_records=5, **short)
    release, agent = asyncio.Event(), app.runtime.batched[counting.source]

    async def slow(batch: Any) -> None:
        await release.wait()
        await agent(batch)

    app.runtime.batched[counting.source] = slow
    await counting.produce(words(200))
    async with app.running():
        await eventually(lambda: len(table.owned()) == 4)
        generations = dict(table.owned())
        loop = asyncio.get_running_loop()
        until = loop.time() + 3 * short["session_timeout_seconds"]
        await eventually(lambda: loop.time() > until)
        assert app.lease_seconds() > 0
        release.set()
        await app.settled()
        assert table.owned() == generations


async def test_trap_f1_an_agent_that_hangs_ends_the_process(counting, ended, logged, capfd) -> None:
    app, _ = counting.app(stall_seconds=1.0, revoke_grace_seconds=0.5)
    agent = app.runtime.batched[counting.source]
    hanging = asyncio.Event()

    async def hang(batch: Any) -> None:
        await agent(batch)
        await hanging.wait()

    app.runtime.batched[counting.source] = hang
    await counting.produce(words(10))
    async with app.running():
        await eventually(lambda: ended)
        hanging.set()
    assert ended[0] == ExitCode.STALLED
    assert "readable records wait and nothing is committed" in logged
    assert "Current thread" in capfd.readouterr().err, "what every thread was doing"


async def test_trap_f9_a_full_queue_is_waited_for(counting, all_rows) -> None:
    app, table = counting.app(producer_options={"queue.buffering.max.messages": 20, "linger.ms": 5})
    await counting.produce([(b"key%d" % i, b"1") for i in range(1500)])
    async with app.running():
        await app.settled()
        rows = await all_rows(table)
    assert len(rows) == 1500
    assert {data for data, _ in rows.values()} == {'{"n": 1}'}


async def test_trap_g10_updates_and_batches_of_one_row_take_turns(counting) -> None:
    app, table = counting.app(max_batch_records=5)
    await counting.produce([(b"k", b"1")] * 300)
    async with app.running():
        await eventually(lambda: app.health().ready and len(table.owned()) == 4)
        written = 0

        def mark(row: Any) -> None:
            row.data["marks"] = row.data.get("marks", 0) + 1

        while written < 50:
            for partition, generation in table.owned().items():
                if partition == _partition_of_k():
                    written += await update(app, table, partition, generation, [b"k"], mark)
        await app.settled()
        assert (await table.get(b"k")).data == {"n": 300, "marks": 50}


def _partition_of_k() -> int:
    from streams.batches.core.batch import partition_of

    return partition_of(b"k", 4)


async def test_trap_f11_g13_the_producer_is_idempotent_and_a_fetch_is_large(
    counting, monkeypatch, consumer_arguments
) -> None:
    from connectors.kafka import producer

    seen: list[dict[str, Any]] = []
    make = producer.Producer
    monkeypatch.setattr(producer, "Producer", lambda config: seen.append(config) or make(config))
    app, _ = counting.app()
    assert seen[0]["enable.idempotence"] is True
    assert seen[0]["acks"] == "all"
    async with app.running():
        await app.settled()
    assert consumer_arguments["max_partition_fetch_bytes"] == 8 << 20
