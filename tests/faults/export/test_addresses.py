"""A thousand plays of people whose addresses change: see `tests/unit/export/address_plays.py`.

`FAULT_EXAMPLES` sets their number, `FAULT_SEED` the first; a failure prints everything that was done.
"""

import os

import pytest

from tests.unit.export.address_plays import play_addresses

EXAMPLES = int(os.environ.get("FAULT_EXAMPLES", "160"))
FIRST = int(os.environ.get("FAULT_SEED", "1000"))
SHARES = 8
SECONDS = max(1_800, 20 * EXAMPLES)


@pytest.mark.timeout(SECONDS)
@pytest.mark.parametrize("share", range(SHARES))
def test_any_changes_of_addresses_end_as_one_subscriber_for_each_person(share: int) -> None:
    count = -(-EXAMPLES // SHARES)
    seeds = range(FIRST + share * count, FIRST + (share + 1) * count)
    faults = [fault for seed in seeds if (fault := play_addresses(seed))]
    assert not faults, "\n\n".join(faults)
