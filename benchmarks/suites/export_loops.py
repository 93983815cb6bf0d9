"""Peers of the export: loops over the official client."""

import sys
from collections.abc import Iterator
from datetime import UTC, datetime

from benchmarks.contest import Bench
from benchmarks.job import Job
from benchmarks.measure import run
from benchmarks.results import Result
from benchmarks.services import API_KEY
from benchmarks.suites.export_row import row
from benchmarks.suites.export_world import CALL_ROWS, LATENCY_MS, membership, world
from benchmarks.topics import Message

GUARANTEE = "none: no order of repeated changes, no receipts, no protection of who unsubscribed"
# method -> events: whole run, quick run, mere check; people a call
METHODS = {"add": (60, 20, 5, 1), "import": (30_000, 5_000, 2_000, CALL_ROWS)}


def loops(bench: Bench) -> list[Result]:
    """Return a row for one add call after the other, and one for import calls of 1,000."""
    found = []
    for method, (whole, quick, check, rows) in METHODS.items():
        events = bench.scaled(whole, quick=quick, check=check)

        def messages(topic: str, events: int = events) -> Iterator[Message]:
            for number in range(events):
                yield membership(topic, f"person{number}@example.com", "enter", datetime.now(UTC))

        with world(bench, f"loop-{method}") as here:
            here.account.do("add_field", list_id=here.list_id, name="City")
            bench.topics.fill(messages(here.source))
            options = (method, here.account.base_url, API_KEY, here.list_id)
            job = Job(
                bench.topics.bootstrap,
                f"{here.kafka.topic_prefix}loop",
                (here.source,),
                "none",
                events,
                here.directory,
                options,
            )
            command = [sys.executable, "-m", "benchmarks.peers.official_export", *job.arguments()]
            sample = run(command, here.directory / "loop", timeout_seconds=120)
            found.append(
                row(
                    bench,
                    "backlog, 1 in flight",
                    system=f"official client, {method} call",
                    guarantee=GUARANTEE,
                    events=events,
                    events_per_s=round(sample.events_per_s, 1),
                    cpu_us_per_event=round(sample.cpu_us_per_event, 1),
                    peak_rss_mb=round(sample.peak_rss_mb, 1),
                    limit_fraction=round(sample.events_per_s / (rows * 1000 / LATENCY_MS), 3),
                    checked=f"{here.active():,} Active",
                )
            )
            if here.active() != events:
                bench.failures.append(f"export, {method} loop: {here.active():,} of {events:,} are Active")
    return found
