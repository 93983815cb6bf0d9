"""What can be done about a job beside its options: removals confirmed, the list compared and repaired, the end."""

from datetime import UTC, datetime
from typing import Any

from aiohttp import web

from connectors.control.jobs import request_run
from schemas.control import ExportJob, ImportJob
from streams.console.context import Route, Visit, go_to
from streams.control.export_plans import export_drift, export_plan, export_view
from streams.control.job_edits import NothingToConfirmError, confirm_removals
from streams.control.job_writing import start_job, stop_job
from streams.export.recovery.preview import Preview
from streams.export.recovery.reconcile import SHOWN, SnapshotError


async def start(visit: Visit) -> web.StreamResponse:
    """Start a job."""
    job_id = visit.request.match_info["id"]
    await start_job(visit.console.jobs, job_id, datetime.now(UTC))
    return go_to(f"/jobs/{job_id}")


async def stop(visit: Visit) -> web.StreamResponse:
    """Stop a job; it keeps its place."""
    job_id = visit.request.match_info["id"]
    await stop_job(visit.console.jobs, job_id)
    return go_to(f"/jobs/{job_id}")


async def show_removal(visit: Visit) -> web.StreamResponse:
    """Ask whether a job is to be removed, with what stays."""
    return visit.page("remove_job.html", job=visit.console.jobs.known(visit.request.match_info["id"]))


async def remove(visit: Visit) -> web.StreamResponse:
    """Remove a job."""
    await visit.console.jobs.remove(visit.request.match_info["id"])
    return go_to("/jobs")


async def confirm(visit: Visit) -> web.StreamResponse:
    """Confirm the removals that an export waits with."""
    console, job_id = visit.console, visit.request.match_info["id"]
    try:
        found = await confirm_removals(console.kafka, console.jobs, job_id, datetime.now(UTC))
    except NothingToConfirmError as refusal:
        return visit.sentence(409, "Nothing to confirm", f"{refusal}.")
    people = "" if found.people is None else f" of {found.people:,} {'person' if found.people == 1 else 'people'}"
    return visit.page("done.html", job_id=job_id, heading="Confirmed", sentence=f"The removals{people} go on now.")


async def run_now(visit: Visit) -> web.StreamResponse:
    """Ask for a run of an import at once."""
    job = visit.console.jobs.known(visit.request.match_info["id"])
    if not isinstance(job, ImportJob) or job.state == "stopped":
        return visit.sentence(409, "No run", "Only an import that is started runs.")
    await visit.console.audit.note("job", job.id, "run")
    await request_run(visit.console.kafka, visit.console.producer, job.id)
    return go_to(f"/jobs/{job.id}")


async def plan(visit: Visit) -> web.StreamResponse:
    """Show what an export would do now."""
    console, job = visit.console, _export(visit)
    view = await export_view(console.kafka, console.jobs.exports().values(), job, await _api(visit, job))
    try:
        found = await export_plan(console.kafka, console.campaign_monitor, view)
    except SnapshotError as failure:
        return visit.sentence(503, "No plan", f"{failure}.")
    return visit.page("plan.html", job=job, rows=plan_rows(found), nothing_to_do=found.nothing_to_do)


async def reconcile(visit: Visit) -> web.StreamResponse:
    """Show where the list has drifted."""
    return await _drift(visit, repair=False)


async def repair(visit: Visit) -> web.StreamResponse:
    """Have the worker send again what differs."""
    return await _drift(visit, repair=True)


async def _drift(visit: Visit, *, repair: bool) -> web.StreamResponse:
    console, job = visit.console, _export(visit)
    try:
        view = await export_view(console.kafka, console.jobs.exports().values(), job, await _api(visit, job))
        if repair:
            await console.audit.note("job", job.id, "repair")
        report = await export_drift(console.kafka, view, console.producer if repair else None)
    except SnapshotError as failure:
        return visit.sentence(503, "Not compared", f"{failure}.")
    kinds = [(kind, getattr(report, kind)) for kind in ("missing", "different", "strangers")]
    return visit.page("drift.html", job=job, report=report, kinds=kinds, shown=SHOWN, repaired=repair)


def plan_rows(found: Preview) -> list[tuple[str, str]]:
    """Return name and value of what a plan counts, in words; a bound where it is one."""
    up_to = "up to " if found.would_resubscribe or found.wait_for_confirmation else ""
    rows: list[tuple[str, Any]] = [
        ("adds", found.adds),
        ("updates", found.updates),
        ("removals", found.removals),
        ("blocked: they left at Campaign Monitor", found.blocked),
        ("refused", found.refused),
        ("resubscribed", f"{up_to}{found.would_resubscribe:,}" if found.would_resubscribe else 0),
        ("wait for their confirmation", found.wait_for_confirmation),
        ("not added, because the job only updates", found.not_subscribers),
        ("unchanged", found.unchanged),
        ("billable contacts that are added", f"{up_to}{found.billable:,}" if found.billable else 0),
        ("calls", found.calls),
        ("fields that are made", ", ".join(found.fields_missing) or "none"),
        ("segments that are made", ", ".join(found.segments_missing) or "none"),
    ]
    return [(name, f"{value:,}" if isinstance(value, int) else value) for name, value in rows]


def _export(visit: Visit) -> ExportJob:
    job = visit.console.jobs.known(visit.request.match_info["id"])
    if not isinstance(job, ExportJob):
        raise LookupError(f"Job {job.id} is an import: only an export has a plan, and a list to compare.")
    return job


async def _api(visit: Visit, job: ExportJob) -> Any:
    return await visit.console.apis.api(job.authorization_id)


ROUTES = (
    Route("POST", "/jobs/{id}/start", "operator", start),
    Route("POST", "/jobs/{id}/stop", "operator", stop),
    Route("GET", "/jobs/{id}/remove", "operator", show_removal),
    Route("POST", "/jobs/{id}/remove", "operator", remove),
    Route("POST", "/jobs/{id}/confirm-removals", "operator", confirm),
    Route("POST", "/jobs/{id}/run", "operator", run_now),
    Route("GET", "/jobs/{id}/plan", "operator", plan),
    Route("GET", "/jobs/{id}/reconcile", "operator", reconcile),
    Route("POST", "/jobs/{id}/repair", "operator", repair),
)
