"""What the two forms of a job lead to: a new job, a replaced one, or an edited one."""

import asyncio
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, get_args

import orjson
import typer
from pydantic import ValidationError

from connectors.campaign_monitor.errors.exceptions import CampaignMonitorError
from connectors.control.jobs import ExportOrImportJob
from schemas.control import DataType, ExportJob, FieldMapping, ImportJob
from streams.cli.control import refusals, refuse, with_account
from streams.control.job_checks import JobFault
from streams.control.job_writing import account_faults, faults_of, made_up_job_id, new_job, now_in_millis

if TYPE_CHECKING:
    from connectors.control.accounts import OpenApi

FIELDS = {
    "account": "authorization_id",
    "client": "client_id",
    "resubscribe": "resubscribe_users",
    "fields": "field_mappings",
    "custom_field": "custom_field_name",
    "consent_field": "consent_rule",
    "interval": "interval_seconds",
    "stopped": "state",
}
"""An option's parameter -> the job's field, where their names differ."""

NOT_IN_AN_EDIT = ("job_id", "stopped", "replace", "yes")
CHECKED = frozenset({"authorization_id", "client_id", "list_id", "lists", "field_mappings", "custom_field_name"})
"""Fields of a job that the account is compared with."""
NO_OPTIONS = frozenset(
    {"id", "kind", "created_at", "updated_at", "started_at", "attention", "full_read", "removals_confirmed_at"}
)


@dataclass(frozen=True, slots=True)
class Edit:
    """The job that a form edits, and the options (parameters) that get their defaults again."""

    job: ExportOrImportJob
    cleared: frozenset[str]


@dataclass(frozen=True, slots=True)
class Form:
    """A form as it was filled in. `ctx.obj` is an `Edit` where it edits a job."""

    ctx: typer.Context
    model: type[ExportJob] | type[ImportJob]
    options: dict[str, Any]
    """By the job's field; `field_mappings` as texts."""

    @property
    def named(self) -> set[str]:
        """The job's fields whose options were named."""
        named = {name for name in self.ctx.params if _is_named(self.ctx, name)}
        if isinstance(self.ctx.obj, Edit):
            named |= self.ctx.obj.cleared
        return {FIELDS.get(name, name) for name in named}


def write_job(form: Form, job_id: str, *, stopped: bool, replace: bool, yes: bool, check: bool) -> None:
    """Write the job that a form describes, and print its id."""
    now = now_in_millis()
    named = form.named
    if isinstance(form.ctx.obj, Edit):
        before = form.ctx.obj.job
        changed = {name: value for name, value in form.options.items() if name in named}
        kept = {name: getattr(before, name) for name in type(before).model_fields}
        if isinstance(before, ExportJob) and changed.get("list_id", before.list_id) != before.list_id:
            kept["started_at"] = now
        job = _checked(form, {**kept, **changed, "updated_at": now})
    else:
        values = new_job(form.model, form.options, job_id or made_up_job_id(form.model), now, stopped=stopped)
        job = _checked(form, values)
        replace = replace or yes

    async def write() -> None:
        async with with_account() as (jobs, authorizations, open_api):
            authorizations.known(job.authorization_id)
            if isinstance(form.ctx.obj, Edit):
                before = form.ctx.obj.job
                if check and any(getattr(job, name, None) != getattr(before, name, None) for name in CHECKED):
                    await _compare(form, job, open_api)
                lines.extend(changes(form.ctx.command, before, job))
                if lines:
                    await jobs.put(job)
                    lines.extend(consequences(before, job))
            else:
                replaced = _replaced(job, jobs.get(job.id), named, replace=replace, yes=yes)
                if check:
                    await _compare(form, replaced, open_api)
                await jobs.put(replaced)

    lines: list[str] = []
    with refusals():
        asyncio.run(write())
        if isinstance(form.ctx.obj, Edit):
            typer.echo("\n".join(lines) or f"Job {job.id} was like that already: nothing has changed.")
        else:
            typer.echo(job.id)


def edit_job(form: Any, job: ExportOrImportJob, arguments: list[str], clear: Iterable[str]) -> None:
    """Run a form as an edit of a job: what the arguments name is changed, what `clear` names gets its default."""
    named = {option: parameter for parameter in form.params for option in parameter.opts}
    cleared = set()
    for name in clear:
        parameter = named.get("--" + name.removeprefix("--"))
        if parameter is None or parameter.required or parameter.name in NOT_IN_AN_EDIT:
            refuse(f"--clear {name}: the job has no such option, or has to have it", 2)
        cleared.add(str(parameter.name))
    needed = ["--authorization", job.authorization_id, "--client", job.client_id]
    needed += ["--list", job.list_id] if isinstance(job, ExportJob) else []
    edit = Edit(job, frozenset(cleared))
    ctx = form.make_context(f"cm-streams job edit {job.id}", [*needed, *arguments], obj=edit)
    if any(_is_named(ctx, name) for name in NOT_IN_AN_EDIT):
        refuse("An edit takes no --id, --stopped, --replace or --yes: there are `job start`, `job stop`", 2)
    with ctx:
        form.invoke(ctx)


def edit_options(form: Any) -> Iterator[tuple[str, str]]:
    """Yield (options, help) of a form's options that an edit takes; none of them is required there."""
    for parameter in form.params:
        if parameter.name not in NOT_IN_AN_EDIT and parameter.param_type_name == "option":
            takes = "" if parameter.is_flag else f" {parameter.metavar or 'VALUE'}"
            yield " / ".join((*parameter.opts, *parameter.secondary_opts)) + takes, parameter.help or ""


