"""The owner of a partition takes batches and jobs in turns."""

from __future__ import annotations

import asyncio
from typing import Any

from streams.batches.lanes import Lane


class Batch:
    generation = 1

    def __init__(self, name: str) -> None:
        self.name = name


async def test_neither_jobs_nor_batches_wait_for_all_of_the_others() -> None:
    done: list[str] = []

    async def process(lane: Lane, batch: Any) -> None:
        done.append(batch.name)

    async def job(name: str) -> None:
        done.append(name)

    lane = Lane(0, 1, process, lambda: None)
    jobs = [asyncio.create_task(lane.run(lambda n=n: job(f"job {n}"))) for n in range(3)]  # type: ignore[misc]
    await asyncio.sleep(0)
    for name in ("batch 0", "batch 1"):
        lane.put(Batch(name))  # type: ignore[arg-type]
    await asyncio.gather(*jobs)
    await lane.idle()
    await lane.end()
    assert done == ["job 0", "batch 0", "job 1", "batch 1", "job 2"]
