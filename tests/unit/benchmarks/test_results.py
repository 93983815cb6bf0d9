"""Medians, and what the file of figures keeps."""

from pathlib import Path

import pytest

from benchmarks.measure import Sample
from benchmarks.results import Result, load, save


def row(system: str = "ours", *, events: int = 1, quick: bool = False) -> Result:
    return Result(suite="profile", workload="w", system=system, events=events, quick=quick)


def test_each_figure_is_a_median_of_its_own() -> None:
    samples = [Sample(100, 1.0, 0.5, 70), Sample(100, 2.0, 0.1, 90), Sample(100, 4.0, 0.2, 80)]
    result = Result.of(samples, suite="profile", workload="w", system="ours")
    assert (result.events_per_s, result.cpu_us_per_event, result.peak_rss_mb) == (50.0, 2000.0, 80)
    assert result.runs == [100.0, 50.0, 25.0]


def test_a_row_holds_what_was_asked_for() -> None:
    samples = [Sample(100, 1.0, 0.5, 70)]
    written = Result.of(samples, suite="s", workload="w", system="o", guarantee="g", versions={"v": "1"}).to_json()
    assert written.keys() >= {
        "suite",
        "workload",
        "system",
        "events",
        "events_per_s",
        "cpu_us_per_event",
        "peak_rss_mb",
        "guarantee",
        "versions",
    }


def test_a_run_replaces_its_own_rows_only(tmp_path: Path) -> None:
    path = tmp_path / "results.json"
    save([row("ours", events=1), row("peer", events=1)], path)
    save([row("ours", events=2), row("ours", events=3, quick=True)], path)
    kept = {(found["system"], found.get("quick", False)): found["events"] for found in load(path)}
    assert kept == {("ours", False): 2, ("peer", False): 1, ("ours", True): 3}


def test_no_file_has_no_rows(tmp_path: Path) -> None:
    assert load(tmp_path / "none.json") == []


def test_medians_need_a_run() -> None:
    with pytest.raises(IndexError):
        Result.of([], suite="profile", workload="w", system="ours")
