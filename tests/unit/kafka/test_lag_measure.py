"""Lag by offsets alone."""

import pytest

from connectors.kafka.lag import measure


@pytest.mark.parametrize(
    ("committed", "start", "end", "lag", "exact", "lost", "beyond"),
    [
        (10, 0, 10, 0, True, 0, False),
        (7, 0, 10, 3, False, 0, False),
        (None, 0, 10, 10, False, 0, False),
        (None, 4, 10, 6, False, 0, False),
        (None, 10, 10, 0, True, 0, False),
        (2, 5, 10, 5, False, 3, False),
        (2, 5, 5, 0, True, 3, False),
        (12, 0, 10, 0, True, 0, True),
        (0, 0, 0, 0, True, 0, False),
    ],
)
def test_measure(committed: int | None, start: int, end: int, lag: int, exact: bool, lost: int, beyond: bool) -> None:
    found = measure("g", "t", 0, committed, start, end)
    assert (found.lag, found.exact, found.lost, found.beyond) == (lag, exact, lost, beyond)