def changes(form: Any, before: ExportOrImportJob, after: ExportOrImportJob) -> Iterator[str]:
    """Yield `--option: before -> after` for each option that differs."""
    old, new = before.model_dump(mode="json"), after.model_dump(mode="json")
    for name in type(after).model_fields:
        if name not in NO_OPTIONS and old[name] != new[name]:
            yield f"{option_of(form, name)}: {_shown(old[name])} -> {_shown(new[name])}"


def consequences(before: ExportOrImportJob, after: ExportOrImportJob) -> Iterator[str]:
    """Yield, as sentences, what an edit of an export job leads to on its list that the options do not show."""
    if not isinstance(before, ExportJob) or not isinstance(after, ExportJob):
        return
    if before.custom_field_name != after.custom_field_name:
        yield (
            f"The field {before.custom_field_name!r} stays on the list with the values that it has, also of who leaves "
            "later: nothing keeps it in step any more. Delete it at Campaign Monitor once no segment uses it."
        )
    fewer = after.audiences and (not before.audiences or not set(before.audiences) <= set(after.audiences))
    if fewer:
        what = {"keep": "stays on the list", "unsubscribe": "is unsubscribed", "delete": "is deleted from the list"}
        yield (
            "Who was exported, and is in none of the audiences that are left, "
            f"{what[after.on_last_exit]} (--on-last-exit), within the limits of --removal-guard."
        )


def option_of(form: Any, field: str) -> str:
    """Return the option (`--list`) of a job's field; the field's own name where it has none."""
    for parameter in form.params:
        if FIELDS.get(parameter.name, parameter.name) == field:
            return str(parameter.opts[0])
    return field


def option_faults(form: Any, faults: Iterable[JobFault]) -> Iterator[str]:
    """Yield `--option value: what is wrong` for each fault of a job that a form describes."""
    for fault in faults:
        option = option_of(form, fault.field) if fault.field else ""
        named = " ".join(filter(None, [option, fault.given]))
        yield f"{named}: {fault.text}" if named else fault.text


def resets(before: ExportOrImportJob, after: ExportOrImportJob, named: set[str]) -> Iterator[str]:
    """Yield `field: before -> after` for each option that changes though nobody named it."""
    for name in type(after).model_fields:
        if name not in named and name not in NO_OPTIONS:
            old, new = before.model_dump(mode="json")[name], after.model_dump(mode="json")[name]
            if old != new:
                yield f"{name}: {_shown(old)} -> {_shown(new)}"


def _replaced(
    job: ExportOrImportJob, before: ExportOrImportJob | None, named: set[str], *, replace: bool, yes: bool
) -> ExportOrImportJob:
    """Return the job as it is written: what only the system knows is kept of the one that it replaces."""
    if before is None:
        return job
    if not replace:
        refuse(f"There is a job {job.id} already: use `job edit {job.id}` to change it, or choose another --id")
    if before.kind != job.kind:
        refuse(f"Job {job.id} is an {before.kind} job, and an {before.kind} job cannot become an {job.kind} job")
    lost = list(resets(before, job, named))
    if lost and not yes:
        sys.stderr.write("--replace resets what is not named:\n" + "".join(f"  {line}\n" for line in lost))
        if not sys.stdin.isatty():
            refuse(f"Nothing was written: use --yes, or `job edit {job.id}`, which changes only what is named")
        if not typer.confirm("Replace the job?", err=True):
            refuse("Nothing was written")
    kept: dict[str, Any] = {"created_at": before.created_at}
    if isinstance(before, ExportJob) and before.list_id == getattr(job, "list_id", None):
        kept["started_at"] = before.started_at
    if isinstance(before, ImportJob):
        kept["full_read"] = before.full_read
    return job.model_copy(update=kept)


async def _compare(form: Form, job: ExportOrImportJob, open_api: "OpenApi") -> None:
    """Refuse a job that its account contradicts."""
    try:
        faults = await account_faults(job, open_api)
    except (CampaignMonitorError, LookupError) as fault:
        refuse(f"The account could not be compared with the job: {fault}. --no-check writes the job all the same")
    if faults:
        lines = " ".join(option_faults(form.ctx.command, faults))
        refuse(f"The job does not fit the account. {lines} --no-check writes the job all the same")


def field_mapping(text: str) -> FieldMapping:
    """Read `user_field=Custom field:Type`; the type may be left out. Raises ValueError with a sentence."""
    user_field, equals, custom = text.partition("=")
    name, colon, data_type = custom.rpartition(":")
    if not colon or data_type not in get_args(DataType):
        # A colon may be part of the custom field's name.
        name, data_type = custom, "Text"
    if not (equals and user_field.strip() and name.strip()):
        raise ValueError(f"--field {text!r} is not USER_FIELD=CUSTOM FIELD[:TYPE]")
    return FieldMapping(user_field=user_field.strip(), custom_field=name.strip(), data_type=data_type)  # type: ignore[arg-type]  # checked above


def _checked(form: Form, values: dict[str, Any]) -> ExportOrImportJob:
    try:
        mappings = values.get("field_mappings", [])
        read = [field_mapping(text) if isinstance(text, str) else text for text in mappings]
        return form.model(**{**values, "field_mappings": read} if "field_mappings" in values else values)
    except ValidationError as error:
        refuse("The job is not as it should be. " + "; ".join(option_faults(form.ctx.command, faults_of(error))), 2)
    except ValueError as error:
        refuse(str(error), 2)


def _is_named(ctx: Any, parameter: str) -> bool:
    source = ctx.get_parameter_source(parameter)
    return source is not None and source.name == "COMMANDLINE"


def _shown(value: Any) -> str:
    return orjson.dumps(value).decode()
