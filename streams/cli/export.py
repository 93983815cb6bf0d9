"""`cm-streams export` and `validate`: what a job would do, whether its list drifted, events checked beforehand."""

import asyncio
import sys
import time
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import asdict, replace
from typing import Annotated, Any

import orjson
import typer

from connectors.campaign_monitor.client.api import CampaignMonitor
from connectors.campaign_monitor.client.transport import Transport
from connectors.campaign_monitor.credentials import CampaignMonitorSettings
from connectors.campaign_monitor.dates import ClientDates
from connectors.campaign_monitor.errors.exceptions import CampaignMonitorError
from connectors.campaign_monitor.limits.limiter import Limiter
from connectors.control.accounts import Credentials
from connectors.control.crypto import ControlSettings, Sealer, SealError
from connectors.kafka.producer import AsyncProducer
from connectors.kafka.records import OutgoingRecord
from connectors.kafka.settings import KafkaSettings
from schemas.control import ExportJob
from schemas.identity import normalise_email
from schemas.membership_command import command_bytes
from streams.cli.control import FAILED, control, kafka_settings, refusals, refuse
from streams.cli.output import add_row, print_table, progress_of, table_of, visible
from streams.control.audiences import export_state, seen_audiences
from streams.export.intake.decode import FUTURE_TOLERANCE_MS, UnreadableEvent, decode
from streams.export.lists.segments import planned
from streams.export.recovery.preview import Preview, preview
from streams.export.recovery.reconcile import (
    SHOWN,
    DriftReport,
    SnapshotError,
    compare,
    repairs,
    snapshot_rows,
    subscribers,
)
from streams.export.rules.dropped import Dropped
from streams.export.rules.jobs import ListView
from streams.export.rules.values import field_name
from streams.export.state import ExportState

CANNOT_PREVIEW = 3
"""Exit code when there is no answer; 0 with `nothing to do` means that there is nothing to do."""

CONFIRMED_OPT_IN = "the list is confirmed opt-in"

app = typer.Typer(
    add_completion=False, no_args_is_help=True, help="Plan an export, find and repair drift, list audiences."
)
UP_TO = ("would_resubscribe", "added_billable_contacts")
"""Counts that are an upper bound where somebody would be resubscribed, or has to confirm; see `Preview`."""
AsJson = Annotated[bool, typer.Option("--json", help="One JSON object.")]


class CannotPreviewError(RuntimeError):
    """Why a job cannot be previewed or compared; one sentence."""


@app.command()
def plan(job: str, as_json: AsJson = False) -> None:
    """Show what a job would do now: adds, updates, removals, who is blocked, what is made, calls, billable contacts.

    Nothing is written anywhere. Ends with 3 when there is no answer.
    """
    with refusals():
        try:
            found = asyncio.run(_plan(job))
        except (CannotPreviewError, SnapshotError, CampaignMonitorError, SealError) as reason:
            typer.echo(f"cannot preview: {reason}", err=True)
            raise typer.Exit(CANNOT_PREVIEW) from None
    body = asdict(found) | {"calls": found.calls, "added_billable_contacts": found.billable}
    if as_json:
        typer.echo(orjson.dumps(body))
        return
    if found.nothing_to_do:
        typer.echo(f"nothing to do: {_people(found.unchanged)} as they should be")
        return
    if found.confirmed_opt_in:
        typer.echo(f"{CONFIRMED_OPT_IN}: they get a mail, and count once they follow its link")
    is_bound = found.would_resubscribe or found.wait_for_confirmation
    for name, value in body.items():
        shown = ", ".join(value) or "none" if isinstance(value, list) else value
        shown = f"up to {value}" if name in UP_TO and value and is_bound else shown
        typer.echo(f"{name.replace('_', ' '):26} {shown}")


