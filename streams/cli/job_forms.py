"""`job create-export` and `job create-import`: every option of the two forms is a flag; `job edit` takes the same."""

from datetime import UTC, datetime
from typing import Annotated, Any, get_args

import typer

from schemas.control import ActivityKind, DataType, ExportJob, ImportJob
from schemas.envelope import to_utc
from streams.cli.job_changes import Form, write_job


def _flag(name: str, text: str) -> Any:
    """Return a flag that can also be turned off, as edits do."""
    return typer.Option(f"--{name}/--no-{name}", help=text, show_default=False)


def _in_the_past(since: datetime | None) -> datetime | None:
    """Return a date as it is. Raises BadParameter for a later one than now: nothing would be imported."""
    if since is not None and to_utc(since) > datetime.now(UTC):
        raise typer.BadParameter("it is in the future, so nothing would be imported")
    return since


JobIdOption = Annotated[str, typer.Option("--id", help="The job's id; made up without it.")]
NameOption = Annotated[str, typer.Option(help="A name for people.")]
AuthorizationOption = Annotated[
    str, typer.Option("--authorization", help="Id of the authorization to use (`auth list`).")
]
ClientOption = Annotated[str, typer.Option("--client", help="Campaign Monitor client id.")]
StoppedOption = Annotated[bool, typer.Option("--stopped", help="Create it without starting it.")]
ReplaceOption = Annotated[
    bool, typer.Option("--replace", help="Replace the job with this id: options that are not named get their defaults.")
]
YesOption = Annotated[bool, typer.Option("--yes", help="With --replace: do not ask.")]
CheckOption = Annotated[
    bool, _flag("check", "Compare list, fields and types with the account, as is done without either.")
]

ACTIVITIES = get_args(ActivityKind)


def create_export(
    ctx: typer.Context,
    account: AuthorizationOption,
    client: ClientOption,
    list_id: Annotated[str, typer.Option("--list", help="List to export to.")],
    audiences: Annotated[
        list[str] | None, typer.Option("--audience", help="Audience, by id or name; may be repeated. None = all.")
    ] = None,
    existing_users: Annotated[bool, _flag("existing-users", "Also people who are in an audience already.")] = False,
    resubscribe: Annotated[
        bool,
        _flag("resubscribe-users", "Make people active again who unsubscribed or bounced."),
    ] = False,
    queue_autoresponders: Annotated[
        bool,
        _flag("queue-autoresponders", "Queue subscription-based automated e-mails."),
    ] = False,
    restart_autoresponders: Annotated[
        bool,
        _flag("restart-autoresponders", "Restart them for people who are resubscribed."),
    ] = False,
    email_field: Annotated[str, typer.Option(help="The person's field with the address.")] = "email",
    name_field: Annotated[str, typer.Option(help="The person's field with the full name.")] = "name",
    fields: Annotated[
        list[str] | None,
        typer.Option(
            "--field",
            metavar="USER_FIELD=CUSTOM FIELD[:TYPE]",
            help=f"Field mapping; may be repeated. Types: {', '.join(get_args(DataType))} (Text without one).",
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
    update_only: Annotated[bool, _flag("update-only", "Never add a person to the list.")] = False,
    consent_field: Annotated[
        str, typer.Option(help="The person's field with the time of consent: resubscribe only when it is newer.")
    ] = "",
    removal_guard: Annotated[
        float, typer.Option(min=0, max=1, help="Ask before a larger share of people is removed; 1 = never ask.")
    ] = 0.3,
    job_id: JobIdOption = "",
    name: NameOption = "",
    stopped: StoppedOption = False,
    replace: ReplaceOption = False,
    yes: YesOption = False,
    check: CheckOption = True,
) -> None:
    """Create a job that keeps a list in step with audiences, and print its id."""
    options: dict[str, Any] = {
        "name": name,
        "authorization_id": account,
        "client_id": client,
        "list_id": list_id,
        "audiences": audiences or [],
        "existing_users": existing_users,
        "resubscribe_users": resubscribe,
        "queue_autoresponders": queue_autoresponders,
        "restart_autoresponders": restart_autoresponders,
        "email_field": email_field,
        "name_field": name_field,
        "field_mappings": fields or [],
        "consent_to_track": consent_to_track,
        "custom_field_name": custom_field,
        "segment_name": segment_name,
        "on_last_exit": on_last_exit,
        "update_only": update_only,
        "consent_rule": {"user_field": consent_field} if consent_field else None,
        "removal_guard": removal_guard,
    }
    write_job(Form(ctx, ExportJob, options), job_id, stopped=stopped, replace=replace, yes=yes, check=check)


def create_import(
    ctx: typer.Context,
    account: AuthorizationOption,
    client: ClientOption,
    lists: Annotated[
        list[str] | None, typer.Option("--list", help="List to import; may be repeated. None = all of the client.")
    ] = None,
    keep_updated: Annotated[
        bool,
        _flag("keep-updated", "Run again and again."),
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
            callback=_in_the_past,
        ),
    ] = None,
    journeys: Annotated[bool, typer.Option(help="Also the e-mails of journeys.")] = True,
    job_id: JobIdOption = "",
    name: NameOption = "",
    stopped: StoppedOption = False,
    replace: ReplaceOption = False,
    yes: YesOption = False,
    check: CheckOption = True,
) -> None:
    """Create a job that publishes subscribers and activity of a client's lists, and print its id."""
    options: dict[str, Any] = {
        "name": name,
        "authorization_id": account,
        "client_id": client,
        "lists": lists or [],
        "keep_updated": keep_updated,
        "interval_seconds": interval,
        "activities": activities or list(ACTIVITIES),
        "since": None if since is None else to_utc(since),
        "journeys": journeys,
    }
    write_job(Form(ctx, ImportJob, options), job_id, stopped=stopped, replace=replace, yes=yes, check=check)
