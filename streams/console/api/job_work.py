"""What is done about a job beside its making: edits, a plan, the list compared and repaired, runs of imports."""

from datetime import UTC, datetime
from typing import Any

from connectors.control.jobs import ExportOrImportJob, request_run
from schemas.control import AnyJob
from streams.console.api.job_models import (
    CheckQuery,
    ConfirmedAnswer,
    DriftAnswer,
    EditAnswer,
    JobEdit,
    NewJob,
    PlanAnswer,
    RunsAnswer,
    options,
)
from streams.console.api.jobs import known_export, known_import
from streams.console.api.operation import Call, Found, Operation
from streams.console.api.problems import ApiRefusal, job_faults
from streams.control.export_plans import ExportView, export_drift, export_plan, export_view
from streams.control.job_edits import (
    NothingToConfirmError,
    StaleEditError,
    confirm_removals,
    consequences,
    edit_faults,
    edited,
    option_values,
    version_of,
    write_edit,
)
from streams.control.job_writing import now_in_millis

SHOWN = 100
"""Addresses of each kind that a comparison names."""


async def edit_job(call: Call) -> Found:
    """Change the options that are named, and nothing else. Null gives an option its default again.

    If-Match names the version that was read: when the job is another one by now, nothing is written (412).
    """
    before, body = _matched(call), call.sent(JobEdit)
    return await _written(call, before, _changed(before, body, body.model_fields_set))


async def replace_job(call: Call) -> Found:
    """Give a job exactly these options: those that are left out get their defaults. It runs, or not, as before.

    If-Match as for an edit. A job stays of its kind.
    """
    before = _matched(call)
    new: Any = call.sent(NewJob).root
    if new.kind != before.kind or new.id not in (None, before.id):
        raise ApiRefusal(409, f"Job {before.id} is an {before.kind} job: its kind and its id stay.")
    if new.stopped:
        raise ApiRefusal(409, "A job is stopped, and started, by its own operations.")
    return await _written(call, before, {name: getattr(new, name) for name in options(type(before))})


def _matched(call: Call) -> ExportOrImportJob:
    """Return the job, if it is as it was when it was read. Raises UnknownJobError, ApiRefusal."""
    job = call.console.jobs.known(call.part("job"))
    if "If-Match" not in call.request.headers:
        raise ApiRefusal(428, "If-Match is needed: the ETag of the job as it was read, or *.")
    call.matches(version_of(job))
    return job


async def _written(call: Call, before: ExportOrImportJob, changed: dict[str, Any]) -> Found:
    """Write a job with other options, unless somebody has edited it meanwhile."""
    console, seen = call.console, option_values(before)
    after = edited(before, changed, now_in_millis())
    if call.asked(CheckQuery).check:
        console.authorizations.known(after.authorization_id)
        faults = await edit_faults(before, after, call.api)
        if faults:
            raise ApiRefusal(409, "The job does not fit its account.", job_faults(faults))
    if option_values(after) == seen:
        return Found(EditAnswer(job=AnyJob(before), consequences=[]), etag=version_of(before))
    try:
        written = await write_edit(console.jobs, seen, after)
    except StaleEditError as refusal:
        raise ApiRefusal(412, f"{refusal}.") from None
    answer = EditAnswer(job=AnyJob(written), consequences=list(consequences(before, written)))
    return Found(answer, etag=version_of(written))


def _changed(job: ExportOrImportJob, body: Any, named: set[str]) -> dict[str, Any]:
    """Return the named options with their values; null is the default. Raises ApiRefusal."""
    changed = {}
    for name in sorted(named):
        field = type(job).model_fields.get(name)
        if field is None:
            raise ApiRefusal(409, f"Job {job.id} is an {job.kind} job, and has no option {name}.")
        value = getattr(body, name)
        if value is None and field.is_required():
            raise ApiRefusal(422, f"{name} is needed, and has no default.")
        changed[name] = field.get_default(call_default_factory=True) if value is None else value
    return changed


async def plan_job(call: Call) -> PlanAnswer:
    """Show what an export would do now: adds, updates, removals, who is blocked, calls, billable contacts.

    Nothing is written anywhere.
    """
    found = await export_plan(call.console.kafka, call.console.campaign_monitor, await _view(call))
    computed = {"billable": found.billable, "calls": found.calls, "nothing_to_do": found.nothing_to_do}
    named = {name: getattr(found, name) for name in PlanAnswer.model_fields if name not in computed}
    return PlanAnswer(**named, **computed)


