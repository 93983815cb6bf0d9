"""An edit of a job: what it changes, what that leads to, and what has changed meanwhile."""

import asyncio
import hashlib
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any, NamedTuple

import orjson

from connectors.control.jobs import ExportOrImportJob, Jobs
from connectors.kafka.settings import KafkaSettings
from schemas.control import ExportJob
from schemas.jobs_file import SYSTEM_FIELDS
from streams.control.job_checks import JobFault
from streams.control.job_repairs import waits_for_removals
from streams.control.job_writing import account_faults
from streams.export.lists.attention import REMOVALS, reason_on

if TYPE_CHECKING:
    from connectors.control.accounts import OpenApi

CHECKED = frozenset({"authorization_id", "client_id", "list_id", "lists", "field_mappings", "custom_field_name"})
"""Fields of a job that the account is compared with."""


class OptionChange(NamedTuple):
    """An option that differs; both values as JSON."""

    field: str
    before: str
    after: str


class StaleEditError(ValueError):
    """The job was edited since it was read; nothing was written."""

    def __init__(self, changes: Iterable[OptionChange]) -> None:
        self.changes = list(changes)
        changed = ", ".join(change.field for change in self.changes)
        super().__init__(f"The job was changed meanwhile ({changed}): nothing was written")


class NothingToConfirmError(ValueError):
    """No removals wait for a confirmation; the text is a sentence."""


class ConfirmedRemovals(NamedTuple):
    """The removals that go on."""

    list_id: str
    people: int | None
    """None: they could not be counted."""
    counted: str
    """What the export had counted when it stopped."""
    not_counted: str = ""
    """Why they could not be counted now."""


def option_values(job: ExportOrImportJob) -> dict[str, Any]:
    """Return a job's options as JSON values; whether it runs is one of them."""
    return job.model_dump(mode="json", exclude=set(SYSTEM_FIELDS))


def changed_options(before: Mapping[str, Any], after: Mapping[str, Any]) -> Iterator[OptionChange]:
    """Yield what differs between the options of a job at two times."""
    for name, value in after.items():
        if before.get(name) != value:
            yield OptionChange(name, shown(before.get(name)), shown(value))


def shown(value: Any) -> str:
    """Return an option's value as JSON."""
    return orjson.dumps(value).decode()


def version_of(job: ExportOrImportJob) -> str:
    """Return what differs between any two states of a job that differ in an option."""
    text = orjson.dumps(option_values(job), option=orjson.OPT_SORT_KEYS)
    return hashlib.sha256(text).hexdigest()[:16]


def edited(before: ExportOrImportJob, options: Mapping[str, Any], now: datetime) -> ExportOrImportJob:
    """Return a job with other options, as values of its model. Raises ValidationError.

    An export to another list counts changes from now on.
    """
    kept = {name: getattr(before, name) for name in type(before).model_fields}
    if isinstance(before, ExportJob) and options.get("list_id", before.list_id) != before.list_id:
        kept["started_at"] = now
    return type(before)(**{**kept, **options, "updated_at": now})


def needs_check(before: ExportOrImportJob, after: ExportOrImportJob) -> bool:
    """Return whether an edit changes what the account is compared with."""
    return any(getattr(after, name, None) != getattr(before, name, None) for name in CHECKED)


async def write_edit(
    jobs: Jobs, seen: Mapping[str, Any], after: ExportOrImportJob, *, keep_state: bool = True
) -> ExportOrImportJob:
    """Write an edited job, unless its options are not those any more that were `seen` by who edits it.

    `keep_state`: whether it runs stays as it is now; it is no part of what was edited.
    Raises StaleEditError, UnknownJobError, PublishError, TimeoutError.
    """
    async with jobs.alone():
        now = jobs.known(after.id)
        changes = changed_options(seen, option_values(now))
        meanwhile = [change for change in changes if not (keep_state and change.field == "state")]
        if meanwhile:
            raise StaleEditError(meanwhile)
        return await jobs.put(after.model_copy(update={"state": now.state}) if keep_state else after)


async def edit_faults(before: ExportOrImportJob, after: ExportOrImportJob, open_api: "OpenApi") -> list[JobFault]:
    """Return what of an edit its account contradicts. Raises CampaignMonitorError, LookupError."""
    return await account_faults(after, open_api) if needs_check(before, after) else []


def consequences(before: ExportOrImportJob, after: ExportOrImportJob) -> Iterator[str]:
    """Yield, as sentences, what an edit of an export job leads to on its list that the options do not show."""
    if not isinstance(before, ExportJob) or not isinstance(after, ExportJob):
        return
    if before.custom_field_name != after.custom_field_name:
        yield (
            f"The field {before.custom_field_name!r} stays on the list with the values that it has, also of who leaves "
            "later: nothing keeps it in step any more. Delete it at Campaign Monitor once no segment uses it."
        )
    fewer = after.audiences and (not before.audiences or not set(before.audiences) <= set(after.audiences))
    if fewer:
        what = {"keep": "stays on the list", "unsubscribe": "is unsubscribed", "delete": "is deleted from the list"}
        yield (
            "Who was exported, and is in none of the audiences that are left, "
            f"{what[after.on_last_exit]} (on last exit), within the limits of the removal guard."
        )


async def confirm_removals(kafka: KafkaSettings, jobs: Jobs, job_id: str, now: datetime) -> ConfirmedRemovals:
    """Let an export go on that stopped because it would remove an unusual share of its people.

    That they cannot be counted is no reason not to confirm. Raises NothingToConfirmError, and as `Jobs.change`.
    """
    from streams.control.audiences import removals_waiting  # and with it the export, which few commands need
    from streams.export.recovery.reconcile import SnapshotError

    job = jobs.known(job_id)
    if not isinstance(job, ExportJob):
        raise NothingToConfirmError(f"Job {job_id} is an import job; only exports remove people")
    exports = jobs.exports()
    waiting = [other for other in exports.values() if other.list_id == job.list_id and waits_for_removals(other)]
    if not waiting:
        raise NothingToConfirmError(f"No removals of job {job_id} wait for a confirmation: nothing was confirmed")
    people, failed = None, ""
    try:
        people = await asyncio.to_thread(removals_waiting, kafka, exports.values(), job)
    except SnapshotError as failure:
        failed = str(failure)
    await jobs.change(job_id, removals_confirmed_at=now)
    counted = (reason_on(waiting[0]) or "").removesuffix(REMOVALS).rstrip()
    return ConfirmedRemovals(job.list_id, people, counted, failed)
