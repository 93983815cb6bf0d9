"""Suite `command-line`: how long commands take to answer, and the second start of `make run` to be ready."""

import os
import re
import signal
import subprocess
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from statistics import median

from benchmarks.contest import Bench, WrongOutputError
from benchmarks.measure import ROOT
from benchmarks.results import Result
from benchmarks.suites.command_line_people import (
    COMMAND,
    Timed,
    export_commands,
    fresh_topics,
    rebuild_commands,
    run_command,
)
from benchmarks.systems import OURS, python_versions
from benchmarks.topics import Message

SUITE = "command-line"
PROFILES, EMAIL = 10_000, "person7@example.com"
SHOWS = 15
MAX_SHOW_MS, MAX_START_MS = 300.0, 8_000.0
START_SECONDS = 180.0
"""After which a start has failed, on any machine."""
READY = re.compile(r"running after ([\d.]+) s")
START = "second start of make run"


def run(bench: Bench, *, extra: bool = False) -> list[Result]:
    """Return a row for each. More than the limits is a failure of a whole run; a quick one may share cores."""
    few = bench.check_only or bench.quick
    kafka, directory, settings = fresh_topics(bench, SUITE)
    try:
        topic = kafka.names()["cm_profile"]
        bench.topics.fill(
            Message(topic, f"person{number}@example.com".encode(), b'{"email":"person%d@example.com"}' % number)
            for number in range(100 if few else PROFILES)
        )
        shows = [_show(settings) for _ in range(3 if few else SHOWS)]
    finally:
        bench.topics.delete(kafka.topic_prefix)
    timed = [Timed("profile show", shows, MAX_SHOW_MS)]
    for others in (export_commands, rebuild_commands):
        timed += others(bench)
    note = ""
    if not bench.check_only:
        first, *later = [_start(directory / "data") for _ in range(2 if few else 4)]
        timed.append(Timed(START, later, MAX_START_MS))
        note = f"the first start took {first:,.0f} ms"
    rows = [_row(row, note if row.workload == START else "") for row in timed]
    if not few:
        for row, (_workload, _runs, limit) in zip(rows, timed, strict=True):
            if (row.p50_ms or 0.0) > limit:
                bench.failures.append(f"{SUITE}: {row.workload} takes {row.p50_ms:,.0f} ms, the limit is {limit:,.0f}")
    return rows


def _row(timed: Timed, note: str) -> Result:
    workload, milliseconds, limit = timed
    return Result(
        suite=SUITE,
        workload=workload,
        system=OURS,
        events=len(milliseconds),
        p50_ms=round(median(milliseconds), 1),
        runs=[round(value, 1) for value in milliseconds],
        checked="exit code and answer",
        note="; ".join(filter(None, (f"limit {limit:,.0f} ms, from the command to its end or to ready", note))),
        versions=python_versions()(),
    )


def _show(settings: Mapping[str, str]) -> float:
    """Return the milliseconds that `profile show` takes. Raises WrongOutputError."""
    taken, answer = run_command(settings, "profile", "show", EMAIL, "--json")
    if EMAIL.encode() not in answer:
        raise WrongOutputError(f"profile show printed {answer[:200]!r}")
    return taken


def _start(data_dir: Path) -> float:
    """Start everything on the data of the start before, stop it, and return the milliseconds until it was ready."""
    own = {name: value for name, value in os.environ.items() if not name.startswith(("KAFKA_", "CM_", "STREAMS_"))}
    began = time.perf_counter()
    process = subprocess.Popen(
        [*COMMAND, "up"],
        env={**own, "STREAMS_DATA_DIR": str(data_dir)},
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    ending = threading.Timer(START_SECONDS, process.kill)
    ending.start()
    shown: list[str] = []
    try:
        for line in process.stdout or ():
            shown.append(line)
            if READY.search(line):
                return (time.perf_counter() - began) * 1000
        raise RuntimeError(f"make run did not get ready: {''.join(shown)[-1000:]}")
    finally:
        ending.cancel()
        if process.poll() is None:
            process.send_signal(signal.SIGINT)
        process.communicate()
