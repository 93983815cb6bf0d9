"""`cm-streams job`: export and import jobs."""

import asyncio
from datetime import UTC, datetime
from typing import Annotated, Any

import orjson
import typer

from connectors.control.jobs import ExportOrImportJob, Jobs
from connectors.importer.progress import ProgressView
from connectors.kafka.settings import KafkaSettings
from schemas.control import ExportJob, ImportJob
from streams.cli.control import FAILED, kafka_settings, refusals, refuse, with_account, with_jobs
from streams.cli.exit_codes import CommandWithCodes
from streams.cli.job_changes import edit_job, edit_options, option_faults
from streams.cli.job_forms import create_export, create_import
from streams.cli.output import OneJsonLine, add_row, print_json, print_table, table_of
from streams.control import job_edits
from streams.control.job_checks import JobCheck
from streams.control.job_edits import ConfirmedRemovals, NothingToConfirmError
from streams.control.job_making import checked_job
from streams.control.job_writing import start_job, stop_job

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    help="Export and import jobs: create, edit, check, list, show, start, stop, remove.",
)

JobArgument = Annotated[str, typer.Argument(metavar="JOB", help="The job's id; `job list` shows all.")]

app.command(name="create-export")(create_export)
app.command(name="create-import")(create_import)


class EditCommand(CommandWithCodes):
    """`job edit`: its help shows the options of both kinds of job, none of which is required."""

    def format_options(self, ctx: Any, formatter: Any) -> None:
        """Write its own options, then those of each form that an edit takes."""
        super().format_options(ctx, formatter)
        for kind in ("export", "import"):
            with formatter.section(f"Options of an {kind} job (what is not named stays as it is)"):
                formatter.write_dl(list(edit_options(_form(kind))))


@app.command(cls=EditCommand, context_settings={"allow_extra_args": True, "ignore_unknown_options": True})
def edit(
    ctx: typer.Context,
    job_id: JobArgument,
    clear: Annotated[
        list[str] | None,
        typer.Option(
            "--clear",
            metavar="OPTION",
            help="An option, as `audience`, that gets back the default it has when a job is created; may be repeated.",
        ),
    ] = None,
) -> None:
    """Change what is named, and nothing else, and print what has changed.

    A repeated option (--audience, --field, --list, --activity) replaces all of its values.
    """
    if not ctx.args and not clear:
        refuse(f"Nothing is named that would change: `cm-streams job edit {job_id} --help` lists the options", 2)

    async def read(jobs: Jobs) -> ExportOrImportJob:
        return jobs.known(job_id)

    job = with_jobs(read)
    edit_job(_form(job.kind), job, ctx.args, clear or [])


def _form(kind: str) -> Any:
    return typer.main.get_group(app).commands[f"create-{kind}"]


@app.command(name="list")
def list_jobs(as_json: Annotated[bool, typer.Option("--json", help="One JSON object each.")] = False) -> None:
    """List jobs: what they do, whether they run, and what needs a person."""

    async def read(jobs: Jobs) -> dict[str, ExportOrImportJob]:
        return jobs.all()

    found = with_jobs(read)
    if as_json:
        for job in found.values():
            typer.echo(job.to_bytes().decode())
        return
    table = table_of("id", "name", "kind", "authorization", "lists", "state", "attention")
    for job in found.values():
        lists = job.list_id if isinstance(job, ExportJob) else ", ".join(job.lists) or "all"
        cells = (job.id, job.name, job.kind, job.authorization_id, lists, job.state, job.attention)
        add_row(table, *cells)
    print_table(table)


@app.command()
def show(job_id: JobArgument, as_json: OneJsonLine = False) -> None:
    """Show everything about a job, as JSON."""

    async def read(jobs: Jobs) -> ExportOrImportJob:
        return jobs.known(job_id)

    job = with_jobs(read)
    print_json(job.model_dump(mode="json"), one_line=as_json)


@app.command()
def check(
    job_id: JobArgument,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object for each check.")] = False,
) -> None:
    """Compare a job with its account: it can be reached, lists are there, fields fit, permissions are granted.

    Nothing is changed, there or here. Ends with 1 when something does not fit.
    """

    async def compare() -> tuple[str, list[JobCheck]]:
        async with with_account() as (jobs, _authorizations, open_api):
            job = jobs.known(job_id)
            return job.kind, await checked_job(job, open_api)

    with refusals():
        kind, checks = asyncio.run(compare())
    shown = [(found.name, list(option_faults(_form(kind), found.faults))) for found in checks]
    if as_json:
        for name, faults in shown:
            typer.echo(orjson.dumps({"name": name, "faults": faults}).decode())
    else:
        table = table_of("check", "result")
        for name, faults in shown:
            add_row(table, name, " ".join(faults) or "as it should be")
        print_table(table)
    if any(faults for _name, faults in shown):
        raise typer.Exit(FAILED)


