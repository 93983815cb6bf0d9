"""SIGKILL at random instants: every profile equal to the oracle, on the same disk and on an empty one.

FAULT_KILLS sets the number of kills (12 by default, 50 and more for `make faults`; 4,000 records for each), FAULT_SEED
the dice.
"""

import os
import random
import time

import pytest

from tests.integration.profile.conftest import World
from tests.integration.profile.kills import killed_again_and_again, public, rows, story
from tests.oracle import MIN_SHARE_IN_HAND

KILLS = int(os.environ.get("FAULT_KILLS", "12"))
RECORDS = 4_000 * KILLS
PEOPLE = 60 * KILLS


@pytest.mark.slow
@pytest.mark.timeout(900)
async def test_two_aggregators_killed_at_random_lose_nothing_and_count_nothing_twice(world: World) -> None:
    seed = int(os.environ.get("FAULT_SEED", str(random.randrange(1 << 30))))
    print(f"FAULT_SEED={seed}")
    rnd, began = random.Random(seed), time.monotonic()
    published = story(RECORDS, PEOPLE, rnd)

    outcome = await killed_again_and_again(world, published, KILLS, rnd)

    assert await world.profiles() == published.wanted
    same_disk = await rows(world, "", outcome.ports)
    assert public(same_disk) == published.wanted
    rebuilt = await rows(world, "empty-", outcome.ports)
    assert rebuilt == same_disk, "the same rows and positions on the same disk and rebuilt on an empty one"
    for topic in ("cm_user", "cm_activity", "cm_profile_moves"):
        assert not await world.records(f"{topic}.dlq")
    print(
        f"{KILLS} kills ({outcome.in_hand} with work in hand), {RECORDS} records, "
        f"{len(published.wanted)} profiles exact; "
        f"{outcome.seconds:.0f} s of kills, {time.monotonic() - began:.0f} s in all, "
        f"at work again after at most {outcome.longest:.1f} s"
    )
    assert outcome.in_hand >= MIN_SHARE_IN_HAND * KILLS, f"void: {outcome.in_hand} hit a worker with work in hand"