async def compare_job(call: Call) -> DriftAnswer:
    """Compare an export's list with what was delivered."""
    return await _drift(call, repair=False)


async def repair_job(call: Call) -> DriftAnswer:
    """Compare an export's list with what was delivered, and have the worker send what differs again."""
    return await _drift(call, repair=True)


async def _drift(call: Call, *, repair: bool) -> DriftAnswer:
    view = await _view(call)
    if repair:
        await call.console.audit.note("job", call.part("job"), "repair")
    report = await export_drift(call.console.kafka, view, call.console.producer if repair else None)
    counts = {name: getattr(report, name) for name in ("compared", "drifted", "waiting", "wait_for_confirmation")}
    named = {name: list(getattr(report, name))[:SHOWN] for name in ("missing", "different", "strangers")}
    sent = len(report.repairable) if repair else 0
    return DriftAnswer(**counts, **named, confirmed_opt_in=report.confirmed_opt_in, sent_again=sent)


async def confirm_job_removals(call: Call) -> ConfirmedAnswer:
    """Let an export go on that stopped because it would remove an unusual share of its people."""
    console = call.console
    try:
        found = await confirm_removals(console.kafka, console.jobs, call.part("job"), datetime.now(UTC))
    except NothingToConfirmError as refusal:
        raise ApiRefusal(409, f"{refusal}.") from None
    return ConfirmedAnswer(**found._asdict())


async def run_import(call: Call) -> None:
    """Ask for a run of an import at once; nothing happens while one is under way."""
    job = known_import(call, "; only imports run and read")
    if job.state == "stopped":
        raise ApiRefusal(409, f"Import {job.id} is stopped: start it first.")
    await call.console.audit.note("job", job.id, "run")
    await request_run(call.console.kafka, call.console.producer, job.id)


async def read_again(call: Call) -> Found:
    """Ask an import for a full read at its next run. What it has published comes again, marked as repeat."""
    job = known_import(call, "; only imports run and read")
    changed = await call.console.jobs.change(job.id, full_read=job.full_read + 1)
    return Found(AnyJob(changed), etag=version_of(changed))


async def list_runs(call: Call) -> RunsAnswer:
    """List the runs of an import: when each began, what it published, what could not be read."""
    return RunsAnswer(items=list(call.console.imports.runs(known_import(call, "; only imports run and read").id)))


async def _view(call: Call) -> ExportView:
    console, job = call.console, known_export(call, "; only exports have a plan, and a list to compare")
    api = await call.api(job.authorization_id)
    return await export_view(console.kafka, console.jobs.exports().values(), job, api)


BY_ACCOUNT = (409, 502)

OPERATIONS = (
    Operation(
        method="PATCH",
        path="/jobs/{job}",
        needs="operator",
        handle=edit_job,
        body=JobEdit,
        query=CheckQuery,
        answer=EditAnswer,
        if_match=True,
        has_etag=True,
        problems=BY_ACCOUNT,
    ),
    Operation(
        method="PUT",
        path="/jobs/{job}",
        needs="operator",
        handle=replace_job,
        body=NewJob,
        query=CheckQuery,
        answer=EditAnswer,
        if_match=True,
        has_etag=True,
        problems=BY_ACCOUNT,
    ),
    Operation(
        method="GET",
        path="/jobs/{job}/plan",
        needs="operator",
        handle=plan_job,
        answer=PlanAnswer,
        problems=BY_ACCOUNT,
    ),
    Operation(
        method="GET",
        path="/jobs/{job}/drift",
        needs="operator",
        handle=compare_job,
        answer=DriftAnswer,
        problems=BY_ACCOUNT,
    ),
    Operation(
        method="POST",
        path="/jobs/{job}/repair",
        needs="operator",
        handle=repair_job,
        answer=DriftAnswer,
        problems=BY_ACCOUNT,
    ),
    Operation(
        method="POST",
        path="/jobs/{job}/confirm-removals",
        needs="operator",
        handle=confirm_job_removals,
        answer=ConfirmedAnswer,
    ),
    Operation(method="POST", path="/jobs/{job}/run", needs="operator", handle=run_import),
    Operation(
        method="POST", path="/jobs/{job}/read-again", needs="operator", handle=read_again, answer=AnyJob, has_etag=True
    ),
    Operation(
        method="GET", path="/jobs/{job}/runs", needs="viewer", handle=list_runs, answer=RunsAnswer, problems=(409,)
    ),
)
