"""A backlog of new members: the simulator alone, ours, and the official client in as many threads, in turns."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from statistics import median

from benchmarks.contest import Bench, WrongOutputError
from benchmarks.measure import RunFailedError
from benchmarks.results import Result
from benchmarks.services import Meter
from benchmarks.suites import export_loops
from benchmarks.suites.export_ceiling import ceiling
from benchmarks.suites.export_row import row
from benchmarks.suites.export_world import CALL_ROWS, IMPORT_CALL, LATENCY_MS, membership, world
from benchmarks.suites.waiting import until
from benchmarks.topics import Message

LARGE = 1_000_000
BOOK_ENTRIES = 100_000
"""Kept by the simulator: a million entries would be memory that is not ours."""
_MEDIANS = ("events_per_s", "cpu_us_per_event", "peak_rss_mb", "limit_fraction", "first_ms", "p50_ms", "p99_ms")


def backlog(bench: Bench, in_flight: int) -> list[Result]:
    """Return the medians of everybody's runs, and the shares of the ceiling."""
    many, few = (30_000, 5_000) if in_flight == 1 else (80_000, 10_000)
    events = bench.scaled(many, quick=few, check=3_000)
    systems: Sequence[Callable[[], Result]] = (
        lambda: ceiling(bench, in_flight, events),
        lambda: sustained(bench, in_flight, events),
        lambda: export_loops.import_threads(bench, in_flight, events),
    )
    runs: list[list[Result]] = [[] for _ in systems]
    for number in range(bench.runs):
        for system, found in zip(systems, runs, strict=True):
            try:
                found.append(system())
            except (RunFailedError, WrongOutputError, TimeoutError, OSError) as error:
                bench.failures.append(f"export, backlog, {in_flight} in flight: {error}")
                bench.report(bench.failures[-1])
            else:
                bench.report(f"export, run {number + 1}: {found[-1].system} {found[-1].figures()}")
    rows = [medians(found) for found in runs if found]
    top = rows[0].events_per_s if runs[0] else None
    return [
        replace(found, ceiling_fraction=round((found.events_per_s or 0) / top, 3)) if top else found for found in rows
    ]


def large(bench: Bench) -> Result:
    """Return the row of a million."""
    return sustained(bench, 4, LARGE)


def medians(runs: Sequence[Result]) -> Result:
    """Return the first run with the median of each figure."""
    found = {name: [value for run in runs if (value := getattr(run, name)) is not None] for name in _MEDIANS}
    figures = {name: median(values) for name, values in found.items() if values}
    rates = [run.events_per_s for run in runs if run.events_per_s is not None]
    return replace(runs[0], **figures, runs=rates)


def sustained(bench: Bench, in_flight: int, events: int) -> Result:
    """Let a backlog of new members go at once to a worker that is ready, and time it to the last acceptance."""

    def messages(topic: str) -> Iterator[Message]:
        for number in range(events):
            yield membership(topic, f"person{number}@example.com", "enter", datetime.now(UTC))

    kept = BOOK_ENTRIES if events > BOOK_ENTRIES else None
    with world(bench, f"sustained{in_flight}", book_limit=kept) as here:
        with here.worker(in_flight) as worker:
            here.job()
            here.warm_up()
            before, calls = here.written(), here.account.do("summary")["calls"].get(IMPORT_CALL, 0)
            with bench.topics.held_back(messages(here.source)) as release:
                meter = Meter(ours=worker, simulator=here.account.service)
                released = datetime.now(UTC).timestamp()
                release()
                until(lambda: here.written() > before, 60, "first accepted write", every=0.05)
                first = here.account.do("writes", after=before, limit=1)[0]["at"]
                here.await_writes(before + events, 60 + events / 1_000, every=0.25)
                cores, spent = meter.cores(), meter.seconds()
                last = here.account.do("writes", after=before + events - 1)[0]["at"]
            calls = here.account.do("summary")["calls"][IMPORT_CALL] - calls
            if here.active() != events + 2:
                raise WrongOutputError(f"{here.active():,} subscribers are Active, not {events + 2:,}")
        rate = events / (last - released)
        return row(
            bench,
            f"backlog{f' of {events:,}' if events >= LARGE else ''}, {in_flight} in flight",
            events=events,
            events_per_s=round(rate, 1),
            cpu_us_per_event=round(spent["ours"] / events * 1e6, 1),
            peak_rss_mb=round(worker.peak_rss_mb, 1),
            limit_fraction=round(rate / (in_flight * CALL_ROWS * 1000 / LATENCY_MS), 3),
            first_ms=round((first - released) * 1000, 1),
            note=f"{events / calls:,.0f} people a call; {cores}",
            checked="every person Active, each written once",
        )
