"""`cm-streams export`: what a job would do, and whether its list still is as it was left."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import asdict, replace
from typing import Annotated, Any

import orjson
import typer

from connectors.campaign_monitor.client import CampaignMonitor
from connectors.campaign_monitor.errors import CampaignMonitorError
from connectors.campaign_monitor.limiter import Limiter
from connectors.campaign_monitor.settings import CampaignMonitorSettings
from connectors.campaign_monitor.transport import Transport
from connectors.control.credentials import Credentials
from connectors.control.jobs import Jobs
from connectors.control.seal import Sealer, SealError
from connectors.control.settings import ControlSettings
from connectors.kafka.producer import AsyncProducer
from connectors.kafka.records import OutgoingRecord
from connectors.kafka.settings import KafkaSettings
from schemas.control import ExportJob
from schemas.membership_command import Resend, command_bytes
from streams.cli.control import control
from streams.cli.refusals import FAILED, refusals, refuse
from streams.export.lists.segments import planned
from streams.export.lists.shared_state import SharedState
from streams.export.recovery import snapshot
from streams.export.recovery.reconcile import SHOWN, DriftReport, Preview, compare, preview
from streams.export.rules.jobs import ListView
from streams.export.rules.values import field_name, option_text
from streams.export.state import ExportState

CANNOT_PREVIEW = 3
"""Exit code when nothing can be said; 0 with `nothing to do` means that there is nothing to do."""

app = typer.Typer(add_completion=False, no_args_is_help=True, help="Plan an export, find and repair drift.")
AsJson = Annotated[bool, typer.Option("--json", help="One JSON object.")]


class CannotPreviewError(RuntimeError):
    """Why nothing can be said about the job."""


@app.command()
def plan(job: str, as_json: AsJson = False) -> None:
    """Show what a job would do now: adds, updates, removals, who is blocked, what is made, calls, billable contacts.

    Nothing is written anywhere. Ends with 3 when it cannot be said.
    """
    with refusals():
        try:
            found = asyncio.run(_plan(job))
        except (CannotPreviewError, snapshot.SnapshotError, CampaignMonitorError, SealError) as reason:
            typer.echo(f"cannot preview: {reason}", err=True)
            raise typer.Exit(CANNOT_PREVIEW) from None
    body = asdict(found) | {"calls": found.calls, "added_billable_contacts": found.billable}
    if as_json:
        typer.echo(orjson.dumps(body))
        return
    if found.nothing_to_do:
        typer.echo(f"nothing to do: {found.unchanged} people are as they should be")
        return
    for name, value in body.items():
        shown = ", ".join(value) or "none" if isinstance(value, list) else value
        typer.echo(f"{name.replace('_', ' '):26} {shown}")


@app.command()
def reconcile(
    job: str,
    repair: Annotated[bool, typer.Option("--repair", help="Send everybody who differs again.")] = False,
    as_json: AsJson = False,
) -> None:
    """Compare the list with what was delivered; with --repair, have the worker send what differs again.

    Ends with 1 when something differs and was not repaired, with 3 when it cannot be said.
    """
    with refusals():
        try:
            report = asyncio.run(_reconcile(job, repair))
        except (CannotPreviewError, snapshot.SnapshotError, CampaignMonitorError, SealError) as reason:
            typer.echo(f"cannot compare: {reason}", err=True)
            raise typer.Exit(CANNOT_PREVIEW) from None
    if as_json:
        typer.echo(orjson.dumps(asdict(report)))
    else:
        typer.echo(f"{report.compared} compared, {report.drifted} differ, {report.waiting} wait to be sent anyway")
        for name in ("missing", "different", "strangers"):
            addresses = getattr(report, name)
            if addresses:
                more = f" and {len(addresses) - SHOWN} more" if len(addresses) > SHOWN else ""
                typer.echo(f"{name}: {', '.join(addresses[:SHOWN])}{more}")
        if repair and report.repairable:
            typer.echo(f"{len(report.repairable)} people are sent again by the worker")
    if report.drifted and not repair:
        raise typer.Exit(FAILED)


class _Scene:
    """What both commands look at."""

    def __init__(self, job: ExportJob, api: CampaignMonitor, state: ExportState, listed: ListView) -> None:
        self.job = job
        self.api = api
        self.state = state
        self.listed = listed


async def _plan(job_id: str) -> Preview:
    kafka = KafkaSettings()
    async with _scene(kafka, job_id) as scene:
        there = await snapshot.subscribers(scene.api, scene.job.list_id)
        found = preview(snapshot.rows(kafka), scene.listed, scene.state.names, there)
        fields = {field_name(it.name): it for it in await scene.api.lists.custom_fields(scene.job.list_id)}
        titles = {it.title for it in await scene.api.lists.segments(scene.job.list_id)}
        for view in scene.listed.jobs:
            names = [view.job.custom_field_name, *(it.custom_field for it in view.job.field_mappings)]
            found.fields_missing += [it for it in names if field_name(it) not in fields]
        plans = planned(scene.listed, scene.state.names)
        found.segments_missing = sorted(plans.keys() - titles)
        for made in plans.values():
            known = fields.get(field_name(made.field))
            found.options_missing += known is not None and option_text(made.option) not in known.options
        return found


async def _reconcile(job_id: str, repair: bool) -> DriftReport:
    kafka = KafkaSettings()
    async with _scene(kafka, job_id) as scene:
        there = await snapshot.subscribers(scene.api, scene.job.list_id)
        names = [view.job.custom_field_name for view in scene.listed.jobs]
        names += [it.custom_field for view in scene.listed.jobs for it in view.job.field_mappings]
        plain = {name: field_name(name) for name in names}
        report = compare(snapshot.rows(kafka), scene.listed, scene.state.names, there, plain)
        if repair and report.repairable:
            topic = kafka.names()["cm_membership-commands"]
            command = command_bytes(Resend(scene.job.list_id))
            async with AsyncProducer(kafka, "cli-repair") as producer:
                await producer.publish_many(
                    OutgoingRecord(topic, email.encode(), command) for email in report.repairable
                )
        return report


@asynccontextmanager
async def _scene(kafka: KafkaSettings, job_id: str) -> AsyncIterator[_Scene]:
    settings, secrets = CampaignMonitorSettings(), ControlSettings()
    sealer = Sealer.from_settings(secrets) if secrets.encryption_key.get_secret_value() else None
    async with control(sealer) as (jobs, authorizations), Transport(settings) as transport:
        job = jobs.known(job_id)
        if not isinstance(job, ExportJob):
            refuse(f"Job {job_id} is an import job")
        credentials = Credentials(settings, transport)
        credentials.read_from(authorizations)
        try:
            credential = await credentials.credential(job.authorization_id)
        except LookupError as fault:
            raise CannotPreviewError(str(fault)) from None
        state = _state(kafka, jobs, job)
        async with CampaignMonitor.open(credential, settings, Limiter.of(settings)) as api:
            yield _Scene(job, api, state, _as_if_running(state, job))


def _state(kafka: KafkaSettings, jobs: Jobs, job: ExportJob) -> ExportState:
    state = ExportState()
    shared = SharedState(kafka.names()["cm_export-state"], _NoPublisher(), state)
    for part in snapshot.newest(kafka, kafka.names()["cm_export-state"]):
        for key, value in part.items():
            shared.merge(key, value)
    shared.set_jobs(other for other in jobs.exports().values() if other.list_id == job.list_id)
    return state


def _as_if_running(state: ExportState, job: ExportJob) -> ListView:
    """Return the list with the job running: a plan is asked for before the start, too."""
    listed = state.exports.lists[job.list_id]
    views = tuple(
        replace(view, job=view.job.model_copy(update={"state": "running"})) if view.id == job.id else view
        for view in listed.jobs
    )
    return replace(listed, jobs=views)


class _NoPublisher:
    """Looking writes nothing."""

    async def publish_all(self, outputs: Any) -> None:
        """Refuse."""
        raise RuntimeError("a plan writes nothing")
