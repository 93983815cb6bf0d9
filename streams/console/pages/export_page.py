"""Export: account, list, audiences, the advanced options, Start export."""

from collections.abc import Sequence
from typing import Any, get_args

from aiohttp import web
from pydantic import ValidationError

from connectors.kafka.read_to_end import ReadError
from schemas.control import DataType, ExportJob, FieldMapping
from streams.console.context import Console, Route, Visit, go_to
from streams.console.pages.job_action_pages import plan_rows
from streams.console.pages.job_forms import (
    BLANK_ROWS,
    MappingRow,
    fields_of,
    fitting_job_of_form,
    half_filled,
    is_checked,
    job_of_form,
    lists_of,
    mapping_rows,
    options_of,
    sent_or_asked,
    shown_faults,
)
from streams.console.pages.option_forms import default_texts, inputs, read_options
from streams.control.accounts import by_id
from streams.control.audiences import SeenUpstream
from streams.control.export_plans import export_plan, export_view
from streams.control.job_checks import JobFault
from streams.control.job_writing import faults_of, made_up_job_id
from streams.export.recovery.reconcile import SnapshotError


async def upstream_of(console: Console) -> SeenUpstream | None:
    """Return the audiences and fields that upstream has sent; None when they cannot be read."""
    try:
        return await console.upstream()
    except (ReadError, SnapshotError, TimeoutError):
        return None


ON_THE_PAGE = frozenset(
    {
        *("name", "authorization_id", "client_id", "list_id", "audiences", "existing_users", "resubscribe_users"),
        *("queue_autoresponders", "email_field", "name_field", "field_mappings"),
    }
)
"""Options that have a place of their own; the others are below them, as the model describes them."""


async def show(visit: Visit) -> web.StreamResponse:
    """Show as much of the form as can be filled in: lists once the account is chosen, the rest once the list is."""
    return await _form(visit, 200, [])


async def start(visit: Visit) -> web.StreamResponse:
    """Start the export that the form describes, or show the form with what is wrong."""
    rows = _rows(visit)
    if is_checked(visit, "more_rows"):
        return await _form(visit, 200, [], rows, blank=BLANK_ROWS + 3)
    more, unread = read_options(ExportJob, visit.texts, ON_THE_PAGE)
    faults = [*half_filled(rows), *unread]
    options: dict[str, Any] = {}
    if not faults:
        try:
            options = options_of(more) | _options(visit, rows)
        except ValidationError as error:
            faults = [JobFault("field_mappings", fault.given, fault.text) for fault in faults_of(error)]
    if not faults and is_checked(visit, "plan"):
        job = await fitting_job_of_form(visit, ExportJob, options)
        if isinstance(job, ExportJob):
            return await _form(visit, 200, [], rows, plan=await _plan(visit.console, job))
        faults = job if isinstance(job, list) else []
    elif not faults:
        made = await job_of_form(visit, ExportJob, options)
        if not isinstance(made, list):
            return go_to(f"/jobs/{made.id}")
        faults = made
    return await _form(visit, 422, shown_faults(faults), rows)


def _rows(visit: Visit) -> list[MappingRow]:
    return mapping_rows(visit.texts("user_field"), visit.texts("custom_field"), visit.texts("data_type"))


def _options(visit: Visit, rows: Sequence[MappingRow]) -> dict[str, Any]:
    """Return the options of the form. Raises ValidationError for a row of field mappings."""
    client, _slash, list_id = visit.text("list").partition("/")
    others = [line.strip() for line in visit.text("other_audiences").splitlines()]
    return options_of(
        {
            "name": visit.text("name"),
            "authorization_id": visit.text("account"),
            "client_id": client,
            "list_id": list_id,
            "audiences": list(dict.fromkeys([*visit.texts("audience"), *filter(None, others)])),
            "existing_users": is_checked(visit, "existing_users"),
            "resubscribe_users": is_checked(visit, "resubscribe_users"),
            "queue_autoresponders": is_checked(visit, "queue_autoresponders"),
            "email_field": visit.text("email_field"),
            "name_field": visit.text("name_field"),
            "field_mappings": [FieldMapping.model_validate(row._asdict()) for row in rows],
        }
    )


async def _plan(console: Console, job: ExportJob) -> list[tuple[str, str]]:
    """Return what a job would do that is stored nowhere yet; one row with the reason when that cannot be known."""
    try:
        api = await console.apis.api(job.authorization_id)
        view = await export_view(console.kafka, console.jobs.exports().values(), job, api)
        return plan_rows(await export_plan(console.kafka, console.campaign_monitor, view))
    except SnapshotError as failure:
        return [("no plan", f"{failure}")]


async def _form(
    visit: Visit,
    status: int,
    faults: list[str],
    rows: Sequence[MappingRow] = (),
    blank: int = BLANK_ROWS,
    plan: Sequence[tuple[str, str]] = (),
) -> web.StreamResponse:
    console = visit.console
    account, chosen = sent_or_asked(visit, "account"), sent_or_asked(visit, "list")
    lists = await lists_of(console, account) if account else []
    into = by_id(lists, chosen)
    seen = await upstream_of(console) if into else None
    texts = {name: visit.texts(name) for name in visit.form} if visit.form else default_texts(ExportJob)
    return visit.page(
        "export.html",
        status,
        faults=faults,
        plan=plan,
        accounts=console.authorizations.all().values(),
        account=account,
        lists=lists,
        chosen=chosen if into else "",
        fields=await fields_of(console, account, into.list_id) if into else [],
        audiences=seen and seen.audiences,
        user_fields=seen.user_fields if seen else [],
        more=list(inputs(ExportJob, texts, ON_THE_PAGE)),
        rows=[*rows, *[MappingRow("", "", "Text")] * blank],
        types=get_args(DataType),
        job_id=visit.text("job_id") or made_up_job_id(ExportJob),
        defaults={name: ExportJob.model_fields[name].default for name in ("email_field", "name_field")},
    )


ROUTES = (
    Route("GET", "/export", "operator", show),
    Route("POST", "/export", "operator", start),
)
