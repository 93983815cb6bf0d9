"""What repairs a job that asks for a person: the one thing that its attention leads to."""

from typing import Literal

from connectors.campaign_monitor.access import asks_for_access
from connectors.control.jobs import ExportOrImportJob, attention_of
from connectors.importer.tasks.plan import OURS
from schemas.control import Authorization, ExportJob, ImportJob
from streams.export.lists.attention import REMOVALS, SEGMENTS, reason_on
from streams.export.rules.outcome import ANOTHER_LIST

Repair = Literal["confirm", "log in", "edit", "start", "run", "look"]
"""`look`: nothing but a look at the job shows what to do."""


def repair_of(job: ExportOrImportJob, account: Authorization | None) -> Repair:
    """Return what repairs a job that has attention (pure). `account`: its authorization; None: there is none any more.

    A start repairs what is tried again by it: an import that could not read everything, and an export whose
    authorization was renewed while it was stopped. Nothing else is better after a start than before.
    """
    is_stopped = job.state == "stopped"
    if waits_for_removals(job):
        return "confirm"
    if account is None:
        return "edit"
    if asks_for_access(job.attention or "", job.authorization_id):
        return "start" if is_stopped and account.updated_at > job.updated_at else "log in"
    if isinstance(job, ImportJob):
        reads_again: Repair = "start" if is_stopped else "run"
        return reads_again if attention_of(job, OURS) else "look"
    return "edit" if is_edited(job) else "look"


def waits_for_removals(job: ExportOrImportJob) -> bool:
    """Return whether an export has stopped until its removals are confirmed."""
    return isinstance(job, ExportJob) and REMOVALS in (job.attention or "")


def is_edited(job: ExportJob) -> bool:
    """Return whether an export asks for other options: for another list, or for titles that segments can have."""
    reason = reason_on(job)
    return ANOTHER_LIST in reason if reason else SEGMENTS in (job.attention or "")
