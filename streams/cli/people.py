"""`cm-streams send-event` and `receipts`: one person's change published rightly keyed, and what became of changes."""

import asyncio
import contextlib
from datetime import UTC, datetime
from typing import Annotated, Any

import orjson
import typer
from pydantic import ValidationError

from connectors.kafka.command_producer import CommandProducer
from connectors.kafka.records import Position
from connectors.kafka.settings import KafkaSettings
from schemas.audience_delivery import DeliveryReceipt
from schemas.audience_membership import AudienceMembership
from schemas.identity import key_of, normalise_email
from streams.cli.control import audit_log, kafka_settings, refusals, refuse
from streams.cli.output import OneJsonObject, print_json, print_line
from streams.control.people import publish_event, receipt_values

WRONG_USE = 2

AUDIENCE = "Id of an audience, or ID=NAME: its name is its id otherwise."


def send_event(
    email: Annotated[str, typer.Option(help="The person's e-mail address.", show_default=False)],
    enter: Annotated[str | None, typer.Option(help=f"They enter this audience. {AUDIENCE}")] = None,
    leave: Annotated[str | None, typer.Option("--exit", help=f"They leave this audience. {AUDIENCE}")] = None,
    snapshot: Annotated[
        list[str] | None, typer.Option(help=f"They are in exactly these audiences; may be repeated. {AUDIENCE}")
    ] = None,
    field: Annotated[list[str] | None, typer.Option(help="NAME=VALUE, a field of the person; may be repeated.")] = None,
    previous_email: Annotated[str | None, typer.Option(help="The address that they had before.")] = None,
    at: Annotated[str | None, typer.Option(help="When it happened, as RFC 3339; now without it.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only print the event.")] = False,
    as_json: OneJsonObject = False,
) -> None:
    """Publish one event to audience-membership, in the partition of the person's key; prints where it is.

    One of --enter, --exit and --snapshot states what has changed.
    """
    address = normalise_email(email)
    if address is None:
        refuse(f"--email {email}: it is no e-mail address", WRONG_USE)
    if sum(given is not None for given in (enter, leave, snapshot)) != 1:
        refuse("one of --enter, --exit and --snapshot is needed, and no second one", WRONG_USE)
    body: dict[str, Any] = {
        "email": email,
        "at": at or datetime.now(UTC).isoformat(),
        "user": dict(map(_pair, field or [])),
    }
    body |= {"previous_email": previous_email} if previous_email else {}
    if snapshot is not None:
        body |= {"change": "snapshot", "audiences": [_audience(text) for text in snapshot]}
    else:
        body |= {"change": "enter" if enter else "exit", "audience": _audience(enter or leave or "")}
    try:
        membership = AudienceMembership.from_bytes(orjson.dumps(body))
    except ValidationError as faults:
        fault = faults.errors(include_input=False, include_url=False)[0]
        refuse(f"{'.'.join(map(str, fault['loc']))}: {fault['msg']}", WRONG_USE)
    event = membership.to_bytes()
    if dry_run:
        typer.echo(event.decode())
        return
    with refusals():
        kafka = kafka_settings()
        position = asyncio.run(_published(kafka, membership))
    if as_json:
        place = {"topic": position.topic, "partition": position.partition, "offset": position.offset}
        print_json({**place, "event": orjson.loads(event)}, one_line=True)
    else:
        print_line(f"{position.topic}[{position.partition}] at {position.offset}: {event.decode()}")


def receipts(
    email: Annotated[str | None, typer.Option(help="Only this person's, by key.")] = None,
    job: Annotated[str | None, typer.Option(help="Only this job's.")] = None,
    follow: Annotated[bool, typer.Option("--follow", help="Go on with new ones until Ctrl-C.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object for each receipt.")] = False,
) -> None:
    """Show receipts of audience-delivery, the oldest first: what became of each change, for each job."""
    address = normalise_email(email) if email is not None else None
    if email is not None and address is None:
        refuse(f"--email {email}: it is no e-mail address", WRONG_USE)
    with refusals(), contextlib.suppress(KeyboardInterrupt):
        for value in receipt_values(kafka_settings(), key_of(address) if address else None, follow=follow):
            try:
                receipt = DeliveryReceipt.from_bytes(value)
            except ValidationError:
                continue
            if job in (None, receipt.job_id):
                print_line(value.decode() if as_json else _line(receipt))


def _line(receipt: DeliveryReceipt) -> str:
    outcome = f"{receipt.outcome} {receipt.reason}" if receipt.reason else str(receipt.outcome)
    cells = [f"{receipt.at:%Y-%m-%d %H:%M:%S}", receipt.email, receipt.job_id, outcome]
    return "  ".join([*cells, *filter(None, [", ".join(receipt.audiences), receipt.message])])


async def _published(kafka: KafkaSettings, event: AudienceMembership) -> Position:
    async with CommandProducer(kafka, "cli") as producer:
        return await publish_event(kafka, producer, audit_log(kafka, producer), event)


def _audience(text: str) -> dict[str, str]:
    audience, equals, name = text.partition("=")
    return {"id": audience, "name": name if equals else audience}


def _pair(text: str) -> tuple[str, Any]:
    name, equals, value = text.partition("=")
    if not (name and equals):
        refuse(f"--field {text}: it is not NAME=VALUE", WRONG_USE)
    return name, value
