"""`cm-streams import`: ask for a run of an import job and watch it. The connector does the work."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable
from typing import Annotated

import typer
from rich.console import Console
from rich.live import Live
from rich.table import Table

from connectors.control.jobs import Jobs
from connectors.importer.progress import ProgressView
from connectors.importer.request import request_run
from connectors.kafka.producer import AsyncProducer
from connectors.kafka.settings import KafkaSettings
from schemas.import_task import ChainProgress, RunProgress
from streams.cli.control import with_jobs
from streams.cli.refusals import FAILED, refusals, refuse

app = typer.Typer(add_completion=False, no_args_is_help=True, help="Run an import and watch it.")
console = Console()

BEGIN_SECONDS = 30.0
"""For a connector to take up a run that was asked for."""


@app.command()
def run(job: Annotated[str, typer.Argument(help="Import job, as `cm-streams job list` names it.")]) -> None:
    """Let a job run now and show its progress. Ctrl-C ends the view, not the import."""
    with_jobs(_is_import(job))
    with refusals():
        try:
            code = asyncio.run(_watch(job))
        except KeyboardInterrupt:
            console.print("The import goes on in the connector; `cm-streams import status` shows it.")
            code = 0
    raise typer.Exit(code)


@app.command()
def status(
    job: Annotated[str | None, typer.Argument(help="One job only.")] = None,
) -> None:
    """Show the last run of each import job."""

    async def read() -> Table:
        async with ProgressView(KafkaSettings()) as view:
            runs = [one for one in view.table.runs.values() if job in (None, one.job_id)]
            return runs_table(runs)

    with refusals():
        console.print(asyncio.run(read()))


def runs_table(runs: Iterable[RunProgress]) -> Table:
    """Return one line for each run."""
    table = Table("job", "run", "state", "rows", "problems", "started", "finished", "next")
    for one in sorted(runs, key=lambda run: run.job_id):
        times = (one.started_at, one.finished_at, one.next_at)
        table.add_row(
            one.job_id,
            str(one.run),
            one.state,
            str(one.rows),
            str(one.problems),
            *(f"{at:%Y-%m-%d %H:%M:%S}Z" if at else "" for at in times),
        )
    return table


def progress_table(chains: Iterable[ChainProgress], seconds: float) -> Table:
    """Return one line for each list or campaign: what was read, at which rate, and how long the rest will take."""
    groups: dict[str, list[ChainProgress]] = {}
    for chain in chains:
        groups.setdefault(chain.group or chain.label, []).append(chain)
    table = Table("list or campaign", "chains", "rows", "pages", "rows/s", "left", "problem")
    for name, members in sorted(groups.items()):
        rows = sum(chain.tally.rows for chain in members)
        pages = sum(chain.tally.pages for chain in members)
        of = sum(chain.tally.pages_total or chain.tally.pages for chain in members)
        done = sum(chain.state in ("done", "failed") for chain in members)
        left = "" if not pages or pages >= of else f"{(of - pages) * seconds / pages:.0f} s"
        problem = next((chain.problem for chain in members if chain.problem), "")
        table.add_row(
            name,
            f"{done}/{len(members)}",
            str(rows),
            f"{pages}/{of}",
            f"{rows / max(seconds, 0.001):,.0f}",
            left,
            problem,
        )
    return table


def _is_import(job_id: str) -> Callable[[Jobs], Awaitable[None]]:
    async def check(jobs: Jobs) -> None:
        if job_id not in jobs.imports():
            there = ", ".join(jobs.imports()) or "none"
            refuse(f"There is no import job {job_id}; there are: {there}", FAILED)

    return check


async def _watch(job_id: str) -> int:
    kafka = KafkaSettings()
    async with ProgressView(kafka) as view:
        before = view.table.runs.get(job_id)
        if before is None or before.state != "open":
            async with AsyncProducer(kafka, "import-run") as producer:
                await request_run(kafka, producer, job_id)
            number = before.run if before else 0
            try:
                await view.until(lambda table: job_id in table.runs and table.runs[job_id].run > number, BEGIN_SECONDS)
            except TimeoutError:
                refuse(f"No connector took up the run within {BEGIN_SECONDS:.0f} s: is `cm-streams connector` running?")
        began = time.monotonic()
        with Live(console=console, refresh_per_second=4) as live:
            while (now := view.table.runs[job_id]).state == "open":
                chains = [chain for chain in view.table.chains(job_id).values() if chain.run == now.run]
                live.update(progress_table(chains, time.monotonic() - began))
                await asyncio.sleep(0.25)
    console.print(runs_table([now]))
    return 0 if now.problems == 0 else FAILED