@app.command()
def audiences(
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object for each audience.")] = False,
) -> None:
    """List the audiences that upstream has named: id, name, and how many people are in them now.

    Counted are the people whose events the export worker has read.
    """
    with refusals():
        kafka = kafka_settings()
        try:
            with progress_of("people of the changelog") as progress:
                rows = seen_audiences(kafka, progress)
        except SnapshotError as failure:
            refuse(str(failure))
    if as_json:
        for row in rows:
            typer.echo(orjson.dumps(row._asdict()).decode())
        return
    table = table_of("audience", "name", "people")
    for audience, name, count in rows:
        add_row(table, audience, name, f"{count:,}")
    if not rows:
        table.caption = "no event has named an audience yet"
    print_table(table)


@app.command()
def reconcile(
    job: str,
    repair: Annotated[bool, typer.Option("--repair", help="Send everybody who differs again.")] = False,
    as_json: AsJson = False,
) -> None:
    """Compare the list with what was delivered; with --repair, have the worker send what differs again.

    Ends with 1 when something differs and was not repaired, with 3 when there is no answer.
    """
    with refusals():
        try:
            report = asyncio.run(_reconcile(job, repair))
        except (CannotPreviewError, SnapshotError, CampaignMonitorError, SealError) as reason:
            typer.echo(f"cannot compare: {reason}", err=True)
            raise typer.Exit(CANNOT_PREVIEW) from None
    if as_json:
        typer.echo(orjson.dumps(asdict(report)))
    else:
        typer.echo(f"{report.compared} compared, {report.drifted} differ, {report.waiting} wait to be sent anyway")
        if report.confirmed_opt_in or report.wait_for_confirmation:
            typer.echo(f"{CONFIRMED_OPT_IN}: {report.wait_for_confirmation} wait for their confirmation")
        for name in ("missing", "different", "strangers"):
            addresses = getattr(report, name)
            if addresses:
                more = f" and {len(addresses) - SHOWN} more" if len(addresses) > SHOWN else ""
                typer.echo(visible(f"{name}: {', '.join(addresses[:SHOWN])}{more}"))
        if repair and report.repairable:
            typer.echo(f"{_people(len(report.repairable))} sent again by the worker")
        if repair and report.gone:
            typer.echo(f"{_people(len(report.gone))} missing: only a new entry into an audience adds them again")
    if report.drifted and not repair:
        raise typer.Exit(FAILED)


def _people(count: int) -> str:
    return "1 person is" if count == 1 else f"{count} people are"


class _ExportView:
    """What both commands read: the job, its list and what the workers share about it."""

    def __init__(
        self, job: ExportJob, api: CampaignMonitor, state: ExportState, listed: ListView, dropped: Dropped
    ) -> None:
        self.job = job
        self.api = api
        self.state = state
        self.listed = listed
        self.dropped = dropped


async def _plan(job_id: str) -> Preview:
    kafka = kafka_settings()
    async with _export_view(kafka, job_id) as export:
        with progress_of("people on the list") as progress:
            there = await subscribers(export.api, export.job.list_id, progress)
        details = await export.api.lists.details(export.job.list_id)
        client = await export.api.clients.details(export.job.client_id)
        dates = ClientDates.of(client.time_zone, CampaignMonitorSettings().zone_overrides)
        confirms = details.confirmed_opt_in
        with progress_of("people of the changelog") as progress:
            rows = snapshot_rows(kafka, progress)
            found = preview(rows, export.listed, export.state.names, there, dates, confirmed_opt_in=confirms)
        fields = {field_name(field.name): field for field in await export.api.lists.custom_fields(export.job.list_id)}
        titles = {segment.title for segment in await export.api.lists.segments(export.job.list_id)}
        for view in export.listed.jobs:
            names = [view.job.custom_field_name, *(mapping.custom_field for mapping in view.job.field_mappings)]
            found.fields_missing += [name for name in names if field_name(name) not in fields]
        plans = planned(export.listed, export.state.names)
        found.segments_missing = sorted({plan.title for plan in plans.values()} - titles)
        for made in plans.values():
            known = fields.get(field_name(made.field))
            found.options_missing += known is not None and made.option not in known.options
        return found


