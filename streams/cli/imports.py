"""`cm-streams import`: run an import and watch it, see how imports are, and what one would take."""

import asyncio
import contextlib
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Annotated

import orjson
import typer
from rich.console import Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from connectors.campaign_monitor.credentials import CampaignMonitorSettings
from connectors.campaign_monitor.dates import UnknownZone
from connectors.campaign_monitor.errors.exceptions import CampaignMonitorError
from connectors.control.crypto import ControlSettings
from connectors.control.jobs import request_run
from connectors.importer.overview import Estimate, Overview, earlier_run, overview
from connectors.importer.progress import ProgressTable, ProgressView
from connectors.importer.run import run as run_connector
from connectors.importer.settings import ImporterSettings
from connectors.importer.tasks.page import ProgressRecord
from connectors.kafka.command_producer import CommandProducer
from connectors.kafka.settings import KafkaSettings
from connectors.process import stopped_by_signal
from schemas.control import ImportJob
from schemas.import_task import ChainProgress, RunProgress
from streams.cli.control import audit_log, control, kafka_settings, refusals, refuse, with_account
from streams.cli.output import add_row, live_console, plain, print_line, print_table, table_of
from streams.control.import_runs import import_estimate, span_text

app = typer.Typer(add_completion=False, no_args_is_help=True, help="Run an import and watch it.")

MAX_LINES = 20
"""Lists and campaigns that are shown one by one; the others are counted."""


