"""A program's figures are believed only when it ended well and the operating system agrees."""

import sys
from pathlib import Path

import pytest

from benchmarks.measure import RunFailedError, run


def program(text: str) -> list[str]:
    return [sys.executable, "-c", text]


def line(cpu: float) -> str:
    return f'print(\'BENCH {{"events": 10, "seconds": 2.0, "cpu_seconds": {cpu}}}\')'


def test_the_line_is_read_and_memory_is_the_childs_own(tmp_path: Path) -> None:
    ballast = bytearray(150 << 20)
    sample = run(program(line(0.01)), tmp_path, timeout_seconds=30)
    assert (sample.events, sample.events_per_s, sample.cpu_us_per_event) == (10, 5.0, 1000.0)
    assert 1 < sample.peak_rss_mb < 100, f"the harness' own {len(ballast)} bytes must not count"


def test_more_cpu_than_the_system_counted_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RunFailedError, match="claims"):
        run(program(line(99.0)), tmp_path, timeout_seconds=30)


@pytest.mark.parametrize("text", ["raise SystemExit('broken pipe dream')", f"{line(0.0)}; raise SystemExit(3)", "pass"])
def test_a_program_that_fails_or_is_silent_has_no_figures(tmp_path: Path, text: str) -> None:
    with pytest.raises(RunFailedError):
        run(program(text), tmp_path, timeout_seconds=30)


def test_a_program_that_hangs_is_ended(tmp_path: Path) -> None:
    with pytest.raises(RunFailedError, match="not done after"):
        run(program("import time; time.sleep(600)"), tmp_path, timeout_seconds=0.5)
