"""Medians of runs that measure several things each."""

from benchmarks.results import Result
from benchmarks.suites.export_backlog import medians


def _run(rate: float, cpu: float, first: float | None) -> Result:
    return Result(
        suite="export",
        workload="backlog",
        system="ours",
        events=10,
        events_per_s=rate,
        cpu_us_per_event=cpu,
        first_ms=first,
        note=f"at {rate}",
    )


def test_each_figure_has_its_own_median() -> None:
    found = medians([_run(3.0, 10.0, 7.0), _run(1.0, 30.0, None), _run(2.0, 20.0, 9.0)])
    assert (found.events_per_s, found.cpu_us_per_event, found.first_ms) == (2.0, 20.0, 8.0)
    assert found.p50_ms is None
    assert found.runs == [3.0, 1.0, 2.0]
    assert found.note == "at 3.0"
