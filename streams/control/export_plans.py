"""What an export would do, and where its list has drifted: read from the account and from the workers' topics."""

import asyncio
import time
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from connectors.campaign_monitor.client.caller import side_by_side
from connectors.campaign_monitor.credentials import CampaignMonitorSettings
from connectors.campaign_monitor.dates import ClientDates
from connectors.kafka.producer import AsyncProducer
from connectors.kafka.records import OutgoingRecord
from connectors.kafka.settings import KafkaSettings
from schemas.control import ExportJob
from schemas.membership_command import command_bytes
from streams.control.audiences import export_state
from streams.export.lists.segments import planned
from streams.export.recovery.preview import Preview, preview
from streams.export.recovery.reconcile import (
    DriftReport,
    Progress,
    compare,
    read_alone,
    repairs,
    snapshot_rows,
    subscribers,
    with_found,
)
from streams.export.rules.dropped import Dropped
from streams.export.rules.jobs import ListView
from streams.export.rules.values import field_name
from streams.export.state import ExportState

if TYPE_CHECKING:
    from collections.abc import Iterator

    from connectors.campaign_monitor.client.api import CampaignMonitor

FEW = 100
"""So many who are missing are read alone for a report or a plan, too: in the seconds that a list takes no more change
state."""

Shows = Callable[[str], AbstractContextManager[Progress]]
"""What is counted -> a context whose value is called with the count so far, in any thread."""


@contextmanager
def unseen(_what: str) -> "Iterator[Progress]":
    """Show no progress."""
    yield lambda _count: None


@dataclass(frozen=True, slots=True)
class ExportView:
    """A job, its list, and what the workers share about it."""

    job: ExportJob
    api: "CampaignMonitor"
    state: ExportState
    listed: ListView
    dropped: Dropped


async def export_view(
    kafka: KafkaSettings, exports: Iterable[ExportJob], job: ExportJob, api: "CampaignMonitor"
) -> ExportView:
    """Read what the workers share about a job's list. `job` may be stored nowhere yet, and counts as running.

    Raises SnapshotError.
    """
    others = [other for other in exports if other.id != job.id]
    state, shared = await asyncio.to_thread(export_state, kafka, [*others, job], job)
    return ExportView(job, api, state, _as_if_running(state, job), shared.dropped(job.list_id))


async def export_plan(
    kafka: KafkaSettings, settings: CampaignMonitorSettings, view: ExportView, shows: Shows = unseen
) -> Preview:
    """Return what a job would do now; nothing is written. Raises SnapshotError, CampaignMonitorError."""
    api, job = view.api, view.job
    with shows("people on the list") as progress:
        there, details, client, custom_fields, segments = await side_by_side(
            subscribers(api, job.list_id, progress),
            api.lists.details(job.list_id),
            api.clients.details(job.client_id),
            api.lists.custom_fields(job.list_id),
            api.lists.segments(job.list_id),
        )
    confirms, dates = details.confirmed_opt_in, ClientDates.of(client.time_zone, settings.zone_overrides)
    fields = {field_name(field.name): field for field in custom_fields}
    with shows("people of the changelog") as progress:

        def counted() -> tuple[Preview, set[str]]:
            rows, names, absent = snapshot_rows(kafka, progress), view.state.names, set[str]()
            seen = preview(
                rows, view.listed, names, there, dates, confirmed_opt_in=confirms, fields=fields, absent=absent
            )
            return seen, absent

        found, absent = await asyncio.to_thread(counted)
        if 0 < len(absent) <= FEW and (alone := await read_alone(api, job.list_id, sorted(absent))):
            there |= alone
            found, _absent = await asyncio.to_thread(counted)
    titles = {segment.title for segment in segments}
    plans = planned(view.listed, view.state.names)
    found.segments_missing = sorted({plan.title for plan in plans.values()} - titles)
    for made in plans.values():
        known: Any = fields.get(field_name(made.field))
        found.options_missing += known is not None and made.option not in known.options
    return found


async def export_drift(
    kafka: KafkaSettings, view: ExportView, producer: AsyncProducer | None = None, shows: Shows = unseen
) -> DriftReport:
    """Compare a job's list with what was delivered; with a `producer`, have the worker send what differs again.

    Nobody is noted as missing who was not read alone.

    Raises SnapshotError, CampaignMonitorError, PublishError.
    """
    read_at = int(time.time() * 1000)
    with shows("people on the list") as progress:
        there, details = await side_by_side(
            subscribers(view.api, view.job.list_id, progress), view.api.lists.details(view.job.list_id)
        )
    with shows("people of the changelog") as progress:

        def compared() -> DriftReport:
            return compare(snapshot_rows(kafka, progress), view.listed, view.state.names, there, view.dropped)

        report = await asyncio.to_thread(compared)
    if report.missing and (producer is not None or len(report.missing) <= FEW):
        report = await _missing_read_alone(kafka, view, report, shows)
    report.confirmed_opt_in = details.confirmed_opt_in
    if producer is not None and (report.repairable or report.gone):
        topic = kafka.names()["cm_membership-commands"]
        await producer.publish_many(
            OutgoingRecord(topic, email.encode(), command_bytes(command))
            for email, command in repairs(report, view.job.list_id, read_at)
        )
    return report


async def _missing_read_alone(kafka: KafkaSettings, view: ExportView, report: DriftReport, shows: Shows) -> DriftReport:
    """Return the report without those who changed state while the list was read."""
    with shows("people missing on the list") as progress:
        found = await read_alone(view.api, view.job.list_id, report.missing, progress)
    if not found:
        return report

    def compared() -> DriftReport:
        keys = set(report.gone)
        rows = (row for row in snapshot_rows(kafka) if row[0] in keys)
        return with_found(report, rows, view.listed, view.state.names, found, view.dropped)

    return await asyncio.to_thread(compared)


def _as_if_running(state: ExportState, job: ExportJob) -> ListView:
    """Return the list with the job running: a plan is asked for before the start, too."""
    listed = state.exports.lists[job.list_id]
    views = tuple(
        replace(view, job=view.job.model_copy(update={"state": "running"})) if view.id == job.id else view
        for view in listed.jobs
    )
    return replace(listed, jobs=views)