async def _reconcile(job_id: str, repair: bool) -> DriftReport:
    kafka = kafka_settings()
    async with _export_view(kafka, job_id) as export:
        read_at = int(time.time() * 1000)
        with progress_of("people on the list") as progress:
            there = await subscribers(export.api, export.job.list_id, progress)
        with progress_of("people of the changelog") as progress:
            rows = snapshot_rows(kafka, progress)
            report = compare(rows, export.listed, export.state.names, there, export.dropped)
        report.confirmed_opt_in = (await export.api.lists.details(export.job.list_id)).confirmed_opt_in
        if repair and (report.repairable or report.gone):
            topic = kafka.names()["cm_membership-commands"]
            async with AsyncProducer(kafka, "cli-repair") as producer:
                await producer.publish_many(
                    OutgoingRecord(topic, email.encode(), command_bytes(command))
                    for email, command in repairs(report, export.job.list_id, read_at)
                )
        return report


@asynccontextmanager
async def _export_view(kafka: KafkaSettings, job_id: str) -> AsyncIterator[_ExportView]:
    settings, secrets = CampaignMonitorSettings(), ControlSettings()
    sealer = Sealer.if_configured(secrets)
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
        state, shared = export_state(kafka, jobs, job)
        async with CampaignMonitor.open(credential, settings, Limiter.of(settings)) as api:
            yield _ExportView(job, api, state, _as_if_running(state, job), shared.dropped(job.list_id))


def _as_if_running(state: ExportState, job: ExportJob) -> ListView:
    """Return the list with the job running: a plan is asked for before the start, too."""
    listed = state.exports.lists[job.list_id]
    views = tuple(
        replace(view, job=view.job.model_copy(update={"state": "running"})) if view.id == job.id else view
        for view in listed.jobs
    )
    return replace(listed, jobs=views)


def validate(
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object a faulty line, for other programs.")] = False,
) -> None:
    """Check audience-membership events from standard input, one JSON a line; also CloudEvents and Lytics triggers.

    Prints `line N: where: what` for each fault, a line for each address that is read as another text than it is
    written, and a summary. Ends with 1 when a line is faulty.
    """
    lines = faults = 0
    now = int(time.time() * 1000)
    for number, line in enumerate(sys.stdin.buffer, start=1):
        if not line.strip():
            continue
        lines += 1
        event = decode(line.strip(), (), number, now)
        if isinstance(event, UnreadableEvent):
            faults += 1
            _show(number, event.stage, event.reason, as_json)
            continue
        for reading in readings(orjson.loads(line)):
            _show(number, "identity", reading, as_json, kind="note")
        if event.at >= now + FUTURE_TOLERANCE_MS:
            faults += 1
            _show(number, "schema", "at: lies in the future, and would be cut", as_json)
    if not as_json:
        typer.echo(f"{lines} lines, {faults} faulty" if faults else f"{lines} lines, all good")
    if faults:
        raise typer.Exit(FAILED)


def readings(body: Mapping[str, Any]) -> Iterator[str]:
    """Yield what an event's addresses are read as, where that is not how they are written, apart from capitals."""
    data = body.get("data")
    for name in ("email", "previous_email"):
        text = (data if isinstance(data, dict) else body).get(name)
        if not isinstance(text, str):
            continue
        identity = normalise_email(text)
        if identity is not None and identity != text.lower():
            yield f"{name}: is read as {identity}"


def _show(number: int, stage: str, reason: str, as_json: bool, *, kind: str = "reason") -> None:
    if as_json:
        typer.echo(orjson.dumps({"line": number, "stage": str(stage), kind: reason}))
    else:
        typer.echo(visible(f"line {number}: {reason}"))
