"""Suite `export`: membership events on Kafka to a Campaign Monitor that takes 100 ms for each call.

The worker is the product's own process, the simulator another one. Acceptance is the moment in the simulator's books,
on the same clock as the append.
"""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime

from benchmarks.contest import Bench, WrongOutputError
from benchmarks.measure import RunFailedError
from benchmarks.results import Result
from benchmarks.services import Meter
from benchmarks.suites import export_latency, export_loops, export_outage
from benchmarks.suites.export_backfill import backfill
from benchmarks.suites.export_row import row
from benchmarks.suites.export_world import CALL_ROWS, IMPORT_CALL, LATENCY_MS, membership, world
from benchmarks.topics import Message


def run(bench: Bench, *, extra: bool = False) -> list[Result]:
    """Measure latency, throughput against loops over the official client, a backfill and an outage."""
    scenarios: list[Callable[[], list[Result]]] = [
        lambda: export_latency.rates(bench),
        lambda: [sustained(bench, 1)],
        lambda: export_loops.loops(bench),
        lambda: [sustained(bench, 4)],
        lambda: [] if bench.quick else [sustained(bench, 8)],
        lambda: [backfill(bench, extra=extra)],
        lambda: [export_outage.outage(bench)],
    ]
    results: list[Result] = []
    for scenario in scenarios:
        try:
            found = scenario()
        except (RunFailedError, WrongOutputError, TimeoutError, OSError) as error:
            bench.failures.append(f"export: {error}")
            bench.report(bench.failures[-1])
            continue
        for result in found:
            bench.report(f"export, {result.workload}: {result.system} {result.figures()}")
        results += found
    return results


def sustained(bench: Bench, in_flight: int) -> Result:
    """Let a backlog of new members go at once to a worker that is ready, and time it to the last acceptance."""
    many, few = (30_000, 5_000) if in_flight == 1 else (80_000, 10_000)
    events = bench.scaled(many, quick=few, check=3_000)

    def messages(topic: str) -> Iterator[Message]:
        for number in range(events):
            yield membership(topic, f"person{number}@example.com", "enter", datetime.now(UTC))

    with world(bench, f"sustained{in_flight}") as here:
        with here.worker(in_flight) as worker:
            here.job()
            here.warm_up()
            before, calls = here.written(), here.account.do("summary")["calls"].get(IMPORT_CALL, 0)
            with bench.topics.held_back(messages(here.source)) as release:
                meter = Meter(ours=worker, simulator=here.account.service)
                released = datetime.now(UTC).timestamp()
                release()
                here.await_writes(before + events, 60 + events / 1_000, every=0.25)
                cores, spent = meter.cores(), meter.seconds()
                last = here.account.do("writes", after=before + events - 1)[0]["at"]
            calls = here.account.do("summary")["calls"][IMPORT_CALL] - calls
            if here.active() != events + 2:
                raise WrongOutputError(f"{here.active():,} subscribers are Active, not {events + 2:,}")
        rate = events / (last - released)
        return row(
            bench,
            f"backlog, {in_flight} in flight",
            events=events,
            events_per_s=round(rate, 1),
            cpu_us_per_event=round(spent["ours"] / events * 1e6, 1),
            peak_rss_mb=round(worker.peak_rss_mb, 1),
            limit_fraction=round(rate / (in_flight * CALL_ROWS * 1000 / LATENCY_MS), 3),
            note=f"{events / calls:,.0f} people a call; {cores}",
            checked="every person Active, each written once",
        )
