"""`cm-streams job`: export and import jobs; every option of the two forms is a flag."""

import asyncio
import uuid
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Annotated, Any, TypeVar, get_args

import orjson
import typer
from pydantic import ValidationError
from rich.console import Console
from rich.table import Table

from connectors.control.jobs import ExportOrImportJob, Jobs
from schemas.control import ActivityKind, ConsentRule, DataType, ExportJob, FieldMapping, ImportJob
from schemas.envelope import to_utc
from streams.cli.control import create_job, refusals, refuse, with_jobs

J = TypeVar("J", ExportJob, ImportJob)

JobIdOption = Annotated[str, typer.Option("--id", help="The job's id; made up without it.")]
NameOption = Annotated[str, typer.Option(help="A name for people.")]
AuthorizationOption = Annotated[
    str, typer.Option("--authorization", help="Id of the authorization to use (`auth list`).")
]
ClientOption = Annotated[str, typer.Option("--client", help="Campaign Monitor client id.")]
StoppedOption = Annotated[bool, typer.Option("--stopped", help="Create it without starting it.")]
ReplaceOption = Annotated[bool, typer.Option("--replace", help="Change the job with this id.")]

DATA_TYPES = get_args(DataType)
ACTIVITIES = get_args(ActivityKind)


def create_export(
    account: AuthorizationOption,
    client: ClientOption,
    list_id: Annotated[str, typer.Option("--list", help="List to export to.")],
    audiences: Annotated[
        list[str] | None, typer.Option("--audience", help="Audience, by id or name; may be repeated. None = all.")
    ] = None,
    existing_users: Annotated[
        bool, typer.Option("--existing-users", help="Also people who are in an audience already.")
    ] = False,
    resubscribe: Annotated[
        bool, typer.Option("--resubscribe-users", help="Make people active again who unsubscribed or bounced.")
    ] = False,
    queue_autoresponders: Annotated[
        bool, typer.Option("--queue-autoresponders", help="Queue subscription-based automated e-mails.")
    ] = False,
    restart_autoresponders: Annotated[
        bool, typer.Option("--restart-autoresponders", help="Restart them for people who are resubscribed.")
    ] = False,
    email_field: Annotated[str, typer.Option(help="The person's field with the address.")] = "email",
    name_field: Annotated[str, typer.Option(help="The person's field with the full name.")] = "name",
    fields: Annotated[
        list[str] | None,
        typer.Option(
            "--field",
            metavar="USER_FIELD=CUSTOM FIELD[:TYPE]",
            help=f"Field mapping; may be repeated. Types: {', '.join(DATA_TYPES)} (Text without one).",
        ),
    ] = None,
    consent_to_track: Annotated[str, typer.Option(help="Yes, No or Unchanged.")] = "Unchanged",
    custom_field: Annotated[
        str, typer.Option("--custom-field-name", help="Custom field that holds the audiences.")
    ] = "Lytics Audiences",
    segment_name: Annotated[str, typer.Option(help="Segment of each audience.")] = "{audience}",
    on_last_exit: Annotated[
        str, typer.Option(help="What happens to who leaves the last audience: keep, unsubscribe or delete.")
    ] = "keep",
    update_only: Annotated[bool, typer.Option("--update-only", help="Never add a person to the list.")] = False,
    consent_field: Annotated[
        str, typer.Option(help="The person's field with the time of consent: resubscribe only when it is newer.")
    ] = "",
    removal_guard: Annotated[
        float, typer.Option(min=0, max=1, help="Ask before a larger share of people is removed; 1 = never ask.")
    ] = 0.3,
    confirm_removals: Annotated[bool, typer.Option("--confirm-removals", help="Do not ask this time.")] = False,
    job_id: JobIdOption = "",
    name: NameOption = "",
    stopped: StoppedOption = False,
    replace: ReplaceOption = False,
) -> None:
    """Create a job that keeps a list in step with audiences, and print its id."""
    now = _now()
    job = _checked(
        lambda: ExportJob(
            id=job_id or _made_up("export"),
            name=name,
            authorization_id=account,
            client_id=client,
            state="stopped" if stopped else "running",
            created_at=now,
            updated_at=now,
            started_at=now,
            list_id=list_id,
            audiences=audiences or [],
            existing_users=existing_users,
            resubscribe_users=resubscribe,
            queue_autoresponders=queue_autoresponders,
            restart_autoresponders=restart_autoresponders,
            email_field=email_field,
            name_field=name_field,
            field_mappings=[field_mapping(text) for text in fields or []],
            consent_to_track=_any(consent_to_track),
            custom_field_name=custom_field,
            segment_name=segment_name,
            on_last_exit=_any(on_last_exit),
            update_only=update_only,
            consent_rule=ConsentRule(user_field=consent_field) if consent_field else None,
            removal_guard=removal_guard,
            removals_confirmed=confirm_removals,
        )
    )
    _write(job, replace)


