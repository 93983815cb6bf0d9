"""From a form as it was sent to a job's options. Pure, but for what reads the account."""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from connectors.campaign_monitor.client.api import CampaignMonitor
from connectors.campaign_monitor.client.entities import ClientRef, CustomField
from connectors.control.jobs import ExportOrImportJob, JobExistsError
from streams.console.context import Console, Visit
from streams.control.accounts import AccountList, account_clients, account_lists
from streams.control.job_checks import JobFault
from streams.control.job_making import fitting_job
from streams.control.job_writing import JobModel

LABELS = {
    "authorization_id": "Account",
    "client_id": "Client",
    "list_id": "List",
    "lists": "Lists to Import",
    "audiences": "Audiences",
    "existing_users": "Existing Users",
    "resubscribe_users": "Resubscribe Users",
    "queue_autoresponders": "Queue Subscription Based Auto Responders",
    "email_field": "Email Field",
    "name_field": "Name Field",
    "field_mappings": "Field Mappings",
    "custom_field_name": "Field that holds the audiences",
    "keep_updated": "Keep Updated",
    "activities": "Activity to import",
    "since": "How far back",
    "interval_seconds": "Seconds between the starts of two runs",
}
"""A job's field -> what its input is called on the page."""


def label_of(field: str) -> str:
    """Return what a job's field is called on the pages; empty for none."""
    return LABELS.get(field) or field.replace("_", " ").capitalize()


_JOB_ID = re.compile(r"(export|import)-[0-9a-f]{8}")
BLANK_ROWS = 2
"""Rows of field mappings that a form offers beside those that are filled in."""


class MappingRow(NamedTuple):
    """A row of Field Mappings as it was sent."""

    user_field: str
    custom_field: str
    data_type: str


def mapping_rows(users: Sequence[str], customs: Sequence[str], types: Sequence[str]) -> list[MappingRow]:
    """Return the rows in which something is filled in."""
    return [
        MappingRow(user, custom, data_type)
        for user, custom, data_type in zip(users, customs, types, strict=False)
        if user or custom
    ]


def half_filled(rows: Iterable[MappingRow]) -> Iterator[JobFault]:
    """Yield a fault for each row that lacks one of its sides."""
    for row in rows:
        if not (row.user_field and row.custom_field):
            yield JobFault("field_mappings", row.user_field or row.custom_field, "both sides of a row are needed.")


def shown_faults(faults: Iterable[JobFault]) -> list[str]:
    """Return a sentence for each fault, with the input's name on the page."""
    lines = []
    for fault in faults:
        named = " ".join(filter(None, [label_of(fault.field), fault.given]))
        lines.append(f"{named}: {fault.text}" if named else fault.text)
    return lines


async def lists_of(console: Console, authorization_id: str, client_id: str | None = None) -> Sequence[AccountList]:
    """Return the lists of an account, or of one client; read lately. Raises CampaignMonitorError, LookupError."""

    async def read() -> Sequence[AccountList]:
        return await account_lists(await _api(console, authorization_id), client_id)

    return await console.recent.get(("lists", authorization_id, client_id or ""), read)


async def clients_of(console: Console, authorization_id: str) -> Sequence[ClientRef]:
    """Return the clients of an account; read lately. Raises as `lists_of`."""

    async def read() -> Sequence[ClientRef]:
        return await account_clients(await _api(console, authorization_id))

    return await console.recent.get(("clients", authorization_id), read)


async def fields_of(console: Console, authorization_id: str, list_id: str) -> Sequence[CustomField]:
    """Return the custom fields of a list; read lately. Raises as `lists_of`."""

    async def read() -> Sequence[CustomField]:
        return await (await _api(console, authorization_id)).lists.custom_fields(list_id)

    return await console.recent.get(("fields", authorization_id, list_id), read)


async def _api(console: Console, authorization_id: str) -> CampaignMonitor:
    console.authorizations.known(authorization_id)
    return await console.apis.api(authorization_id)


def sent_or_asked(visit: Visit, name: str) -> str:
    """Return a field of the form, or of the address where there is no form."""
    return visit.text(name) or str(visit.request.query.get(name, "")).strip()


def is_checked(visit: Visit, name: str) -> bool:
    """Return whether a box was checked."""
    return bool(visit.text(name))


def options_of(values: dict[str, Any]) -> dict[str, Any]:
    """Return options without those that were left empty: they have the defaults of the job's model."""
    return {name: value for name, value in values.items() if value not in ("", None)}


async def fitting_job_of_form(
    visit: Visit, model: JobModel, options: Mapping[str, Any]
) -> ExportOrImportJob | list[JobFault]:
    """Return the job that a form describes, or what is wrong with it; nothing is written."""
    console, job_id = visit.console, visit.text("job_id")
    if not _JOB_ID.fullmatch(job_id):
        return [JobFault("", "", "The form is not complete: open the page again.")]
    return await fitting_job(console.authorizations, console.apis.api, model, options, job_id)


async def job_of_form(visit: Visit, model: JobModel, options: Mapping[str, Any]) -> ExportOrImportJob | list[JobFault]:
    """Write a new job that runs, and return it; or what is wrong. Raises PublishError, TimeoutError.

    The id was made with the form: when it is sent again, the job that it made is returned.
    """
    if (before := visit.console.jobs.get(visit.text("job_id"))) is not None:
        return before
    job = await fitting_job_of_form(visit, model, options)
    if isinstance(job, list):
        return job
    try:
        return await visit.console.jobs.add(job)
    except JobExistsError:  # it came twice at once
        return visit.console.jobs.known(job.id)
