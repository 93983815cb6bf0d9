"""Compares this tree with an older commit, in turns on one machine: python -m benchmarks.regression --against REV.

CPU time per event is what counts: it moves less than the rate when other processes share the machine. Both trees run
the measured programs of `benchmarks/ours/` from their own checkout and environment; the harness is this tree's.
"""

import argparse
import contextlib
import logging
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import structlog

from benchmarks.contest import Bench
from benchmarks.job import Job
from benchmarks.measure import ROOT
from benchmarks.results import Result
from benchmarks.suites import mapping, profile
from benchmarks.systems import BUILD, System
from benchmarks.topics import Topics
from benchmarks.workloads import MILLION, ROUND_ROBIN, ZIPF, Workload
from connectors.devkit.embedded_kafka.broker import EmbeddedKafka

SUITES: dict[str, tuple[System, str, Callable[[Bench, Workload, list[System]], list[Result]]]] = {
    "mapping": (mapping.ours, "benchmarks.ours.mapping_job", mapping.measure),
    "profile": (profile.ours, "benchmarks.ours.profile_job", profile.measure),
}
WORKLOADS = {"turn": ROUND_ROBIN, "zipf": ZIPF, "million": MILLION}


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure both trees and print CPU per event as a ratio. Exit code 1 when one grew by more than `--allowed`."""
    parser = argparse.ArgumentParser(prog="benchmarks.regression", description=__doc__)
    parser.add_argument("--against", required=True, metavar="REV", help="the older commit")
    parser.add_argument("--suite", action="append", choices=SUITES, help="only this suite (may be repeated)")
    parser.add_argument("--workload", action="append", choices=WORKLOADS, help="only this one (may be repeated)")
    parser.add_argument("--runs", type=int, default=5, help="runs of each tree, in turns; medians are compared (5)")
    parser.add_argument("--allowed", type=float, default=0.05, help="growth of CPU per event that passes (0.05)")
    asked = parser.parse_args(arguments)
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING))
    BUILD.mkdir(parents=True, exist_ok=True)
    grown = False
    with contextlib.ExitStack() as stack:
        older = stack.enter_context(checkout(asked.against))
        broker = stack.enter_context(EmbeddedKafka(properties={"log.cleaner.enable": "false"}))
        directory = stack.enter_context(tempfile.TemporaryDirectory(prefix="run-", dir=BUILD))
        bench = Bench(
            topics=Topics(broker.bootstrap_servers),
            directory=Path(directory),
            runs=asked.runs,
            quick=False,
            java=False,
            check_only=False,
            report=print,
        )
        for suite in asked.suite or SUITES:
            ours, module, measure = SUITES[suite]
            systems = [ours, replace(ours, name=f"ours at {asked.against}", command=program(older, module))]
            for workload in asked.workload or WORKLOADS:
                rows = measure(bench, WORKLOADS[workload], systems)
                grown |= report(rows, asked.allowed)
    for failure in bench.failures:
        print(f"FAILED {failure}")
    return 1 if grown or bench.failures else 0


@contextlib.contextmanager
def checkout(revision: str) -> Iterator[Path]:
    """Yield a work tree of the commit with an environment of its own; made once a commit, kept in build/bench."""
    sha = _git("rev-parse", "--short=12", f"{revision}^{{commit}}")
    tree = BUILD / f"commit-{sha}"
    if not tree.exists():
        _git("worktree", "add", "--detach", str(tree), sha)
    subprocess.run(["make", "setup", f"PYTHON={sys.executable}"], cwd=tree, check=True, env=_plain_environment())
    yield tree


def program(tree: Path, module: str) -> Callable[[Job], list[str]]:
    """Return how to start a measured program of another checkout, in its environment and its directory."""
    python = str(tree / ".venv" / "bin" / "python")
    return lambda job: ["env", "-C", str(tree), python, "-m", module, *job.arguments()]


def report(rows: Sequence[Result], allowed: float) -> bool:
    """Print the pair of rows; return whether CPU per event grew by more than `allowed`."""
    if len(rows) != 2:
        return True
    new, old = rows
    if not new.cpu_us_per_event or not old.cpu_us_per_event:
        return True
    ratio = new.cpu_us_per_event / old.cpu_us_per_event
    print(
        f"{new.suite}, {new.workload}: CPU per event {old.cpu_us_per_event:.2f} -> {new.cpu_us_per_event:.2f} us, "
        f"x {ratio:.3f}; {old.events_per_s:,.0f} -> {new.events_per_s:,.0f} events/s; "
        f"{old.peak_rss_mb:.0f} -> {new.peak_rss_mb:.0f} MiB",
        flush=True,
    )
    return ratio > 1 + allowed


def _git(*arguments: str) -> str:
    done = subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=True)
    return done.stdout.strip()


def _plain_environment() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if not name.startswith(("VIRTUAL_ENV", "MAKE"))}


if __name__ == "__main__":
    sys.exit(main())
