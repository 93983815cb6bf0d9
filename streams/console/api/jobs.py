"""Jobs: listed, made, compared with their account, started, stopped, removed."""

from datetime import UTC, datetime
from typing import Any

from connectors.control.jobs import ExportOrImportJob, Seen
from schemas.control import AnyJob, ExportJob, ImportJob
from streams.console.api.job_models import (
    CheckAnswer,
    CheckFault,
    CheckQuery,
    ChecksAnswer,
    JobsAnswer,
    JobsQuery,
    NewJob,
)
from streams.console.api.operation import Call, Found, Operation, OperationHandler
from streams.console.api.paging import part_of
from streams.console.api.problems import ApiRefusal, job_faults
from streams.control.job_edits import version_of
from streams.control.job_making import checked_job, fitting_job
from streams.control.job_writing import made_up_job_id, start_job, stop_job


async def list_jobs(call: Call) -> JobsAnswer:
    """List jobs: what they do, whether they run, and what needs a person."""
    query = call.asked(JobsQuery)
    found = [
        job
        for job in call.console.jobs.all().values()
        if query.kind in ("", job.kind)
        and query.state in ("", job.state)
        and (job.attention is not None or not query.attention)
    ]
    part = part_of(found, lambda job: job.id, query.cursor, query.limit)
    return JobsAnswer(items=[AnyJob(job) for job in part.items], next=part.next)


async def show_job(call: Call) -> Found:
    """Show everything about a job."""
    return _shown(call.console.jobs.known(call.part("job")))


def known_import(call: Call, why: str) -> ImportJob:
    """Return the import that the path names. Raises LookupError; ApiRefusal for an export, which ends with `why`."""
    job = call.console.jobs.known(call.part("job"))
    if not isinstance(job, ImportJob):
        raise ApiRefusal(409, f"Job {job.id} is an export job{why}.")
    return job


def known_export(call: Call, why: str) -> ExportJob:
    """Return the export that the path names. Raises LookupError; ApiRefusal for an import, which ends with `why`."""
    job = call.console.jobs.known(call.part("job"))
    if not isinstance(job, ExportJob):
        raise ApiRefusal(409, f"Job {job.id} is an import job{why}.")
    return job


async def create_job(call: Call) -> Found:
    """Make a job, and start it unless it is made stopped. It is compared with its account first."""
    console = call.console
    new: Any = call.sent(NewJob).root
    model = ExportJob if new.kind == "export" else ImportJob
    job_id = new.id or made_up_job_id(model)
    if console.jobs.get(job_id) is not None:
        raise ApiRefusal(409, f"There is a job {job_id} already.")
    given = {name: getattr(new, name) for name in new.model_fields_set - {"kind", "id", "stopped"}}
    fitting = await fitting_job(
        console.authorizations,
        console.apis.api,
        model,
        given,
        job_id,
        stopped=new.stopped,
        check=call.asked(CheckQuery).check,
    )
    if isinstance(fitting, list):
        raise ApiRefusal(409, "The job does not fit.", job_faults(fitting))
    made = await console.jobs.add(fitting)
    return Found(AnyJob(made), etag=version_of(made), location=f"/jobs/{made.id}")


async def check_job(call: Call) -> ChecksAnswer:
    """Compare a job with its account: it can be reached, lists are there, fields fit, permissions are granted.

    Nothing is changed, there or here.
    """
    checks = await checked_job(call.console.jobs.known(call.part("job")), call.console.apis.api)
    return ChecksAnswer(
        fits=not any(check.faults for check in checks),
        checks=[
            CheckAnswer(
                name=check.name,
                faults=[CheckFault(field=fault.field, given=fault.given, text=fault.text) for fault in check.faults],
            )
            for check in checks
        ],
    )


async def start(call: Call) -> Found:
    """Start a job, or go on with one that was stopped. An export that never ran counts changes from now on."""
    job_id = call.part("job")
    await start_job(call.console.jobs, job_id, datetime.now(UTC), _seen(call))
    return _shown(call.console.jobs.known(job_id))


async def stop(call: Call) -> Found:
    """Stop a job. It keeps its place, and goes on there when it is started again."""
    job_id = call.part("job")
    await stop_job(call.console.jobs, job_id, _seen(call))
    return _shown(call.console.jobs.known(job_id))


async def remove_job(call: Call) -> None:
    """End a job: it is removed. What it did at Campaign Monitor, and what it has published, stays."""
    await call.console.jobs.remove(call.part("job"), seen=_seen(call))


def _seen(call: Call) -> Seen:
    """Return what raises ApiRefusal for a job that is not as it was when it was read."""
    return lambda job: call.matches(version_of(job))


def _shown(job: ExportOrImportJob) -> Found:
    return Found(AnyJob(job), etag=version_of(job))


def _change(path: str, handle: OperationHandler) -> Operation:
    return Operation(
        method="POST",
        path=f"/jobs/{{job}}{path}",
        needs="operator",
        handle=handle,
        answer=AnyJob,
        if_match=True,
        has_etag=True,
    )


OPERATIONS = (
    Operation(method="GET", path="/jobs", needs="viewer", handle=list_jobs, query=JobsQuery, answer=JobsAnswer),
    Operation(
        method="POST",
        path="/jobs",
        needs="operator",
        handle=create_job,
        body=NewJob,
        query=CheckQuery,
        answer=AnyJob,
        status=201,
        has_etag=True,
    ),
    Operation(method="GET", path="/jobs/{job}", needs="viewer", handle=show_job, answer=AnyJob, has_etag=True),
    Operation(method="DELETE", path="/jobs/{job}", needs="operator", handle=remove_job, if_match=True),
    Operation(method="GET", path="/jobs/{job}/check", needs="viewer", handle=check_job, answer=ChecksAnswer),
    _change("/start", start),
    _change("/stop", stop),
)
