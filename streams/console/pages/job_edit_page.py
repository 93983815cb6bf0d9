"""An edit of a job: every option, and a refusal that shows what has changed since the form was shown."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import orjson
from aiohttp import web
from pydantic import ValidationError

from connectors.campaign_monitor.errors.exceptions import CampaignMonitorError
from connectors.control.jobs import ExportOrImportJob
from schemas.control import AuditRecord
from streams.console.context import Route, Visit, go_to, utc_text
from streams.console.pages.job_forms import label_of, shown_faults
from streams.console.pages.option_forms import inputs, read_options, texts_of
from streams.control.job_checks import JobFault
from streams.control.job_edits import OptionChange, StaleEditError, edit_faults, edited, option_values, write_edit
from streams.control.job_writing import faults_of, now_in_millis


async def show(visit: Visit) -> web.StreamResponse:
    """Show a form with the job's options as they are."""
    job = _job(visit)
    return _form(visit, 200, job, texts_of(job), [])


async def save(visit: Visit) -> web.StreamResponse:
    """Write the job as the form has it, or show the form with what is wrong, or with what changed meanwhile."""
    console, job = visit.console, _job(visit)
    sent = {name: visit.texts(name) for name in visit.form}
    seen = _seen(visit.text("seen"))
    options, faults = read_options(type(job), visit.texts)
    if seen is None:
        faults = [JobFault("", "", "The form is not complete: open the page again.")]
    if not faults:
        try:
            after = edited(job, options, now_in_millis())
            console.authorizations.known(after.authorization_id)
            faults = await edit_faults(job, after, console.apis.api)
        except ValidationError as error:
            faults = list(faults_of(error))
        except (CampaignMonitorError, LookupError) as fault:
            faults = [JobFault("authorization_id", "", f"it cannot be read: {fault}")]
    if faults or seen is None:
        return _form(visit, 422, job, sent, shown_faults(faults), visit.text("seen"))
    try:
        await write_edit(console.jobs, seen, after)
    except StaleEditError as refusal:
        await console.caught_up()
        history = console.trail.of("job", job.id)
        return _form(visit, 409, _job(visit), sent, list(meanwhile(refusal.changes, history)))
    return go_to(f"/jobs/{job.id}")


def _job(visit: Visit) -> ExportOrImportJob:
    return visit.console.jobs.known(visit.request.match_info["id"])


def _form(
    visit: Visit,
    status: int,
    job: ExportOrImportJob,
    texts: Mapping[str, list[str]],
    faults: Iterable[str],
    seen: str | None = None,
) -> web.Response:
    """Show the form. `seen`: the options that the job had when the form was first shown; None: those it has now."""
    if seen is None:
        seen = orjson.dumps(option_values(job)).decode()
    return visit.page("edit.html", status, job=job, inputs=list(inputs(type(job), texts)), faults=faults, seen=seen)


def _seen(text: str) -> dict[str, Any] | None:
    try:
        seen = orjson.loads(text)
    except ValueError:
        return None
    return seen if isinstance(seen, dict) else None


def meanwhile(changes: Iterable[OptionChange], history: Sequence[AuditRecord]) -> Iterable[str]:
    """Yield what has changed, with who changed it last and when, as far as it is recorded (pure)."""
    yield "The job was changed since this form was shown, and nothing was written. Save replaces what is shown here:"
    for change in changes:
        made = next((made for made in history if any(field.field == change.field for field in made.changes)), None)
        by = f" ({made.who}, {utc_text(made.at)} UTC)" if made else ""
        yield f"{label_of(change.field)}: {change.before} → {change.after}{by}"


ROUTES = (
    Route("GET", "/jobs/{id}/edit", "operator", show),
    Route("POST", "/jobs/{id}/edit", "operator", save),
)
