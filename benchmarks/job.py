"""What a measured program is asked to do, and how it reports what it did.

Every system is a program of its own: it gets a `Job` as arguments, does the work, and prints one line `BENCH {...}`.
Standard library only, because the programs run in several virtual environments.
"""

import argparse
import json
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

LINE = "BENCH "
PARTITIONS = 4


@dataclass(frozen=True, slots=True)
class Job:
    """One run of one system. Topics exist before, except those that a system makes itself, named after `app`."""

    bootstrap: str
    app: str
    """Name of the run: consumer group, application id and prefix of internal topics."""
    inputs: tuple[str, ...]
    output: str
    events: int
    state: Path
    """An empty directory for local state."""
    options: tuple[str, ...] = ()
    """Further words that only this system understands."""

    def arguments(self) -> list[str]:
        """Return the command line of a Python program; `from_arguments` reads it."""
        words = [f"--bootstrap={self.bootstrap}", f"--app={self.app}", *(f"--input={name}" for name in self.inputs)]
        return [*words, f"--output={self.output}", f"--events={self.events}", f"--state={self.state}", *self.options]

    def java_arguments(self) -> list[str]:
        """Return the same for the Java programs: name=value, inputs joined by a comma."""
        words = {"bootstrap": self.bootstrap, "app": self.app, "input": ",".join(self.inputs)}
        words |= {"output": self.output, "events": str(self.events), "state": str(self.state)}
        return [*(f"{name}={value}" for name, value in words.items()), *self.options]

    @classmethod
    def from_arguments(cls, arguments: Sequence[str]) -> "Job":
        """Read a command line made by `arguments`."""
        parser = argparse.ArgumentParser()
        for name in ("bootstrap", "app", "output"):
            parser.add_argument(f"--{name}", required=True)
        parser.add_argument("--input", action="append", required=True)
        parser.add_argument("--events", type=int, required=True)
        parser.add_argument("--state", type=Path, required=True)
        parser.add_argument("options", nargs="*")
        found = parser.parse_args(arguments)
        return cls(
            bootstrap=found.bootstrap,
            app=found.app,
            inputs=tuple(found.input),
            output=found.output,
            events=found.events,
            state=found.state,
            options=tuple(found.options),
        )


class Stopwatch:
    """Time and CPU of this process, all of its threads, from the first event to the last acknowledged output.

    Start-up, imports, joining the group and leaving it are outside.
    """

    def __init__(self) -> None:
        self._started: tuple[float, float] | None = None

    def start(self) -> None:
        """Mark the first event; later calls change nothing."""
        if self._started is None:
            self._started = time.perf_counter(), time.process_time()

    def report(self, events: int, **figures: float) -> None:
        """Mark the end, all outputs acknowledged, and report; p50_ms and p99_ms where they are known."""
        if self._started is None:
            raise RuntimeError("the stopwatch was never started: no event came")
        seconds, cpu = time.perf_counter() - self._started[0], time.process_time() - self._started[1]
        figures_of_run = json.dumps({"events": events, "seconds": seconds, "cpu_seconds": cpu, **figures})
        # Not sys.stdout: Faust's worker puts its log there.
        print(f"\n{LINE}{figures_of_run}", file=sys.__stdout__, flush=True)
