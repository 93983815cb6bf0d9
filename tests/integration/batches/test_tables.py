"""Tables over a real broker: exact counts through restarts, wiped disks, rebalances and bad records."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from streams.batches import PoisonRecord, Revoked, TransientError
from streams.batches.core.batch import partition_of
from tests.deadline import eventually
from tests.integration.batches.conftest import update


def words(count: int, keys: int = 50, value: bytes = b"1") -> list[tuple[bytes, bytes]]:
    return [(b"k%d" % (i % keys), value) for i in range(count)]


def counts(rows: dict[bytes, tuple[str, Any]]) -> dict[bytes, int]:
    return {key: json.loads(data)["n"] for key, (data, _) in rows.items()}


@pytest.mark.parametrize("public", [False, True])
async def test_counts_survive_a_restart_and_a_wiped_disk(counting, all_rows, ended, public: bool) -> None:
    await counting.produce(words(1000))
    app, table = counting.app(public=public)
    async with app.running():
        await app.settled()
        first = await all_rows(table)
    assert counts(first) == {b"k%d" % i: 20 for i in range(50)}
    await counting.produce(words(500))
    app, table = counting.app(public=public)
    async with app.running():
        await app.settled()
        same_disk = await all_rows(table)
    assert counts(same_disk) == {b"k%d" % i: 30 for i in range(50)}
    counting.wipe()
    app, table = counting.app(public=public)
    async with app.running():
        await app.settled()
        rebuilt = await all_rows(table)
    assert rebuilt == same_disk, "rows and positions, key by key"
    assert ended == []


async def test_two_workers_come_and_go_and_every_record_counts_once(counting, all_rows, ended) -> None:
    total, sent = 6000, 0
    one, table_one = counting.app("one", max_batch_records=50)
    two, table_two = counting.app("two", max_batch_records=50)
    async with one.running():
        for step in range(3):
            await counting.produce(words(1000))
            sent += 1000
            if step == 1:
                async with two.running():
                    await eventually(lambda: len(table_two.owned()) == 2 and len(table_one.owned()) == 2)
                    await counting.produce(words(3000))
                    sent += 3000
                    await one.settled()
                    await two.settled()
        await eventually(lambda: len(table_one.owned()) == 4)
        await one.settled()
        rows = await all_rows(table_one)
    assert sent == total
    assert counts(rows) == {b"k%d" % i: total // 50 for i in range(50)}
    counting.wipe("one")
    again, table = counting.app("one")
    async with again.running():
        await again.settled()
        assert await all_rows(table) == rows
    assert ended == []


async def test_bad_records_are_dead_letters_and_everything_else_of_their_batches_counts(counting, all_rows) -> None:
    def fold(row: Any, records: Any) -> None:
        for record in records:
            row.data["n"] = row.data.get("n", 0) + 1
            if record.value == b"poison":
                raise PoisonRecord("poison", stage="decode")
            json.loads(record.value)

    log = words(1000)
    log[100:103] = [(b"k0", b"{"), (b"k1", b"poison"), (None, b"1")]
    await counting.produce(log)
    app, table = counting.app(fold=fold)
    async with app.running():
        await app.settled()
        rows = counts(await all_rows(table))
    letters = await counting.dead_letters(3)
    assert sorted((letter.key or b"", letter.value, dict(letter.headers)["dlq.stage"]) for letter in letters) == [
        (b"", b"1", b"fold"),
        (b"k0", b"{", b"fold"),
        (b"k1", b"poison", b"decode"),
    ]
    assert sum(rows.values()) == 997


async def test_rows_change_outside_of_an_event_only_for_the_owner_of_today(counting, all_rows) -> None:
    await counting.produce(words(100))
    app, table = counting.app()
    async with app.running():
        await app.settled()
        ((partition, generation), *_) = table.owned().items()
        key = next(key for key in await all_rows(table) if _partition(counting, key) == partition)

        def mark(row: Any) -> None:
            row.data["sent"] = True

        assert await update(app, table, partition, generation, [key], mark) == 1
        assert (await table.get(key)).data == {"n": 2, "sent": True}
        with pytest.raises(Revoked):
            await update(app, table, partition, generation - 1, [key], mark)
        with pytest.raises(RuntimeError, match="owner"):
            await table.read(partition, [key])
    with pytest.raises(Revoked):
        await update(app, table, partition, generation, [key], mark)
    counting.wipe()
    app, table = counting.app()
    async with app.running():
        await app.settled()
        assert (await table.get(key)).data == {"n": 2, "sent": True}


def _partition(counting, key: bytes) -> int:
    return partition_of(key, counting.settings().partitions)


async def test_due_rows_are_found_by_index_also_after_a_rebuild(counting) -> None:
    def fold(row: Any, records: Any) -> None:
        row.data["due"] = [record.value.decode() for record in records][-1]

    def index(row: Any) -> list[bytes]:
        return [f"due/{row.data['due']}".encode()] if row.data.get("due") not in (None, "no") else []

    async def due(table: Any) -> set[tuple[bytes, bytes]]:
        found = set()
        for partition in table.owned():
            async for pairs in table.due(partition, b"due/", step=2):
                found |= set(pairs)
        return found

    await counting.produce([(b"a", b"10"), (b"b", b"20"), (b"c", b"30"), (b"d", b"no")])
    app, table = counting.app(fold=fold, index=index)
    async with app.running():
        await app.settled()
        assert await due(table) == {(b"due/10", b"a"), (b"due/20", b"b"), (b"due/30", b"c")}
        await counting.produce([(b"a", b"no"), (b"b", b"25")])
        await app.settled()
        assert await due(table) == {(b"due/25", b"b"), (b"due/30", b"c")}
        partition = next(p for p in table.owned() if p == _partition(counting, b"b"))
        found = [pair async for pairs in table.due(partition, b"due/", upto=b"due/25") for pair in pairs]
        assert (b"due/25", b"b") not in found
    counting.wipe()
    app, table = counting.app(fold=fold, index=index)
    async with app.running():
        await app.settled()
        assert await due(table) == {(b"due/25", b"b"), (b"due/30", b"c")}


async def test_a_damaged_store_is_rebuilt_without_a_human(counting, all_rows) -> None:
    await counting.produce(words(200))
    app, table = counting.app()
    async with app.running():
        await app.settled()
        before = await all_rows(table)
    for current in (counting.directory / "w").rglob("CURRENT"):
        current.write_text("junk")
    app, table = counting.app()
    async with app.running():
        await app.settled()
        assert await all_rows(table) == before


async def test_hooks_see_each_assignment_and_its_end(counting) -> None:
    seen: list[tuple[str, int, int]] = []
    app, table = counting.app()

    @app.on_assigned
    async def assigned(partition: int, generation: int) -> None:
        assert table.owned()[partition] == generation
        seen.append(("assigned", partition, generation))

    @app.on_revoked
    async def revoked(partition: int, generation: int) -> None:
        await update(app, table, partition, generation, [], lambda row: None)  # still allowed
        seen.append(("revoked", partition, generation))

    async with app.running():
        await app.settled()
        assert app.lease_seconds() > 0
        assert app.health().ready
    assert sorted(kind for kind, *_ in seen) == ["assigned"] * 4 + ["revoked"] * 4
    assert app.lease_seconds() == 0


async def test_a_large_backlog_is_read_in_bounded_batches_of_every_partition(counting) -> None:
    await counting.produce(words(4000, keys=200))
    sizes: list[tuple[int, int]] = []
    app, _ = counting.app(max_batch_records=100)
    agent = app.runtime.batched[counting.source]

    async def watched(batch: Any) -> None:
        sizes.append((batch.partition, len(batch)))
        await agent(batch)

    app.runtime.batched[counting.source] = watched
    async with app.running():
        await app.settled()
    assert max(size for _, size in sizes) <= 100
    assert {partition for partition, _ in sizes[:8]} == {0, 1, 2, 3}, "all partitions advance together"


RECORDS = [(b"k%d" % (i % 40), b"1") for i in range(2000)]


async def test_without_room_for_more_one_batch_is_in_work_at_a_time_and_all_are_done(counting) -> None:
    app, table = counting.app(unsettled_bytes=1, max_batch_records=50)
    fold, most, partitions = app.runtime.batched[counting.source], 0, set()

    async def agent(batch: Any) -> None:
        nonlocal most
        most = max(most, app.runtime.ledger.unsettled())
        partitions.add(batch.partition)
        await asyncio.sleep(0.005)
        await fold(batch)

    app.runtime.batched[counting.source] = agent
    await counting.produce(RECORDS)
    async with app.running():
        await app.settled()
        assert (most, len(partitions)) == (1, 4)
        assert (await table.get(b"k1")).data == {"n": 50}


async def test_a_partition_that_is_held_up_takes_no_room_from_others(counting) -> None:
    app, _ = counting.app(unsettled_bytes=1, max_batch_records=50, retry_longest_seconds=0.2)
    fold, done, down = app.runtime.batched[counting.source], set(), True

    async def agent(batch: Any) -> None:
        if down and batch.partition in (0, 1):
            raise TransientError("down")
        await fold(batch)
        done.add(batch.partition)

    app.runtime.batched[counting.source] = agent
    await counting.produce(RECORDS)
    async with app.running():
        await eventually(lambda: done >= {2, 3})
        down = False
        await app.settled()
        assert done == {0, 1, 2, 3}


@pytest.mark.parametrize("codec", ["none", "gzip", "snappy", "lz4", "zstd"])
async def test_trap_g12_every_codec_is_read(counting, codec: str) -> None:
    await counting.produce(words(200, keys=10), config={"compression.type": codec, "linger.ms": 100})
    app, table = counting.app(compression=codec)
    async with app.running():
        await app.settled()
        assert (await table.get(b"k1")).data == {"n": 20}
