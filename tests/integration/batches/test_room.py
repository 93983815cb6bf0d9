"""Batches in work are bounded for the whole process, and what is held up does not hold up others."""

from __future__ import annotations

import asyncio
from typing import Any

from streams.batches import TransientError
from tests.deadline import eventually

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
