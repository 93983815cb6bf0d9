"""Suite `export`: membership events on Kafka to a Campaign Monitor that takes 100 ms for each call.

The worker is the product's own process, the simulator another one. Acceptance is the moment in the simulator's books,
on the same clock as the append.
"""

from collections.abc import Callable

from benchmarks.contest import Bench, WrongOutputError
from benchmarks.measure import RunFailedError
from benchmarks.results import Result
from benchmarks.suites import export_backlog, export_latency, export_loops, export_outage
from benchmarks.suites.export_backfill import backfill


def run(bench: Bench, *, extra: bool = False) -> list[Result]:
    """Measure latency, throughput beside the simulator alone and the official client, a backfill and an outage."""
    scenarios: list[Callable[[], list[Result]]] = [
        lambda: _repeated(bench, lambda: export_latency.rates(bench)),
        lambda: [export_loops.add_loop(bench)],
        lambda: export_backlog.backlog(bench, 1),
        lambda: export_backlog.backlog(bench, 4),
        lambda: [] if bench.quick else export_backlog.backlog(bench, 8),
        lambda: [export_backlog.large(bench)] if extra and not bench.check_only else [],
        lambda: _repeated(bench, lambda: [backfill(bench, extra=extra)]),
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


def _repeated(bench: Bench, scenario: Callable[[], list[Result]]) -> list[Result]:
    """Return the medians of the runs of a scenario, row by row."""
    return [export_backlog.medians(runs) for runs in zip(*(scenario() for _ in range(bench.runs)), strict=True)]