def create_import(
    account: AuthorizationOption,
    client: ClientOption,
    lists: Annotated[
        list[str] | None, typer.Option("--list", help="List to import; may be repeated. None = all of the client.")
    ] = None,
    keep_updated: Annotated[
        bool, typer.Option("--keep-updated", help="Run again and again, and keep a webhook on each list.")
    ] = False,
    interval: Annotated[int, typer.Option(min=60, help="Seconds between the starts of two runs.")] = 3600,
    activities: Annotated[
        list[str] | None,
        typer.Option("--activity", help=f"One of {', '.join(ACTIVITIES)}; may be repeated. None = all."),
    ] = None,
    since: Annotated[
        datetime | None,
        typer.Option(
            formats=["%Y-%m-%d", "%Y-%m-%dT%H:%M:%S", "%Y-%m-%dT%H:%M:%S%z"],
            help="Leave out what is older; UTC without an offset.",
        ),
    ] = None,
    journeys: Annotated[bool, typer.Option(help="Also the e-mails of journeys.")] = True,
    job_id: JobIdOption = "",
    name: NameOption = "",
    stopped: StoppedOption = False,
    replace: ReplaceOption = False,
) -> None:
    """Create a job that publishes subscribers and activity of a client's lists, and print its id."""
    now = _now()
    job = _checked(
        lambda: ImportJob(
            id=job_id or _made_up("import"),
            name=name,
            authorization_id=account,
            client_id=client,
            state="stopped" if stopped else "running",
            created_at=now,
            updated_at=now,
            lists=lists or [],
            keep_updated=keep_updated,
            interval_seconds=interval,
            activities=_any(activities or list(ACTIVITIES)),
            since=None if since is None else to_utc(since),
            journeys=journeys,
        )
    )
    _write(job, replace)


def field_mapping(text: str) -> FieldMapping:
    """Read `user_field=Custom field:Type`; the type may be left out. Raises ValueError with a sentence."""
    user_field, equals, custom = text.partition("=")
    name, colon, data_type = custom.rpartition(":")
    if not colon or data_type not in DATA_TYPES:
        # A colon may be part of the custom field's name.
        name, data_type = custom, "Text"
    if not (equals and user_field.strip() and name.strip()):
        raise ValueError(f"--field {text!r} is not USER_FIELD=CUSTOM FIELD[:TYPE]")
    return FieldMapping(user_field=user_field.strip(), custom_field=name.strip(), data_type=_any(data_type))


def _write(job: ExportJob | ImportJob, replace: bool) -> None:
    with refusals():
        asyncio.run(create_job(job, replace=replace))
        typer.echo(job.id)


def _checked(make: Callable[[], J]) -> J:
    try:
        return make()
    except ValidationError as error:
        faults = (f"{'.'.join(map(str, f['loc']))}: {f['msg']}" for f in error.errors(include_url=False))
        refuse("The job is not as it should be: " + "; ".join(faults), 2)
    except ValueError as error:
        refuse(str(error), 2)


def _any(value: Any) -> Any:
    """Hand over a text that the model itself checks against its choices."""
    return value


def _now() -> datetime:
    """Return the time as the topic keeps it, in milliseconds: what is written equals what is read."""
    now = datetime.now(UTC)
    return now.replace(microsecond=now.microsecond // 1000 * 1000)


def _made_up(kind: str) -> str:
    return f"{kind}-{uuid.uuid4().hex[:8]}"


app = typer.Typer(no_args_is_help=True, help="Export and import jobs: create, list, show, start, stop, remove.")

app.command(name="create-export")(create_export)
app.command(name="create-import")(create_import)


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
    """Let an export go on that stopped because it would remove an unusual share of its people."""

    async def confirm(jobs: Jobs) -> None:
        if not isinstance(jobs.known(job_id), ExportJob):
            refuse(f"Job {job_id} is an import job; only exports remove people")
        await jobs.change(job_id, removals_confirmed=True)

    with_jobs(confirm)


@app.command(name="read-again")
def read_again(job_id: str) -> None:
    """Ask an import for a full read at its next run."""

    async def ask(jobs: Jobs) -> None:
        job = jobs.known(job_id)
        if not isinstance(job, ImportJob):
            refuse(f"Job {job_id} is an export job; only imports read")
        await jobs.change(job_id, full_read=job.full_read + 1)

    with_jobs(ask)
