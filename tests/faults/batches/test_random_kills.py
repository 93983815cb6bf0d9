"""SIGKILL at random instants: every record counted once, on the same disk and on an empty one.

FAULT_KILLS sets the number of kills (12 by default, 50 and more for `make faults`), FAULT_SEED the dice.
"""

from __future__ import annotations

import os
import random
import time

import pytest

from tests.faults.batches.farm import FULL_EVENTS, KILLS, Farm
from tests.oracle import assert_not_void

EVENTS = FULL_EVENTS
USERS = 4_000


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_two_workers_killed_at_random_lose_nothing_and_count_nothing_twice(farm: Farm) -> None:
    seed = int(os.environ.get("FAULT_SEED", str(random.randrange(1 << 30))))
    print(f"FAULT_SEED={seed}")
    dice, began = random.Random(seed), time.monotonic()
    farm.produce(farm.events(EVENTS, USERS, seed))
    how = {"stretch": 150 * KILLS, "max_batch_records": 400}
    names = ("one", "two")
    for name in names:
        farm.start(name, **how)
    in_hand = 0
    longest = 0.0
    for kill in range(KILLS):
        worker = farm.workers[names[kill % 2]]
        since = time.monotonic()
        worker.at_work(90)
        longest = max(longest, time.monotonic() - since)
        time.sleep(dice.random() * 0.4)
        in_hand += worker.kill()
        farm.start(worker.name, **how)
    for worker in farm.running():
        worker.hurry()
    farm.drained(180)
    killing = time.monotonic() - began
    verdict = farm.verdict(max_batch_records=2000)
    print(
        f"{KILLS} kills ({in_hand} with work in hand), {verdict}; {killing:.0f} s of kills, "
        f"{time.monotonic() - began:.0f} s in all, at work again after at most {longest:.1f} s"
    )
    assert verdict.exact, str(verdict)
    assert verdict.obligations == EVENTS
    assert_not_void(verdict, KILLS, in_hand)
