"""Runs one program of one system and takes its figures."""

import contextlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.job import LINE

ROOT = Path(__file__).resolve().parent.parent
LAUNCHER = Path(__file__).with_name("launch.py")


class RunFailedError(RuntimeError):
    """A program ended without figures; the message holds the end of its output."""


@dataclass(frozen=True, slots=True)
class Sample:
    """One run: events and seconds between the program's own marks, memory from the operating system."""

    events: int
    seconds: float
    cpu_seconds: float
    peak_rss_mb: float
    whole_cpu_seconds: float = 0.0
    """Of the whole life, start-up included, as the operating system counted it."""
    p50_ms: float | None = None
    p99_ms: float | None = None

    @property
    def events_per_s(self) -> float:
        return self.events / self.seconds

    @property
    def cpu_us_per_event(self) -> float:
        return self.cpu_seconds / self.events * 1e6


@contextlib.contextmanager
def running(
    command: Sequence[str], directory: Path, environment: Mapping[str, str] | None = None
) -> Iterator[subprocess.Popen[bytes]]:
    """Start a command under the launcher; it is ended when the block is left.

    Its output and usage are the files `output` and `usage` in `directory`.
    """
    directory.mkdir(parents=True, exist_ok=True)
    quiet = {"PYTHONDONTWRITEBYTECODE": "1", "PYTHONWARNINGS": "ignore", "PYTHONHASHSEED": "0"}
    with (directory / "output").open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-I", "-S", str(LAUNCHER), str(directory / "usage"), *command],
            cwd=ROOT,
            env=os.environ | quiet | dict(environment or {}),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            yield process
        finally:
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)
            process.wait(30)


def run(command: Sequence[str], directory: Path, *, timeout_seconds: float) -> Sample:
    """Run a program to its end and return its figures.

    Raises:
        RunFailedError: it failed, took longer than the timeout, or did not print its line.
    """
    with running(command, directory) as process:
        try:
            process.wait(timeout_seconds)
        except subprocess.TimeoutExpired:
            raise RunFailedError(f"not done after {timeout_seconds:.0f} s: {output_tail(directory)}") from None
    usage = json.loads((directory / "usage").read_text())
    lines = (directory / "output").read_text(errors="replace").splitlines()
    reports = [json.loads(line.removeprefix(LINE)) for line in lines if line.startswith(LINE)]
    if usage["exit_code"] != 0 or len(reports) != 1:
        raise RunFailedError(f"exit code {usage['exit_code']}, {len(reports)} results: {output_tail(directory)}")
    sample = Sample(peak_rss_mb=usage["peak_rss_mb"], whole_cpu_seconds=usage["cpu_seconds"], **reports[0])
    if sample.cpu_seconds > usage["cpu_seconds"] * 1.01 + 0.05:
        raise RunFailedError(f"claims {sample.cpu_seconds:.2f} s of CPU, the system counted {usage['cpu_seconds']:.2f}")
    return sample


def output_tail(directory: Path) -> str:
    """Return the end of what a program printed."""
    return (directory / "output").read_text(errors="replace")[-3000:]
