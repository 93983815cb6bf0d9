"""Workers come and go under load, in order and without."""

from __future__ import annotations

import random
import time
from typing import Any

import pytest

from tests import oracle
from tests.deadline import within
from tests.faults.batches.farm import Farm

DYNAMIC: dict[str, Any] = {
    "static": False,
    "stretch": 3000,
    "max_batch_records": 50,
    "session_timeout_seconds": 2.0,
    "heartbeat_interval_seconds": 0.3,
    "allowed_pause_seconds": 1.5,
    "message_timeout_seconds": 1.5,
}


@pytest.mark.slow
def test_a_second_worker_that_joins_and_leaves_again_and_again(farm: Farm) -> None:
    dice, in_hand, kills = random.Random(1), 0, 0
    farm.produce(farm.events(30_000, 500))
    farm.start("stays", **DYNAMIC)
    for turn in range(6):
        guest = farm.start("guest", **DYNAMIC)
        guest.at_work()
        time.sleep(dice.random() * 0.3)
        if turn % 3 == 2:
            kills += 1
            in_hand += guest.kill()
        else:
            began = time.monotonic()
            assert guest.stop() == 0
            assert time.monotonic() - began < 10
    farm.workers["stays"].hurry()
    farm.drained()
    verdict = farm.verdict()
    assert verdict.exact, str(verdict)
    oracle.assert_not_void(verdict, kills, in_hand)


def test_sigterm_under_load_ends_in_order_and_what_was_folded_is_not_delivered_again(farm: Farm) -> None:
    farm.produce(farm.events(6000, 300))
    dice = random.Random(2)
    for _ in range(5):
        worker = farm.start("one", stretch=2000, max_batch_records=50)
        worker.at_work()
        time.sleep(dice.random() * 0.2)
        began = time.monotonic()
        assert worker.stop() == 0
        assert time.monotonic() - began < 10
        assert not worker.in_hand, "stopped between two batches, with everything committed"
        assert farm.committed() == sum(row["n"] for row in farm.published().values())
    farm.start("one")
    farm.drained()
    verdict = farm.verdict()
    assert verdict.exact, str(verdict)
    oracle.assert_not_void(verdict)


def test_sigterm_while_tables_are_restored_ends_in_order(farm: Farm) -> None:
    farm.produce(farm.events(2000, 1000))
    farm.start("one")
    farm.drained()
    farm.kill()
    farm.wipe()
    worker = farm.start("one", stretch=300_000)
    within(20, lambda: worker.said().count("event='running'") == 2)
    assert worker.stop() == 0
    verdict = farm.verdict()
    assert verdict.exact, str(verdict)
