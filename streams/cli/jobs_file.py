"""`cm-streams apply` and `get jobs`: jobs as a file."""

import asyncio
import sys
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import orjson
import typer
from pydantic import ValidationError

from connectors.campaign_monitor.errors.exceptions import CampaignMonitorError
from connectors.control.jobs import JobExistsError, Jobs
from schemas.control import ExportJob, ImportJob
from streams.cli.control import FAILED, refusals, refuse, with_account, with_jobs
from streams.cli.output import print_line
from streams.control.declared_jobs import (
    PlannedJob,
    UnresolvedNameError,
    WrongFileError,
    apply_plan,
    file_of,
    named_faults,
    plan_jobs,
    read_file,
    resolved,
)
from streams.control.job_edits import StaleEditError, consequences, edit_faults
from streams.control.job_writing import account_faults, faults_of, now_in_millis

if TYPE_CHECKING:
    from connectors.control.accounts import OpenApi
    from schemas.jobs_file import Declaration

WRONG_FILE = 2
SIGNS = {"create": "+", "edit": "~", "remove": "-", "unchanged": "=", "not in the file": "?"}

get = typer.Typer(add_completion=False, no_args_is_help=True, help="Print jobs as a file that `apply` takes.")


class FileFormat(StrEnum):
    """How a file of jobs is written."""

    YAML = "yaml"
    JSON = "json"


def apply(
    file: Annotated[str, typer.Option("--file", "-f", help="File of jobs, YAML or JSON; - reads standard input.")],
    prune: Annotated[bool, typer.Option("--prune", help="Remove jobs that are not in the file; asks first.")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="With --prune: do not ask.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only show what would change.")] = False,
    check: Annotated[bool, typer.Option("--check/--no-check", help="Compare with the account first.")] = True,
) -> None:
    """Make jobs equal to a file: show what changes, then change it. Applied again, it changes nothing.

    Authorizations, clients and lists are named by id or by name; a name that several have is refused. Nothing is
    written unless all of the file fits.
    """
    try:
        declared = read_file(_text(file))
    except (WrongFileError, OSError, UnicodeDecodeError) as fault:
        refuse(str(fault), WRONG_FILE)
    with refusals():
        asyncio.run(_apply(declared, prune=prune, yes=yes, dry_run=dry_run, check=check))


async def _apply(declared: "list[Declaration]", *, prune: bool, yes: bool, dry_run: bool, check: bool) -> None:
    async with with_account() as (jobs, authorizations, open_api):
        options: dict[str, tuple[type[ExportJob] | type[ImportJob], dict[str, Any]]] = {}
        faults: list[str] = []
        for job in declared:
            try:
                model = ExportJob if getattr(job, "kind", "") == "export" else ImportJob
                options[job.id] = model, await resolved(job, authorizations.all(), open_api)
            except (UnresolvedNameError, CampaignMonitorError, LookupError) as fault:
                faults.append(f"{job.id}: {fault.args[0] if fault.args else fault}")
        if faults:
            refuse("\n".join(faults))
        plan = _plan(options, jobs, now_in_millis(), prune=prune)
        if check:
            faults = [line for planned in plan for line in await _account_faults(planned, open_api)]
        for planned in plan:
            _show(planned)
        if faults:
            refuse("\n".join([*faults, "Nothing was written"]))
        changing = [planned for planned in plan if planned.action in ("create", "edit", "remove")]
        if dry_run:
            raise typer.Exit(FAILED if changing else 0)
        _confirm([planned.job_id for planned in changing if planned.action == "remove"], yes=yes)
        try:
            await apply_plan(jobs, changing)
        except (JobExistsError, StaleEditError) as refusal:
            refuse(f"{refusal}. Apply the file again")
        for planned in changing:
            if planned.before is not None and planned.after is not None:
                for sentence in consequences(planned.before, planned.after):
                    print_line(f"{planned.job_id}: {sentence}")


def _plan(options: Any, jobs: Jobs, now: datetime, *, prune: bool) -> list[PlannedJob]:
    try:
        return plan_jobs(options, jobs.all(), now, prune=prune)
    except ValidationError as error:
        refuse("\n".join(named_faults(error.title, faults_of(error))), WRONG_FILE)
    except WrongFileError as fault:
        refuse(str(fault))


async def _account_faults(planned: PlannedJob, open_api: "OpenApi") -> list[str]:
    if planned.after is None or planned.action not in ("create", "edit"):
        return []
    try:
        if planned.before is None:
            found = await account_faults(planned.after, open_api)
        else:
            found = await edit_faults(planned.before, planned.after, open_api)
    except (CampaignMonitorError, LookupError) as fault:
        return [f"{planned.job_id}: the account cannot be read: {fault}"]
    return list(named_faults(planned.job_id, found))


def _show(planned: PlannedJob) -> None:
    kind = getattr(planned.after or planned.before, "kind", "")
    print_line(f"{SIGNS[planned.action]} {planned.action}: {kind} {planned.job_id}")
    for change in planned.changes:
        print_line(f"    {change.field}: {change.before} -> {change.after}")


def _confirm(removed: list[str], *, yes: bool) -> None:
    if not removed or yes:
        return
    if not sys.stdin.isatty():
        refuse(f"Nothing was written: --prune would remove {', '.join(removed)}; use --yes")
    if not typer.confirm(f"Remove {', '.join(removed)}?", err=True):
        refuse("Nothing was written")


def _text(file: str) -> str:
    return sys.stdin.read() if file == "-" else Path(file).read_text(encoding="utf-8")


@get.callback()
def _get() -> None:
    """Print what there is as a file."""


@get.command(name="jobs")
def get_jobs(
    job_id: Annotated[str | None, typer.Argument(metavar="JOB", help="Only this job; all without it.")] = None,
    output: Annotated[FileFormat, typer.Option("--output", "-o", help="How it is written.")] = FileFormat.YAML,
) -> None:
    """Print jobs as a file; `cm-streams apply` of it changes nothing. Options that have their defaults are left out."""

    async def read(jobs: Jobs) -> str:
        return file_of([jobs.known(job_id)] if job_id else jobs.all().values())

    text = with_jobs(read)
    if output is FileFormat.JSON:
        import yaml

        text = orjson.dumps(yaml.safe_load(text), option=orjson.OPT_INDENT_2).decode() + "\n"
    typer.echo(text, nl=False)