@app.command()
def run(
    job: Annotated[str, typer.Argument(help="The import job.")],
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only estimate pages, calls and time.")] = False,
    watch: Annotated[bool, typer.Option("--watch", help="Only watch; asks for no run, and does no work.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="With --dry-run: the estimate as one JSON object.")] = False,
) -> None:
    """Run an import now and show how far it is. Ctrl-C stops; the same command goes on where it stopped.

    With --watch nothing is asked for: the run that is under way is shown, or else the next one.
    """
    with refusals():
        if dry_run:
            try:
                _print_estimate(*asyncio.run(_estimate(job)), as_json=as_json)
            except (CampaignMonitorError, UnknownZone, LookupError) as error:
                refuse(str(error))
        elif not asyncio.run(_run(job, work=not watch)):
            raise typer.Exit(1)


@app.command()
def status(
    job: Annotated[str | None, typer.Argument(help="One import job; all without it.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object per job.")] = False,
) -> None:
    """Show when imports ran, when they run next, and what could not be read."""
    with refusals():
        table = asyncio.run(_table())
    runs = {job_id: run for job_id, run in table.runs.items() if job in (None, job_id)}
    if job is not None and not runs:
        refuse(f"Import {job} has not run yet; there are runs of: {', '.join(table.runs) or 'none'}")
    if as_json:
        for run in runs.values():
            typer.echo(run.to_bytes().decode())
        return
    shown = table_of("job", "run", "state", "rows", "problems", "began", "next run")
    for job_id, run in runs.items():
        found = overview(run, table.chains(job_id).values())
        began, following = _local(run.started_at), _local(run.next_at) if run.next_at else ""
        add_row(shown, job_id, str(run.run), run.state, f"{found.rows:,}", str(found.problems), began, following)
    print_table(shown)
    for job_id, run in runs.items():
        for line in overview(run, table.chains(job_id).values()).lines:
            if line.problem:
                print_line(f"{job_id}: {line.group}: {line.problem}", style="yellow")


async def _table() -> ProgressTable:
    async with ProgressView(kafka_settings()) as view:
        return view.table


async def _known(job_id: str) -> ImportJob:
    async with control() as (jobs, _):
        job = jobs.known(job_id)
    if not isinstance(job, ImportJob):
        refuse(f"Job {job_id} is an {job.kind} job: only imports can be run here")
    return job


class _Watch:
    """Follows one job. `ended` is set when the run that was asked for is over."""

    def __init__(self, job_id: str) -> None:
        self.table = ProgressTable()
        self.ended = asyncio.Event()
        self._job_id = job_id
        self._wanted = 1

    def want(self, run: RunProgress | None) -> None:
        """Wait for the run that is under way, or for the next one."""
        self._wanted = 1 if run is None else run.run + (run.state != "open")

    def take(self, record: ProgressRecord | None) -> None:
        """Take a record of the progress topic."""
        match record:
            case RunProgress() | ChainProgress():
                self.table.put(record)
        run = self.run
        if run is not None and run.run >= self._wanted and run.state != "open":
            self.ended.set()

    @property
    def run(self) -> RunProgress | None:
        """The job's latest run."""
        return self.table.runs.get(self._job_id)

    def overview(self) -> Overview | None:
        """How far the run is that is waited for; None while it has not begun."""
        run = self.run
        if run is None or run.run < self._wanted:
            return None
        return overview(run, self.table.chains(self._job_id).values())


async def _run(job_id: str, *, work: bool) -> bool:
    """Ask for a run, unless others do the `work`, and show it; return whether it ended without problems."""
    kafka = kafka_settings()
    job = await _known(job_id)
    if job.state == "stopped" and work:
        refuse(f"Import {job_id} is stopped: start it with `cm-streams job start {job_id}`")
    watch = _Watch(job_id)
    async with ProgressView(kafka) as view:
        before = view.table.runs.get(job_id)
    watch.want(before)
    if before is not None:
        print_line(earlier_run(before))
    if work:
        async with CommandProducer(kafka, "cli") as producer:
            await audit_log(kafka, producer).note("job", job_id, "run")
            await request_run(kafka, producer, job_id)
    stop = stopped_by_signal()
    began = datetime.now(UTC)
    tasks: list[asyncio.Task[object]] = [
        asyncio.create_task(watch.ended.wait()),
        asyncio.create_task(stop.wait()),
        asyncio.create_task(_connect(kafka, watch.take, stop) if work else _follow(kafka, watch.take, stop)),
        asyncio.create_task(_until_stopped(job_id)),
    ]
    shown = asyncio.create_task(_show(watch, began))
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()
    finally:
        stop.set()
        tasks[0].cancel()
        tasks[3].cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        shown.cancel()
        await asyncio.gather(shown, return_exceptions=True)
    if not watch.ended.is_set() and tasks[3] in done:
        print_line(
            f"Import {job_id} was stopped or removed; `cm-streams job start {job_id}` goes on with a stopped one."
        )
        return False
    if not watch.ended.is_set():
        print_line(f"Stopped. `cm-streams import run {job_id}` goes on where it stopped." if work else "Stopped.")
        return True
    run = watch.run
    if run is None:
        return False
    print_line(f"Run {run.run} of {job_id}: {run.rows:,} rows, {run.problems} problems.")
    for line in overview(run, watch.table.chains(job_id).values()).lines:
        if line.problem:
            print_line(f"{line.group}: {line.problem}", style="yellow")
    return run.problems == 0


async def _until_stopped(job_id: str) -> None:
    """Return when the job is stopped or removed: then its run does not end."""
    async with control() as (jobs, _):
        while True:
            job = jobs.get(job_id)
            if job is None or job.state == "stopped":
                return
            await asyncio.sleep(0.5)


async def _connect(kafka: KafkaSettings, take: Callable[[ProgressRecord | None], None], stop: asyncio.Event) -> None:
    """Take part in the work, as one more connector process."""
    await run_connector(
        kafka, CampaignMonitorSettings(), ControlSettings(), ImporterSettings(), stop=stop, on_progress=take
    )


async def _follow(kafka: KafkaSettings, take: Callable[[ProgressRecord | None], None], stop: asyncio.Event) -> None:
    async with ProgressView(kafka, take):
        await stop.wait()


async def _show(watch: _Watch, began: datetime) -> None:
    console = live_console()
    with contextlib.suppress(asyncio.CancelledError), Live(console=console, auto_refresh=False) as live:
        rows_before: int | None = None
        while True:
            now, found = datetime.now(UTC), watch.overview()
            if found is not None and rows_before is None:
                rows_before, began = found.rows, now
            live.update(view_of(found, rows_before or 0, began, now), refresh=True)
            await asyncio.sleep(0.25)
    if not console.is_terminal:
        console.line()  # the last view has come without a line end


def view_of(found: Overview | None, rows_before: int, since: datetime, now: datetime) -> Group | Text:
    """Return the live view: a line for each list and campaign, then rows, rate and time left of the whole."""
    if found is None:
        return Text("waiting for the run to begin ...")
    seconds = max((now - since).total_seconds(), 0.001)
    rate = (found.rows - rows_before) / seconds
    table = Table(box=None, pad_edge=False)
    for name in ("list, campaign, journey", "read", "rows", "of", ""):
        table.add_column(name, overflow="fold")
    for line in found.lines[:MAX_LINES]:
        state = f"waits: {line.problem}" if line.waiting else "done" if line.ended else ""
        state = f"failed: {line.problem}" if line.failed else state
        bar = ProgressBar(total=max(line.expected, 1), completed=line.rows if line.expected else 0, width=20)
        counted = f"{line.done + line.failed}/{line.chains}"
        add_row(
            table,
            line.group,
            counted,
            f"{line.rows:,}",
            bar,
            plain(state, "yellow" if line.waiting or line.failed else ""),
        )
    more = len(found.lines) - MAX_LINES
    if more > 0:
        add_row(table, f"and {more} more", "", "", "", "")
    left = found.left(rate)
    foot = f"run {found.run.run}: {found.rows:,} rows, {rate:,.0f} rows/s"
    if found.run.state == "open":
        foot = f"run {found.run.run}: {found.rows:,} of {found.expected:,} rows, {rate:,.0f} rows/s"
        foot += "" if left is None else f", {span_text(left)} left"
    return Group(table, Text(foot))


async def _estimate(job_id: str) -> tuple[ImportJob, Estimate, int]:
    async with with_account() as (jobs, _authorizations, open_api):
        job = jobs.known(job_id)
        if not isinstance(job, ImportJob):
            refuse(f"Job {job_id} is an {job.kind} job: only imports can be run here")
        api = await open_api(job.authorization_id)
        return job, *(await import_estimate(api, job, CampaignMonitorSettings()))


def _print_estimate(job: ImportJob, found: Estimate, in_flight: int, *, as_json: bool) -> None:
    if as_json:
        totals = {"pages": found.pages, "calls": found.calls, "seconds": found.seconds, "computed": found.computed}
        typer.echo(orjson.dumps({"job": job.id, "rows": dict(found.rows), **totals}).decode())
        return
    table = table_of("what", "rows")
    for name, rows in found.rows.items():
        add_row(table, name, f"{rows:,}")
    print_table(table)
    print_line(
        f"A full read of {job.id}: {sum(found.rows.values()):,} rows on {found.pages:,} pages, {found.calls:,} calls, "
        f"about {span_text(timedelta(seconds=found.seconds))} with {in_flight} pages in flight "
        f"({found.call_seconds * 1000:.0f} ms a call)."
    )
    if found.computed:
        print_line(f"The rows of the {found.computed} oldest campaigns are computed from their recipients.")


def _local(instant: datetime) -> str:
    return f"{instant.astimezone():%Y-%m-%d %H:%M:%S}"
