"""Webhook events to records of `cm_activity`, with ids that follow from the event (pure)."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import orjson

from connectors.campaign_monitor import events
from connectors.campaign_monitor.dates import ClientDates
from connectors.campaign_monitor.events import custom_fields, event_key
from connectors.webhook.envelope import HookEvent, UnparsedEvent
from schemas.cm_activity import CmActivity
from schemas.dead_letter import Stage, wire_bytes
from schemas.identity import normalise_email

STATUS_OF = {"unsubscribed": "unsubscribe", "bounced": "bounce", "deleted": "delete"}
"""Campaign Monitor's state -> the mappings' status of a deactivate; unknown ones are kept, in lower case."""


@dataclass(frozen=True, slots=True)
class HookedList:
    """The list that events are about, and what they do not hold themselves."""

    list_id: str
    list_name: str
    client_id: str
    client_name: str
    job_id: str
    dates: ClientDates


class ActivityRecord(NamedTuple):
    """An event as it will be published to `cm_activity`; `fields["echo"]` may still be set."""

    key: bytes
    fields: dict[str, object]

    def value(self) -> bytes:
        """Return the record's value."""
        return orjson.dumps(self.fields)


def to_activity(event: HookEvent, hooked: HookedList, received_at: str) -> ActivityRecord:
    """Return an event as a `cm_activity` record. `received_at` (RFC 3339) is the time of one without a date.

    Nothing is refused: an unknown type or state is kept as data, and what has no usable address is kept as a dead
    letter by the profile aggregator.
    """
    kind = _text(event, "Type").lower()
    date = _text(event, "Date")
    address = _text(event, "EmailAddress")
    email = event_key(address)
    state = _text(event, "State").lower()
    status = STATUS_OF.get(state, state) if kind == "deactivate" else state
    fields: dict[str, object] = {
        "schema_version": 1,
        "event_id": events.digest(_base(event, kind, status, hooked.list_id, email, date)).hex(),
        "at": hooked.dates.utc_text_or_none(date) or received_at,
        "event": kind or "unknown",
        "email": address,
        "source": "webhook",
        "echo": False,
        "list_id": hooked.list_id,
        "client_id": hooked.client_id,
        "job_id": hooked.job_id,
        "custom_fields": custom_fields(event),
    }
    fields |= {"list_name": hooked.list_name} if hooked.list_name else {}
    fields |= {"client_name": hooked.client_name} if hooked.client_name else {}
    fields |= {"raw_date": date} if date else {}
    fields |= {"status": status} if status else {}
    fields |= {"name": _text(event, "Name")} if event.get("Name") else {}
    before = _text(event, "OldEmailAddress")
    if before and normalise_email(before) != email:
        fields["old_email"] = before
    signup = _text(event, "SignupIPAddress")
    if signup[:1].isdigit() or ":" in signup:  # else a marker such as TypeManual
        fields["ip"] = signup
    return ActivityRecord(email.encode("utf-8", "surrogatepass"), fields)


class UnusableEvent(NamedTuple):
    """An event that no record can hold: its position in the post, its key as far as it is known, and why."""

    position: int
    key: bytes | None
    reason: str
    stage: Stage


def to_activities(
    found: Sequence[HookEvent | UnparsedEvent], hooked: HookedList, received_at: str
) -> tuple[dict[int, ActivityRecord], list[UnusableEvent]]:
    """Return the records of a post by the index of their event, and the events that none can be made of."""
    records: dict[int, ActivityRecord] = {}
    refused: list[UnusableEvent] = []
    for index, event in enumerate(found):
        if isinstance(event, UnparsedEvent):
            refused.append(UnusableEvent(index, None, f"event {index}: {event.reason}", Stage.DECODE))
            continue
        try:
            records[index] = to_activity(event, hooked, received_at)
        except Exception as error:  # whatever it is, the events beside it are good
            reason = f"event {index} cannot be translated: {type(error).__name__}"
            refused.append(UnusableEvent(index, None, reason, Stage.SCHEMA))
    return records, refused


def encode(records: dict[int, ActivityRecord], max_bytes: int) -> tuple[list[tuple[bytes, bytes]], list[UnusableEvent]]:
    """Return keys and values of the records that take at most `max_bytes` of a topic's limit, and the others."""
    encoded: list[tuple[bytes, bytes]] = []
    refused: list[UnusableEvent] = []
    for index, (key, fields) in records.items():
        try:
            value = orjson.dumps(fields)
        except TypeError as error:
            reason = f"event {index} cannot be encoded: {type(error).__name__}"
            refused.append(UnusableEvent(index, key, reason, Stage.SCHEMA))
            continue
        if (length := wire_bytes(key, value, ())) <= max_bytes:
            encoded.append((key, value))
        else:
            reason = f"event {index} would be a record of {length} bytes, more than KAFKA_MAX_MESSAGE_BYTES allows"
            refused.append(UnusableEvent(index, key, reason, Stage.DELIVERY))
    return encoded, refused


def as_model(record: ActivityRecord) -> CmActivity:
    """Return the record as its model. Raises pydantic's ValidationError."""
    return CmActivity.from_bytes(record.value())


def _base(event: HookEvent, kind: str, status: str, list_id: str, email: str, date: str) -> str:
    if kind in ("subscribe", "deactivate"):
        return events.list_change(kind, status if kind == "deactivate" else "", list_id, email, date)
    return events.webhook_update(list_id, email, date, orjson.dumps(event, option=orjson.OPT_SORT_KEYS))


def _text(event: HookEvent, name: str) -> str:
    value = event.get(name)
    return "" if value is None else str(value)
