"""Peers of the export: loops over the official client."""

import sys
from collections.abc import Iterator
from datetime import UTC, datetime

from benchmarks.contest import Bench, WrongOutputError
from benchmarks.job import Job
from benchmarks.measure import run
from benchmarks.results import Result
from benchmarks.services import API_KEY
from benchmarks.suites.export_row import row
from benchmarks.suites.export_world import CALL_ROWS, LATENCY_MS, membership, world
from benchmarks.topics import Message

GUARANTEE = "none: no order of repeated changes, no receipts, no protection of who unsubscribed"


def add_loop(bench: Bench) -> Result:
    """Return the row of one add call after the other."""
    events = bench.scaled(60, quick=20, check=5)
    return _loop(bench, "add", events, 1, rows=1)


def import_threads(bench: Bench, in_flight: int, events: int) -> Result:
    """Return the row of import calls of 1,000, in as many threads as calls in flight."""
    return _loop(bench, "import", events, in_flight, rows=CALL_ROWS)


def _loop(bench: Bench, method: str, events: int, in_flight: int, *, rows: int) -> Result:
    def messages(topic: str) -> Iterator[Message]:
        for number in range(events):
            yield membership(topic, f"person{number}@example.com", "enter", datetime.now(UTC))

    with world(bench, f"loop-{method}{in_flight}") as here:
        here.account.do("add_field", list_id=here.list_id, name="City")
        bench.topics.fill(messages(here.source))
        options = (method, here.account.base_url, API_KEY, here.list_id, str(in_flight))
        app = f"{here.kafka.topic_prefix}loop"
        job = Job(bench.topics.bootstrap, app, (here.source,), "none", events, here.directory, options)
        command = [sys.executable, "-m", "benchmarks.peers.official_export", *job.arguments()]
        sample = run(command, here.directory / "loop", timeout_seconds=120)
        if (active := here.active()) != events:
            raise WrongOutputError(f"{method} loop: {active:,} of {events:,} are Active")
    threads = f", {in_flight} threads" if in_flight > 1 else ""
    return row(
        bench,
        f"backlog, {in_flight} in flight",
        system=f"official client, {method} call{threads}",
        guarantee=GUARANTEE,
        events=events,
        events_per_s=round(sample.events_per_s, 1),
        cpu_us_per_event=round(sample.cpu_us_per_event, 1),
        peak_rss_mb=round(sample.peak_rss_mb, 1),
        limit_fraction=round(sample.events_per_s / (in_flight * rows * 1000 / LATENCY_MS), 3),
        checked=f"{active:,} Active",
    )
