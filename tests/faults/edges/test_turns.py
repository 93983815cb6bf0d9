"""Partitions that wait for their turn, and one that hangs."""

from __future__ import annotations

import pytest

from streams.batches import ExitCode
from tests.faults.batches.farm import Farm

SLOW = {"stall_seconds": 3.0, "max_batch_records": 100, "unsettled_bytes": 1, "job": {"wait_seconds": 1.2}}
"""One batch in work in the whole process: each of four partitions moves every 4.8 s."""


def test_a_slow_worker_works_on(farm: Farm) -> None:
    farm.produce(farm.events(800, 200))
    worker = farm.start("one", **SLOW)
    farm.drained(40)
    assert worker.process.exit_code is None
    assert farm.published()


@pytest.mark.long_fault
def test_a_worker_that_does_nothing_is_ended(farm: Farm) -> None:
    farm.produce(farm.events(400, 200))
    worker = farm.start("one", **{**SLOW, "job": {"wait_seconds": 3600}})
    assert worker.ended(20) == ExitCode.STALLED
