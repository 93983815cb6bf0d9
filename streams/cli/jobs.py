"""`cm-streams job`: export and import jobs."""

from datetime import UTC, datetime
from typing import Annotated

import orjson
import typer
from rich.console import Console
from rich.table import Table

from connectors.control.jobs import ExportOrImportJob, Jobs
from connectors.importer.progress import ProgressView
from schemas.control import ExportJob, ImportJob
from streams.cli.control import kafka_settings, refuse, with_jobs
from streams.cli.job_changes import edit_job
from streams.cli.job_forms import create_export, create_import
from streams.export.lists.attention import REMOVALS

app = typer.Typer(no_args_is_help=True, help="Export and import jobs: create, edit, list, show, start, stop, remove.")

app.command(name="create-export")(create_export)
app.command(name="create-import")(create_import)


@app.command(context_settings={"allow_extra_args": True, "ignore_unknown_options": True, "help_option_names": []})
def edit(
    ctx: typer.Context,
    job_id: str,
    clear: Annotated[
        list[str] | None, typer.Option("--clear", help="Option that gets its default again; may be repeated.")
    ] = None,
) -> None:
    """Change what is named, and nothing else; takes the options of `create-export` or `create-import`.

    A repeated option (--audience, --field, --list, --activity) replaces all of its values.
    """

    async def read(jobs: Jobs) -> ExportOrImportJob:
        return jobs.known(job_id)

    job = with_jobs(read)
    commands = typer.main.get_group(app).commands
    edit_job(commands[f"create-{job.kind}"], job, ctx.args, clear or [])


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
    table = Table("id", "name", "kind", "authorization", "lists", "state", "attention")
    for job in found.values():
        lists = job.list_id if isinstance(job, ExportJob) else ", ".join(job.lists) or "all"
        table.add_row(job.id, job.name, job.kind, job.authorization_id, lists, job.state, job.attention or "")
    Console().print(table)


@app.command()
def show(job_id: str) -> None:
    """Show everything about a job, as JSON."""

    async def read(jobs: Jobs) -> ExportOrImportJob:
        return jobs.known(job_id)

    job = with_jobs(read)
    typer.echo(orjson.dumps(job.model_dump(mode="json"), option=orjson.OPT_INDENT_2).decode())


@app.command()
def start(job_id: str) -> None:
    """Start a job. An export that never ran counts changes from now on."""

    async def run(jobs: Jobs) -> None:
        job = jobs.known(job_id)
        never_ran = isinstance(job, ExportJob) and job.state == "stopped" and job.created_at == job.updated_at
        await jobs.change(job_id, state="running", **({"started_at": datetime.now(UTC)} if never_ran else {}))

    with_jobs(run)


@app.command()
def stop(job_id: str) -> None:
    """Stop a job. It keeps its place, and goes on there when it is started again."""
    with_jobs(lambda jobs: jobs.set_state(job_id, "stopped"))


@app.command()
def remove(job_id: str) -> None:
    """Remove a job. What it did at Campaign Monitor stays."""
    with_jobs(lambda jobs: jobs.remove(job_id))


@app.command(name="confirm-removals")
def confirm_removals(job_id: str) -> None:
    """Let an export go on that stopped because it would remove an unusual share of its people.

    It covers who waits now, until a job of the list is edited. Later removals are counted from zero, and stop the list
    again. One job's confirmation is for all jobs of its list. Where nothing waits, nothing is confirmed.
    """

    async def confirm(jobs: Jobs) -> None:
        if not isinstance(jobs.known(job_id), ExportJob):
            refuse(f"Job {job_id} is an import job; only exports remove people")
        exports = jobs.exports()
        of_list = [other for other in exports.values() if other.list_id == exports[job_id].list_id]
        if not any(REMOVALS in (other.attention or "") for other in of_list):
            refuse(f"No removals of job {job_id} wait for a confirmation: nothing was confirmed")
        await jobs.change(job_id, removals_confirmed_at=datetime.now(UTC))

    with_jobs(confirm)


@app.command(name="read-again")
def read_again(job_id: str) -> None:
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
        typer.echo(
            f"The next run of {job_id} publishes again, marked as repeat: all people of {listings} listings, "
            f"and {rows} rows of {reports} reports."
        )

    with_jobs(ask)
