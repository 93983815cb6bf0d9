"""Workers come and go under load, in order and without."""

from __future__ import annotations

import random
import time
from typing import Any

import pytest

from tests import oracle
from tests.deadline import within
from tests.faults.batches.farm import FULL, FULL_EVENTS, Farm

EVENTS, TURNS = (FULL_EVENTS, 20) if FULL else (30_000, 6)
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
@pytest.mark.timeout(900)
def test_two_workers_that_join_and_leave_again_and_again(farm: Farm) -> None:
    """One stays; of two others the one joins before the other leaves, every third time without a word."""
    dice, in_hand, kills, began = random.Random(1), 0, 0, time.monotonic()
    farm.produce(farm.events(EVENTS // 2, 500))
    farm.start("stays", **DYNAMIC)
    for turn in range(TURNS):
        farm.produce(farm.events(EVENTS // 2 // TURNS, 500, seed=turn + 1))
        guest = farm.start(f"guest-{turn % 2}", **DYNAMIC)
        guest.at_work()
        leaving = farm.workers.get(f"guest-{1 - turn % 2}")
        if leaving is None:
            continue
        at_joining = leaving.batches
        within(60, lambda worker=leaving, before=at_joining: worker.batches > before)  # it is over the rebalance, too
        time.sleep(dice.random() * 0.3)
        if turn % 3 == 2:
            kills += 1
            in_hand += leaving.kill()
        else:
            asked = time.monotonic()
            assert leaving.stop() == 0
            assert time.monotonic() - asked < 10
    for worker in farm.running():
        worker.hurry()
    farm.drained(180)
    verdict = farm.verdict(max_batch_records=2000)
    print(
        f"{TURNS} joins, {TURNS - 1} departures, {kills} of them kills ({in_hand} with work in hand), {verdict}; "
        f"{time.monotonic() - began:.0f} s"
    )
    assert verdict.exact, str(verdict)
    assert verdict.obligations == EVENTS // 2 + EVENTS // 2 // TURNS * TURNS
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
    within(20, lambda: worker.output().count("event='running'") == 2)
    assert worker.stop() == 0
    verdict = farm.verdict()
    assert verdict.exact, str(verdict)