@app.command()
def start(job_id: JobArgument) -> None:
    """Start a job. An export that never ran counts changes from now on."""

    async def run(jobs: Jobs) -> None:
        changed = await start_job(jobs, job_id, datetime.now(UTC))
        typer.echo(f"Job {job_id} {'is started' if changed else 'runs already'}.")

    with_jobs(run)


@app.command()
def stop(job_id: JobArgument) -> None:
    """Stop a job. It keeps its place, and goes on there when it is started again."""

    async def halt(jobs: Jobs) -> None:
        changed = await stop_job(jobs, job_id)
        typer.echo(f"Job {job_id} is stopped{'' if changed else ' already'}.")

    with_jobs(halt)


LEFT_BY_EXPORT = "what it did at Campaign Monitor stays"
LEFT_BY_IMPORT = (
    "its reads end, and webhooks of lists that no other import has are removed. What it has published stays, and is "
    "marked as repeat when another import of the client reads it"
)


@app.command()
def remove(job_id: JobArgument) -> None:
    """Remove a job. What it did at Campaign Monitor stays.

    What an import has published stays as well, and is marked as `repeat` when another import of the client reads it.
    """

    async def drop(jobs: Jobs) -> None:
        job = jobs.known(job_id)
        await jobs.remove(job_id)
        typer.echo(f"Job {job_id} is removed; {LEFT_BY_IMPORT if job.kind == 'import' else LEFT_BY_EXPORT}.")

    with_jobs(drop)


@app.command(name="confirm-removals")
def confirm_removals(job_id: JobArgument) -> None:
    """Let an export go on that stopped because it would remove an unusual share of its people.

    It covers who waits now, until a job of the list is edited. Later removals are counted from zero, and stop the list
    again. One job's confirmation is for all jobs of its list. Where nothing waits, nothing is confirmed.
    """

    async def work(jobs: Jobs) -> None:
        try:
            found = await job_edits.confirm_removals(KafkaSettings(), jobs, job_id, datetime.now(UTC))
        except NothingToConfirmError as refusal:
            refuse(str(refusal))
        typer.echo(f"Confirmed: the removals of {_people(found)} on list {found.list_id} go on now. {found.counted}")

    with_jobs(work)


def _people(found: ConfirmedRemovals) -> str:
    """Return how many people wait to be removed."""
    if found.people is None:
        return f"people who wait (they were not counted: {found.not_counted})"
    return "1 person who waits" if found.people == 1 else f"{found.people} people who wait"


def _begins(job: ImportJob) -> str:
    """Return when a full read begins that was asked for."""
    if job.state == "stopped":
        return f"The full read of {job.id} begins when the job is started."
    return f"The full read of {job.id} begins at once, or when the run that is under way has ended."


def _repeated(listings: int, reports: int, rows: int, *, of_all: bool) -> str:
    """Return what it publishes. `rows`: those accounted for; `of_all`: whether all of them were published."""
    if not listings and not reports:
        return "Nothing was read to its end yet, so nothing comes again."
    counted = f"{'' if of_all else 'at most '}{rows:,} rows of {reports:,} reports"
    return f"It publishes again, marked as repeat: all people of {listings:,} listings, and {counted}."


@app.command(name="read-again")
def read_again(job_id: JobArgument) -> None:
    """Ask an import for a full read at its next run.

    All that it has published comes again, marked as `repeat`: profiles take its values and count nothing twice.
    """

    async def ask(jobs: Jobs) -> None:
        job = jobs.known(job_id)
        if not isinstance(job, ImportJob):
            refuse(f"Job {job_id} is an export job; only imports read")
        async with ProgressView(kafka_settings()) as view:
            listings, reports, rows = view.table.read_before(job_id)
        await jobs.change(job_id, full_read=job.full_read + 1)
        typer.echo(f"{_begins(job)} {_repeated(listings, reports, rows, of_all=not job.lists)}")

    with_jobs(ask)
