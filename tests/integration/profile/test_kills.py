"""Two workers killed a few times: `tests/faults/profile` does the same with fifty kills."""

import random

import pytest

from tests.integration.profile.kills import killed_again_and_again, public, rows, story

KILLS, RECORDS, PEOPLE = 4, 6_000, 200
SEED = 20_250_101


@pytest.mark.slow
async def test_kills_lose_nothing_and_count_nothing_twice(world):
    rnd = random.Random(SEED)
    published = story(RECORDS, PEOPLE, rnd)

    outcome = await killed_again_and_again(world, published, KILLS, rnd)

    assert await world.profiles() == published.wanted
    assert public(await rows(world, "empty-", outcome.ports)) == published.wanted
    assert outcome.in_hand >= KILLS // 2
