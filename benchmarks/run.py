"""Runs the benchmarks on the embedded broker: python -m benchmarks.run [--quick] [--suite profile] [--runs 3]."""

import argparse
import contextlib
import logging
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import structlog
from rich.console import Console

from benchmarks.contest import Bench
from benchmarks.results import RESULTS, Result, save
from benchmarks.suites import command_line, export, importing, mapping, memory, poison, profile, rebuild, webhook
from benchmarks.suites import console as console_suite
from benchmarks.systems import BUILD
from benchmarks.table import show
from benchmarks.topics import PREFIX, Topics
from connectors.devkit.embedded_kafka.broker import EmbeddedKafka


@dataclass(frozen=True, slots=True)
class Suite:
    """A suite, and the seconds that it takes on two quiet cores: a whole run with three runs each, and a quick one."""

    run: Callable[..., list[Result]]
    seconds: float
    quick_seconds: float


SUITES: Mapping[str, Suite] = {
    "profile": Suite(profile.run, 350, 44),
    "mapping": Suite(mapping.run, 240, 10),
    "rebuild": Suite(rebuild.run, 70, 7),
    "export": Suite(export.run, 130, 53),
    "import": Suite(importing.run, 75, 29),
    "webhook": Suite(webhook.run, 12, 5),
    "poison": Suite(poison.run, 25, 8),
    "memory": Suite(memory.run, 200, 60),
    "console": Suite(console_suite.run, 140, 95),
    "command-line": Suite(command_line.run, 80, 50),
}
"""Each `run` takes the Bench and `extra`, and returns its rows. A new suite is a module and a line here."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print the table, write results.json. Exit code 1 when something failed or did the wrong job."""
    asked = _parse(arguments)
    console = Console(width=None if sys.stdout.isatty() else 160)
    started = time.monotonic()

    def report(line: str) -> None:
        console.print(f"[dim]{time.monotonic() - started:6.1f} s[/dim]  {line}", highlight=False, markup=True)

    # The product's own words about topics that are made would hide the figures.
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING))
    results: list[Result] = []
    BUILD.mkdir(parents=True, exist_ok=True)
    with _broker(asked.bootstrap) as bootstrap, tempfile.TemporaryDirectory(prefix="run-", dir=BUILD) as directory:
        bench = Bench(
            topics=Topics(bootstrap),
            directory=Path(directory),
            runs=asked.runs or (1 if asked.quick or asked.check else 3),
            quick=asked.quick,
            java=not asked.quick or asked.check,
            check_only=asked.check,
            report=report,
        )
        bench.topics.delete(f"{PREFIX}-")
        pace = Pace([SUITES[name] for name in asked.suite or SUITES], quick=asked.quick)
        for name in asked.suite or SUITES:
            if not asked.check and not asked.extra:
                report(f"suite {name}; all will be done in about {pace.left(bench.runs):.0f} min")
            results += SUITES[name].run(bench, extra=asked.extra)
            pace.done(SUITES[name])
            if not asked.check:
                save(results, asked.output)
    if not asked.check:
        show(results, console)
    for failure in bench.failures:
        console.print(f"[red]FAILED[/red] {failure}", markup=True)
    report("done" if not bench.failures else f"done, {len(bench.failures)} failed")
    return 1 if bench.failures else 0


class Pace:
    """How long it will take: the suites' usual times, scaled by how the finished ones did."""

    def __init__(self, suites: Sequence[Suite], *, quick: bool) -> None:
        self._left = list(suites)
        self._quick = quick
        self._done = 0.0
        self._started = time.monotonic()

    def done(self, suite: Suite) -> None:
        """Note that a suite is finished."""
        self._left.remove(suite)
        self._done += self._usual(suite)

    def left(self, runs: int) -> float:
        """Return the minutes that are left."""
        scale = (time.monotonic() - self._started) / self._done if self._done else 1.0 if self._quick else runs / 3
        return sum(self._usual(suite) for suite in self._left) * scale / 60

    def _usual(self, suite: Suite) -> float:
        return suite.quick_seconds if self._quick else suite.seconds


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="benchmarks", description="Measure our speed against peers.")
    parser.add_argument("--quick", action="store_true", help="few events, one run, no peers in Java")
    parser.add_argument("--check", action="store_true", help="tiny inputs: does every program do its job? no figures")
    parser.add_argument("--suite", action="append", choices=SUITES, help="only this suite (may be repeated)")
    parser.add_argument("--runs", type=int, help="runs of each system, medians are kept (3; quick 1)")
    parser.add_argument("--extra", action="store_true", help="also variants of Kafka Streams, and 10,000,000 people")
    parser.add_argument("--output", type=Path, default=RESULTS, help="where the figures go")
    parser.add_argument(
        "--bootstrap",
        default=os.environ.get("KAFKA_BOOTSTRAP_SERVERS"),
        help=f"a broker of yours (its topics {PREFIX}-* are removed); without it an embedded one is started",
    )
    return parser.parse_args(arguments)


@contextlib.contextmanager
def _broker(bootstrap: str | None) -> Iterator[str]:
    """Yield the address of a broker. Ours does not compact during a run: that would be a guest on the same cores."""
    if bootstrap:
        yield bootstrap
        return
    with EmbeddedKafka(properties={"log.cleaner.enable": "false"}) as broker:
        yield broker.bootstrap_servers


if __name__ == "__main__":
    sys.exit(main())
