"""A job from its options: made, compared with its account, started and stopped."""

import uuid
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, get_args

from pydantic import ValidationError

from connectors.control.jobs import ExportOrImportJob, Jobs, Seen
from schemas.control import DataType, ExportJob, FieldMapping, ImportJob
from streams.control.job_checks import JobFault, compared

if TYPE_CHECKING:
    from connectors.control.accounts import OpenApi

JobModel = type[ExportJob] | type[ImportJob]


def new_job(
    model: JobModel, options: Mapping[str, Any], job_id: str, now: datetime, *, stopped: bool = False
) -> dict[str, Any]:
    """Return the values of a job that is made now, by the model's fields: its options, and what the system adds."""
    values: dict[str, Any] = {"id": job_id, "state": "stopped" if stopped else "running"}
    values |= {name: now for name in ("created_at", "updated_at", "started_at") if name in model.model_fields}
    return {**options, **values}


def made_up_job_id(model: JobModel) -> str:
    """Return an id for a new job."""
    return f"{'export' if model is ExportJob else 'import'}-{uuid.uuid4().hex[:8]}"


def now_in_millis() -> datetime:
    """Return the time as the topic keeps it, in milliseconds: what is written equals what is read."""
    now = datetime.now(UTC)
    return now.replace(microsecond=now.microsecond // 1000 * 1000)


def faults_of(error: ValidationError) -> Iterator[JobFault]:
    """Yield what is wrong with a job's values, as its model states it."""
    for fault in error.errors(include_url=False):
        field = str(fault["loc"][0]) if fault["loc"] else ""
        given = f"{fault['input']}" if isinstance(fault["input"], str | int | float) else ""
        wrong = fault["msg"].removeprefix("Value error, ").replace("Input should be", "it should be", 1)
        yield JobFault(field, given, wrong)


def field_mapping(text: str) -> FieldMapping:
    """Read `user_field=Custom field:Type`; the type may be left out. Raises ValueError with a sentence."""
    user_field, equals, custom = text.partition("=")
    name, colon, data_type = custom.rpartition(":")
    if not colon or data_type not in get_args(DataType):
        # A colon may be part of the custom field's name.
        name, data_type = custom, "Text"
    if not (equals and user_field.strip() and name.strip()):
        raise ValueError(f"{text!r} is not USER_FIELD=CUSTOM FIELD[:TYPE]")
    return FieldMapping(user_field=user_field.strip(), custom_field=name.strip(), data_type=data_type)  # type: ignore[arg-type]  # checked above


async def account_faults(job: ExportOrImportJob, open_api: "OpenApi") -> list[JobFault]:
    """Return what of a job its account contradicts.

    Raises CampaignMonitorError, LookupError: the account cannot be read.
    """
    checks = await compared(job, await open_api(job.authorization_id))
    return [fault for check in checks for fault in check.faults]


def never_ran(job: ExportOrImportJob) -> bool:
    """Return whether an export was made stopped, and nothing has changed since."""
    return isinstance(job, ExportJob) and job.state == "stopped" and job.created_at == job.updated_at


async def start_job(jobs: Jobs, job_id: str, now: datetime, seen: Seen | None = None) -> bool:
    """Start a job; an export that never ran counts changes from now on. Return whether it was stopped.

    Raises as `Jobs.change`.
    """
    job = jobs.known(job_id)
    await jobs.change(job_id, seen=seen, state="running", **({"started_at": now} if never_ran(job) else {}))
    return job.state == "stopped"


async def stop_job(jobs: Jobs, job_id: str, seen: Seen | None = None) -> bool:
    """Stop a job, which keeps its place. Return whether it ran. Raises as `Jobs.change`."""
    was = jobs.known(job_id).state
    await jobs.set_state(job_id, "stopped", seen=seen)
    return was == "running"
