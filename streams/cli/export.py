"""`cm-streams export` and `validate`: what a job would do, whether its list drifted, events checked beforehand."""

import asyncio
import sys
import time
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import asdict
from typing import Annotated, Any

import orjson
import typer

from connectors.campaign_monitor.credentials import CampaignMonitorSettings
from connectors.campaign_monitor.errors.exceptions import CampaignMonitorError
from connectors.control.crypto import SealError
from connectors.kafka.command_producer import CommandProducer
from connectors.kafka.settings import KafkaSettings
from schemas.control import ExportJob
from schemas.identity import normalise_email
from streams.cli.control import FAILED, audit_log, kafka_settings, refusals, refuse, with_account
from streams.cli.output import add_row, print_table, progress_of, table_of, visible
from streams.control.audiences import seen_audiences
from streams.control.export_plans import ExportView, export_drift, export_plan, export_view
from streams.export.intake.decode import FUTURE_TOLERANCE_MS, UnreadableEvent, decode
from streams.export.recovery.preview import Preview
from streams.export.recovery.reconcile import SHOWN, DriftReport, SnapshotError

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
        others = f"; {found.refused} refused, {found.blocked} blocked" if found.refused or found.blocked else ""
        typer.echo(f"nothing to do: {_people(found.unchanged)} as they should be{others}")
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


async def _plan(job_id: str) -> Preview:
    async with _export_view(job_id) as (kafka, view):
        return await export_plan(kafka, CampaignMonitorSettings(), view, progress_of)


async def _reconcile(job_id: str, repair: bool) -> DriftReport:
    async with _export_view(job_id) as (kafka, view), CommandProducer(kafka, "cli-repair") as producer:
        if repair:
            await audit_log(kafka, producer).note("job", job_id, "repair")
        return await export_drift(kafka, view, producer if repair else None, progress_of)


@asynccontextmanager
async def _export_view(job_id: str) -> AsyncIterator[tuple[KafkaSettings, ExportView]]:
    """Open what both commands read: the job, its list and what the workers share about it."""
    async with with_account() as (jobs, _authorizations, open_api):
        job = jobs.known(job_id)
        if not isinstance(job, ExportJob):
            refuse(f"Job {job_id} is an import job")
        try:
            api = await open_api(job.authorization_id)
        except LookupError as fault:
            raise CannotPreviewError(str(fault)) from None
        kafka = KafkaSettings()
        yield kafka, await export_view(kafka, jobs.exports().values(), job, api)


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
