"""Jobs: all of them with their state in words, and one with its options and what can be done about it."""

from collections.abc import Iterator
from datetime import datetime
from typing import Any

from aiohttp import web

from connectors.control.jobs import ExportOrImportJob
from schemas.control import ExportJob
from streams.console.context import Route, Visit
from streams.control.job_edits import waits_for_removals

NOT_SHOWN = frozenset({"id", "kind", "name", "state", "attention"})
"""Fields that have a place of their own on the page."""


async def show_all(visit: Visit) -> web.StreamResponse:
    """Show all jobs, and first those that need a person."""
    jobs = sorted(visit.console.jobs.all().values(), key=lambda job: (job.attention is None, job.id))
    return visit.page("jobs.html", jobs=[(job, state_of(job)) for job in jobs])


async def show_one(visit: Visit) -> web.StreamResponse:
    """Show a job."""
    console = visit.console
    job = console.jobs.known(visit.request.match_info["id"])
    account = console.authorizations.get(job.authorization_id)
    return visit.page(
        "job.html",
        job=job,
        state=state_of(job),
        account=account,
        options=list(options(job)),
        removals_wait=waits_for_removals(job),
        history=console.trail.of("job", job.id),
    )


def state_of(job: ExportOrImportJob) -> str:
    """Return a job's state in words."""
    if job.state == "stopped":
        return "stopped"
    return "running" if job.attention is None else "needs attention"


def options(job: ExportOrImportJob) -> Iterator[tuple[str, str]]:
    """Yield name and value of each option, in words, as the page shows them."""
    for name in type(job).model_fields:
        if name not in NOT_SHOWN:
            yield name.replace("_", " "), _shown(job, name, getattr(job, name))


def _shown(job: ExportOrImportJob, name: str, value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, datetime):
        return f"{value:%Y-%m-%d %H:%M:%S} UTC"
    if name == "field_mappings" and isinstance(job, ExportJob):
        rows = [f"{row.user_field} → {row.custom_field} ({row.data_type})" for row in job.field_mappings]
        return ", ".join(rows) or "none"
    if isinstance(value, list):
        return ", ".join(map(str, value)) or ("all" if name in ("audiences", "lists") else "none")
    return "none" if value in (None, "") else str(value)


ROUTES = (
    Route("GET", "/jobs", "viewer", show_all),
    Route("GET", "/jobs/{id}", "viewer", show_one),
)
