"""What the two forms of a job lead to: a new job, a replaced one, or an edited one."""

import asyncio
import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import typer
from pydantic import ValidationError

from connectors.campaign_monitor.errors.exceptions import CampaignMonitorError
from connectors.control.jobs import ExportOrImportJob
from schemas.control import ExportJob, ImportJob
from streams.cli.control import refusals, refuse, with_account
from streams.control.job_checks import JobFault
from streams.control.job_edits import (
    StaleEditError,
    changed_options,
    consequences,
    edited,
    needs_check,
    option_values,
    write_edit,
)
from streams.control.job_writing import (
    account_faults,
    faults_of,
    field_mapping,
    made_up_job_id,
    new_job,
    now_in_millis,
)

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
        job = _checked(form, lambda options: edited(before, options, now), changed)
    else:
        values = new_job(form.model, form.options, job_id or made_up_job_id(form.model), now, stopped=stopped)
        job = _checked(form, lambda options: form.model(**options), values)
        replace = replace or yes

    async def write() -> None:
        async with with_account() as (jobs, authorizations, open_api):
            authorizations.known(job.authorization_id)
            if isinstance(form.ctx.obj, Edit):
                before = form.ctx.obj.job
                if check and needs_check(before, job):
                    await _compare(form, job, open_api)
                seen = option_values(before)
                for field, old, new in changed_options(seen, option_values(job)):
                    lines.append(f"{option_of(form.ctx.command, field)}: {old} -> {new}")
                if lines:
                    try:
                        await write_edit(jobs, seen, job)
                    except StaleEditError as refusal:
                        refuse(str(refusal))
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
    for field, old, new in changed_options(option_values(before), option_values(after)):
        if field not in named:
            yield f"{field}: {old} -> {new}"


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


def _checked(
    form: Form, make: Callable[[dict[str, Any]], ExportOrImportJob], values: dict[str, Any]
) -> ExportOrImportJob:
    try:
        mappings = values.get("field_mappings", [])
        read = [field_mapping(text) if isinstance(text, str) else text for text in mappings]
        return make({**values, "field_mappings": read} if "field_mappings" in values else values)
    except ValidationError as error:
        refuse("The job is not as it should be. " + "; ".join(option_faults(form.ctx.command, faults_of(error))), 2)
    except ValueError as error:
        refuse(f"--field {error}", 2)


def _is_named(ctx: Any, parameter: str) -> bool:
    source = ctx.get_parameter_source(parameter)
    return source is not None and source.name == "COMMANDLINE"
