"""Thousands of stories for the model of the export: see `tests/unit/export/test_model.py`.

`FAULT_EXAMPLES` sets their number, `FAULT_SEED` the dice. A failure prints the smallest story that was found, in words.
"""

import os

import pytest

from tests.unit.export.test_model import play_stories

EXAMPLES = int(os.environ.get("FAULT_EXAMPLES", "160"))
FIRST = int(os.environ.get("FAULT_SEED", "1000"))
SHARES = 8
SECONDS = max(1_800, 20 * EXAMPLES)


@pytest.mark.timeout(SECONDS)  # looking for the smallest story takes minutes
@pytest.mark.parametrize("share", range(FIRST, FIRST + SHARES))
def test_at_rest_the_list_is_what_it_should_be(share: int) -> None:
    play_stories(share, -(-EXAMPLES // SHARES))
