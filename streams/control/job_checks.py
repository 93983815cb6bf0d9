"""A job compared with its account: the lists are there, and custom fields have the types that it writes."""

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, NamedTuple

from connectors.control.jobs import ExportOrImportJob
from schemas.control import ExportJob
from streams.control.permissions import granted, needed_by
from streams.export.rules.values import field_name

if TYPE_CHECKING:
    from connectors.campaign_monitor.client.api import CampaignMonitor

SHOWN = 10
"""Lists that a sentence names."""


class JobFault(NamedTuple):
    """What is wrong with one of a job's options; commands and pages name the option in their own words."""

    field: str
    """The job's field; empty where it is none of them."""
    given: str
    text: str


class JobCheck(NamedTuple):
    """One thing that was compared, and what is wrong with it."""

    name: str
    faults: list[JobFault]


async def compared(job: ExportOrImportJob, api: "CampaignMonitor") -> list[JobCheck]:
    """Compare a job's lists and fields with its account. Raises CampaignMonitorError."""
    lists = {found.list_id: found.name for found in await api.clients.lists(job.client_id)}
    wanted = [job.list_id] if isinstance(job, ExportJob) else job.lists
    field = "list_id" if isinstance(job, ExportJob) else "lists"
    faults = [
        JobFault(field, list_id, missing_list(job.client_id, lists)) for list_id in wanted if list_id not in lists
    ]
    checks = [JobCheck("lists", faults)]
    if isinstance(job, ExportJob) and not faults:
        fields = {field_name(found.name): found.data_type for found in await api.lists.custom_fields(job.list_id)}
        checks.append(JobCheck("fields", list(field_faults(job, fields))))
    return checks


async def permitted(job: ExportOrImportJob, api: "CampaignMonitor") -> list[JobCheck]:
    """Check each permission that a job needs. Raises CampaignMonitorError."""
    list_ids = [job.list_id] if isinstance(job, ExportJob) else job.lists
    list_ids = list_ids or [found.list_id for found in await api.clients.lists(job.client_id)]
    checks = []
    for permission in needed_by(job):
        has = await granted(api, permission, job.client_id, next(iter(list_ids), None))
        missing = f"it is not granted, and {permission.use}: connect the account again and grant it."
        checks.append(JobCheck(f"permission {permission.name}", [JobFault("", "", missing)] if has is False else []))
    return checks


def missing_list(client_id: str, lists: Mapping[str, str]) -> str:
    """Return the sentence about a list that is none of the client's."""
    known = ", ".join(f"{known_id} ({name})" for known_id, name in list(lists.items())[:SHOWN]) or "none"
    return f"client {client_id} has no such list; it has {known}."


def field_faults(job: ExportJob, fields: Mapping[str, str]) -> Iterable[JobFault]:
    """Yield a fault for each custom field of another type. `fields`: type by plain name; others are created."""
    audiences = field_name(job.custom_field_name)
    found = fields.get(audiences, "MultiSelectMany")
    if found != "MultiSelectMany":
        wrong = f"the list's field is {found}, not MultiSelectMany."
        yield JobFault("custom_field_name", job.custom_field_name, wrong)
    uses = {audiences: "MultiSelectMany"}
    for mapping in job.field_mappings:
        plain = field_name(mapping.custom_field)
        given = f"{mapping.user_field}={mapping.custom_field}:{mapping.data_type}"
        used = uses.setdefault(plain, mapping.data_type)
        if plain == audiences:
            yield JobFault("field_mappings", given, "this field holds the audiences; choose another one.")
        elif used != mapping.data_type:
            yield JobFault("field_mappings", given, f"the job also writes this field as {used}.")
        elif fields.get(plain, mapping.data_type) != mapping.data_type:
            wrong = f"the list's field is {fields[plain]}; choose this type, or another field."
            yield JobFault("field_mappings", given, wrong)
