"""Many plays of the importer against the simulator: see `tests/unit/importer/test_plays.py`.

`FAULT_EXAMPLES` sets their number, `FAULT_SEED` the first one. A failure names its seed and what happened in the play.
Plays are independent of one another, and each takes about a second: there is neither a broker nor another process in
them, only the plan, the tasks and readers, the client, and the simulator over HTTP. The kills of real processes are in
`test_kills.py` beside this file; they show that a crash repeats nothing that was committed, and here a crash loses the
pages that were requested ahead.
"""

import os

import pytest

from tests.unit.importer.test_plays import play_stories

EXAMPLES = int(os.environ.get("FAULT_EXAMPLES", "160"))
FIRST = int(os.environ.get("FAULT_SEED", "1000"))
SHARES = 8


@pytest.mark.timeout(1_800)  # a second each, on machines that others use too
@pytest.mark.parametrize("share", range(SHARES))
async def test_at_rest_each_row_is_there_once(share: int) -> None:
    """Every report row once, every subscriber once in each state, and nothing new in one more run.

    Shares are for those who run tests in parallel.
    """
    count = -(-EXAMPLES // SHARES)
    await play_stories(FIRST + share * count, count)
