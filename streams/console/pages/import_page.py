"""Import: the client, its lists, Keep Updated, Start import."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from aiohttp import web

from schemas.control import ImportJob
from streams.console.context import Route, Visit, go_to
from streams.console.pages.job_forms import (
    clients_of,
    fitting_job_of_form,
    is_checked,
    job_of_form,
    lists_of,
    options_of,
    sent_or_asked,
    shown_faults,
)
from streams.console.pages.option_forms import default_texts, inputs, read_options
from streams.control.import_runs import import_estimate, span_text
from streams.control.job_checks import JobFault
from streams.control.job_writing import made_up_job_id

ON_THE_PAGE = frozenset({"name", "authorization_id", "client_id", "lists", "keep_updated", "interval_seconds"})
"""Options that have a place of their own; the others are below them, as the model describes them."""


async def show(visit: Visit) -> web.StreamResponse:
    """Show as much of the form as can be filled in: clients once the account is chosen, lists once the client is."""
    return await _form(visit, 200, [])


async def start(visit: Visit) -> web.StreamResponse:
    """Start the import that the form describes, or show the form with what is wrong."""
    interval = visit.text("interval_seconds")
    if interval and not (interval.isascii() and interval.isdecimal() and len(interval) < 10):
        faults = [JobFault("interval_seconds", interval[:20], "it should be a number.")]
        return await _form(visit, 422, shown_faults(faults))
    more, unread = read_options(ImportJob, visit.texts, ON_THE_PAGE)
    if unread:
        return await _form(visit, 422, shown_faults(unread))
    options: dict[str, Any] = options_of(
        more
        | {
            "name": visit.text("name"),
            "authorization_id": visit.text("account"),
            "client_id": visit.text("client"),
            "lists": visit.texts("import_list"),
            "keep_updated": is_checked(visit, "keep_updated"),
            "interval_seconds": int(interval) if interval else None,
        }
    )
    if is_checked(visit, "estimate"):
        job = await fitting_job_of_form(visit, ImportJob, options)
        if isinstance(job, ImportJob):
            return await _form(visit, 200, [], await _estimate(visit, job))
        return await _form(visit, 422, shown_faults(job if isinstance(job, list) else []))
    made = await job_of_form(visit, ImportJob, options)
    if isinstance(made, list):
        return await _form(visit, 422, shown_faults(made))
    return go_to(f"/jobs/{made.id}")


async def _estimate(visit: Visit, job: ImportJob) -> list[tuple[str, str]]:
    """Return what a full read of a job takes that is stored nowhere yet."""
    api = await visit.console.apis.api(job.authorization_id)
    found, in_flight = await import_estimate(api, job, visit.console.campaign_monitor)
    rows = [(name, f"{count:,} rows") for name, count in found.rows.items()]
    lasts = f"about {span_text(timedelta(seconds=found.seconds))} with {in_flight} pages in flight"
    return [*rows, ("pages", f"{found.pages:,}"), ("calls", f"{found.calls:,}"), ("a full read lasts", lasts)]


async def _form(
    visit: Visit, status: int, faults: list[str], estimated: Sequence[tuple[str, str]] = ()
) -> web.StreamResponse:
    console = visit.console
    account, client = sent_or_asked(visit, "account"), sent_or_asked(visit, "client")
    clients = await clients_of(console, account) if account else []
    known = any(found.client_id == client for found in clients)
    texts = {name: visit.texts(name) for name in visit.form} if visit.form else default_texts(ImportJob)
    return visit.page(
        "import.html",
        status,
        faults=faults,
        estimated=estimated,
        accounts=console.authorizations.all().values(),
        account=account,
        clients=clients,
        client=client if known else "",
        lists=[found for found in await lists_of(console, account) if found.client_id == client] if known else [],
        more=list(inputs(ImportJob, texts, ON_THE_PAGE)),
        job_id=visit.text("job_id") or made_up_job_id(ImportJob),
        interval=ImportJob.model_fields["interval_seconds"].default,
    )


ROUTES = (
    Route("GET", "/import", "operator", show),
    Route("POST", "/import", "operator", start),
)
