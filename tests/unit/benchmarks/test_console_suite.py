"""What the console suite takes for a failure."""

import pytest

from benchmarks.suites.console import failures


@pytest.mark.parametrize(
    ("request_ms", "share", "expected"),
    [
        (99.0, 0.099, []),
        (100.0, 0.01, ["console: the overview takes 100 ms of CPU, 100 at most are meant"]),
        (1.0, 0.25, ["console: 50 live pages take 0.25 of a core, 0.1 at most are meant"]),
    ],
)
def test_a_page_or_live_pages_that_cost_too_much_are_a_failure(
    request_ms: float, share: float, expected: list[str]
) -> None:
    assert failures(request_ms, share) == expected
