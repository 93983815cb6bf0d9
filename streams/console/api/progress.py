"""How far jobs are: an import's run with its rate, its size before it starts, and an export's throughput."""

from dataclasses import asdict
from datetime import UTC, datetime, timedelta

from pydantic import Field

from schemas.envelope import Instant
from schemas.import_task import RunProgress
from streams.console.api.jobs import known_export, known_import
from streams.console.api.operation import ApiAnswer, Call, Operation, RequestQuery
from streams.console.api.problems import ApiRefusal
from streams.control.import_runs import import_estimate
from streams.control.receipts import newest_receipts, over_time


class ProgressLine(ApiAnswer):
    """One list, campaign or journey of a run."""

    group: str
    chains: int = Field(description="Listings and reports that are read.")
    done: int
    failed: int
    waiting: int
    pages: int
    rows: int = Field(description="Published so far.")
    expected: int
    repeats: int
    problem: str | None


class ProgressAnswer(ApiAnswer):
    """The latest run of an import."""

    run: RunProgress
    rows: int
    expected: int = Field(description="Rows that it will have published, as far as is known by now.")
    problems: int
    rows_per_second: float = Field(description="Of the last minute.")
    seconds_left: float | None = Field(description="At this rate; null when it has ended, or nothing is read.")
    lines: list[ProgressLine]


class EstimateAnswer(ApiAnswer):
    """What a full read of an import takes."""

    rows: dict[str, int] = Field(description="By what they are.")
    pages: int
    calls: int
    seconds: float = Field(description="With the latency of the calls that the estimate took.")
    computed: int = Field(description="Campaigns whose rows are computed from those of others.")
    pages_in_flight: int


class ThroughputQuery(RequestQuery):
    """Which time, and how finely."""

    minutes: int = Field(default=60, ge=1, le=1_440, description="Until now.")
    slots: int = Field(default=60, ge=1, le=240, description="Equal stretches of it.")


class ThroughputSlot(ApiAnswer):
    """One stretch of time."""

    at: Instant
    receipts: int
    median_ms: int | None = Field(description="Latency; null where nothing with one was delivered.")
    high_ms: int | None = Field(description="95 of 100 are as fast.")


class ThroughputAnswer(ApiAnswer):
    """Receipts of an export over time."""

    slots: list[ThroughputSlot]
    since: Instant | None = Field(description="From then on all are counted; null: the topic holds no more.")


async def show_progress(call: Call) -> ProgressAnswer:
    """Show how far the latest run of an import is, by list and campaign, with its rate and the time left."""
    job = known_import(call, "; only imports have runs")
    view = call.console.imports.of(job.id)
    if view is None:
        raise ApiRefusal(404, f"Import {job.id} has not run yet.")
    found = view.overview
    return ProgressAnswer(
        run=found.run,
        rows=found.rows,
        expected=found.expected,
        problems=found.problems,
        rows_per_second=view.rows_per_second,
        seconds_left=None if view.left is None else view.left.total_seconds(),
        lines=[ProgressLine(**asdict(line)) for line in found.lines],
    )


async def estimate_import(call: Call) -> EstimateAnswer:
    """Estimate rows, pages, calls and time of a full read of an import. Nothing is read into topics."""
    job = known_import(call, "; only imports have runs")
    found, in_flight = await import_estimate(await call.api(job.authorization_id), job, call.console.campaign_monitor)
    return EstimateAnswer(
        rows=found.rows,
        pages=found.pages,
        calls=found.calls,
        seconds=found.seconds,
        computed=found.computed,
        pages_in_flight=in_flight,
    )


async def show_throughput(call: Call) -> ThroughputAnswer:
    """Show an export's receipts and latency over time, of the newest 10,000 receipts of all jobs."""
    query, console = call.asked(ThroughputQuery), call.console
    job = known_export(call, ": it has progress, and no receipts")
    window = await console.reads.of(lambda: newest_receipts(console.kafka, job.id))
    until = datetime.fromtimestamp(console.clock(), UTC)
    slots = over_time(window.receipts, until - timedelta(minutes=query.minutes), until, query.slots)
    return ThroughputAnswer(slots=[ThroughputSlot(**slot._asdict()) for slot in slots], since=window.since)


OPERATIONS = (
    Operation(
        method="GET",
        path="/jobs/{job}/progress",
        needs="viewer",
        handle=show_progress,
        answer=ProgressAnswer,
        problems=(409,),
    ),
    Operation(
        method="GET",
        path="/jobs/{job}/estimate",
        needs="operator",
        handle=estimate_import,
        answer=EstimateAnswer,
        problems=(409, 502),
    ),
    Operation(
        method="GET",
        path="/jobs/{job}/throughput",
        needs="viewer",
        handle=show_throughput,
        query=ThroughputQuery,
        answer=ThroughputAnswer,
        problems=(409,),
    ),
)
