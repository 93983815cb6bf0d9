"""What the memory suite takes for a failure."""

import pytest

from benchmarks.results import Result
from benchmarks.suites.memory import failures


def rows(**held: list[float]) -> list[Result]:
    return [
        Result(suite="memory", workload=f"{worker}, {step} activities", system="ours", events=step, resident_mb=size)
        for step in range(3)
        for worker, sizes in held.items()
        for size in [sizes[step]]
    ]


@pytest.mark.parametrize(
    ("profiles", "export", "expected"),
    [
        ([300, 310, 320], [340, 345, 350], []),
        ([300, 351, 310], [200, 200, 200], ["memory, profiles: 351 MiB at rest, more than 350"]),
        ([200, 210, 220], [200, 210, 226], ["memory, export: from 200 to 226 MiB with the number of events"]),
    ],
)
def test_too_much_and_growth_are_failures(profiles: list[float], export: list[float], expected: list[str]) -> None:
    assert failures(rows(profiles=profiles, export=export)) == expected
