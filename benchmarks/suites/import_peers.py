"""Suite `import`, the others: the official client in a loop and in threads, and the Singer tap."""

import sys
from pathlib import Path

from benchmarks.contest import Bench, WrongOutputError
from benchmarks.job import Job
from benchmarks.measure import run as run_program
from benchmarks.results import Result
from benchmarks.services import API_KEY
from benchmarks.suites.import_account import LATENCY_MS, PAGE_ROWS, SUITE, Filled, Size, filled
from benchmarks.systems import BUILD, TAP, prepare_tap, python_versions, tap_versions


def client_in_threads(bench: Bench, it: Filled, directory: Path, threads: int, workload: str) -> Result:
    """Return the row of the official client in as many threads as calls in flight, on the same account."""
    return _official(bench, it, directory, threads, workload, f"official client, {threads} threads")


def _official(bench: Bench, it: Filled, directory: Path, threads: int, workload: str, system: str) -> Result:
    prefix, _ = bench.fresh("import-loop")
    topic = f"{prefix}rows"
    bench.topics.create(topic)
    events = sum(it.users.values()) + sum(it.reports.values())
    try:
        options = (it.account.base_url, API_KEY, it.client_id, str(threads))
        job = Job(bench.topics.bootstrap, prefix, (topic,), topic, events, directory, options)
        command = [sys.executable, "-m", "benchmarks.peers.official_import", *job.arguments()]
        sample = run_program(command, directory / "loop", timeout_seconds=90 + events / 500)
        if (found := bench.topics.records(topic)) != events:
            raise WrongOutputError(f"it published {found:,} rows, not {events:,}")
    finally:
        bench.topics.delete(prefix)
    return Result(
        suite=SUITE,
        workload=workload,
        system=system,
        guarantee="none: a crash begins again, and rows come twice",
        versions=python_versions("createsend", "confluent-kafka")(),
        events=events,
        events_per_s=round(sample.events_per_s, 1),
        cpu_us_per_event=round(sample.cpu_us_per_event, 1),
        peak_rss_mb=round(sample.peak_rss_mb, 1),
        limit_fraction=round(sample.events_per_s / (threads * PAGE_ROWS * 1000 / LATENCY_MS), 3),
        checked="as many rows as Campaign Monitor's totals require",
        quick=bench.quick,
    )


def loop(bench: Bench, size: Size) -> Result:
    """Return the row of a loop over the official client."""
    _, directory = bench.fresh("import-loop")
    with filled(directory, size, LATENCY_MS) as it:
        return _official(bench, it, directory, 1, "1 in flight", "official client, loop")


def tap(bench: Bench, size: Size) -> Result:
    """Return the row of the Singer tap. It writes lines to a file, not to Kafka, and knows no suppression list."""
    prepare_tap()
    _, directory = bench.fresh("import-tap")
    with filled(directory, size, LATENCY_MS) as it:
        events = sum(it.users.values()) + sum(it.reports.values())
        token = it.account.do("grant_token")["refresh_token"]
        program = str(Path(__file__).parent.parent / "peers" / "tap" / "import_rows.py")
        command = [str(BUILD / "tap" / "bin" / "python"), program, it.account.base_url, it.client_id, token]
        sample = run_program(command, directory / "tap", timeout_seconds=90 + events / 200)
    suppressed = events - sample.events
    if not 0 <= suppressed <= events // 10:
        raise WrongOutputError(f"the tap wrote {sample.events:,} rows of {events:,}")
    return Result(
        suite=SUITE,
        workload="1 in flight",
        system=TAP,
        guarantee="none: a crash begins again, and rows come twice; to a file, not to Kafka",
        versions=tap_versions(),
        events=sample.events,
        events_per_s=round(sample.events_per_s, 1),
        cpu_us_per_event=round(sample.cpu_us_per_event, 1),
        peak_rss_mb=round(sample.peak_rss_mb, 1),
        limit_fraction=round(sample.events_per_s / (PAGE_ROWS * 1000 / LATENCY_MS), 3),
        checked=f"{suppressed:,} rows of the suppression list are not read",
        quick=bench.quick,
    )
