"""Webhook events to records of `cm_activity`, with ids that follow from the event (pure).

A post of usual events is translated in C where there was a compiler (`native_events.pyx`); the rules are here, and a
test compares both.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

import orjson

from connectors.campaign_monitor import events
from connectors.campaign_monitor.dates import ClientDates
from connectors.campaign_monitor.events import custom_fields, event_key
from connectors.kafka.records import OutgoingRecord
from connectors.webhook.envelope import HookEvent, UnparsedEvent
from schemas.cm_activity import CmActivity
from schemas.dead_letter import RECORD_OVERHEAD, Stage
from schemas.identity import normalise_email

try:
    from connectors.webhook import native_events
except ImportError:  # there was no C compiler
    native_events = None  # type: ignore[assignment]

STATUS_OF = {"unsubscribed": "unsubscribe", "bounced": "bounce", "deleted": "delete"}
"""Campaign Monitor's state, in lower case -> the mappings' status of a deactivate; there is no other."""

STATES = frozenset({"", "active", "unconfirmed", *STATUS_OF})
"""What a subscribe or an update may hold as its state, in lower case; an unknown kind of event may hold anything."""


_STATUSES = {
    "subscribe": {state: state for state in STATES},
    "update": {state: state for state in STATES},
    "deactivate": STATUS_OF,
}
"""Kind -> state -> status, of the usual kinds: what `_status` returns."""


class InvalidEventError(ValueError):
    """An event lacks what every record must hold; the text quotes nothing of it."""


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
    """An event as it will be published to `cm_activity`; `fields["echo"]` may still be set.

    `tail`: what all records of a list have in common, as the end of a JSON object.
    """

    key: bytes
    fields: dict[str, object]
    tail: bytes

    def value(self) -> bytes:
        """Return the record's value. Raises TypeError for text that has no UTF-8 bytes."""
        return orjson.dumps(self.fields)[:-1] + self.tail


def to_activity(event: HookEvent, hooked: HookedList, tail: bytes | None = None) -> ActivityRecord:
    """Return an event as a `cm_activity` record. `tail`: `tail_of(hooked)`, where it is known.

    An unknown type is kept as data. Raises InvalidEventError for an event without an address, with a date that is none
    or a state that its type cannot have, and anything for what is no event at all.
    """
    get = event.get
    kind = _text(get("Type")).lower()
    date = _text(get("Date"))
    address = get("EmailAddress")
    if type(address) is not str or "@" not in address:
        raise InvalidEventError("EmailAddress is no address")
    email = event_key(address)
    status = _status(kind, _text(get("State")).lower())
    at = hooked.dates.utc_text_or_none(date)
    if at is None:
        raise InvalidEventError("Date is no date")
    instant = hooked.dates.id_instant(at)
    if kind in ("subscribe", "deactivate"):
        state = status if kind == "deactivate" else ""
        base = events.list_change(kind, state, hooked.list_id, email, instant)
    else:
        content = {name: value for name, value in event.items() if name != "Date"}
        base = events.webhook_update(hooked.list_id, email, instant, orjson.dumps(content, option=orjson.OPT_SORT_KEYS))
    fields: dict[str, object] = {
        "schema_version": 1,
        "event_id": events.digest(base).hex(),
        "at": at,
        "event": kind or "unknown",
        "email": address,
        "source": "webhook",
        "echo": False,
        "raw_date": date,
        "custom_fields": custom_fields(event),
    }
    if status:
        fields["status"] = status
    if name := get("Name"):
        fields["name"] = _text(name)
    before = _text(get("OldEmailAddress"))
    if before and before != address and normalise_email(before) != email:
        fields["old_email"] = before
    signup = _text(get("SignupIPAddress"))
    if signup[:1].isdigit() or ":" in signup:  # else a marker such as TypeManual
        fields["ip"] = signup
    return ActivityRecord(email.encode("utf-8", "surrogatepass"), fields, tail or tail_of(hooked))


@lru_cache(maxsize=1_024)
def tail_of(hooked: HookedList) -> bytes:
    """Return what the records of a list have in common, as the end of a JSON object."""
    tail = {"list_id": hooked.list_id, "client_id": hooked.client_id, "job_id": hooked.job_id}
    tail |= {"list_name": hooked.list_name} if hooked.list_name else {}
    tail |= {"client_name": hooked.client_name} if hooked.client_name else {}
    return b"," + orjson.dumps(tail)[1:]


class UnusableEvent(NamedTuple):
    """An event that no record can hold: its position in the post, its key as far as it is known, and why."""

    position: int
    key: bytes | None
    reason: str
    stage: Stage


def to_activities(
    found: Sequence[HookEvent | UnparsedEvent], hooked: HookedList
) -> tuple[dict[int, ActivityRecord], list[UnusableEvent]]:
    """Return the records of a post by the index of their event, and the events that none can be made of."""
    records: dict[int, ActivityRecord] = {}
    refused: list[UnusableEvent] = []
    tail = tail_of(hooked)
    for index, event in enumerate(found):
        if isinstance(event, UnparsedEvent):
            refused.append(UnusableEvent(index, None, f"event {index}: {event.reason}", Stage.DECODE))
            continue
        try:
            records[index] = to_activity(event, hooked, tail)
        except InvalidEventError as error:
            refused.append(UnusableEvent(index, None, f"event {index}: {error}", Stage.SCHEMA))
        except Exception as error:  # whatever it is, the events beside it are good
            reason = f"event {index} cannot be translated: {type(error).__name__}"
            refused.append(UnusableEvent(index, None, reason, Stage.SCHEMA))
    return records, refused


def usual_records(
    found: list[HookEvent | UnparsedEvent], hooked: HookedList, topic: str, max_bytes: int
) -> tuple[list[OutgoingRecord], list[str]] | None:
    """Return the records of a post and the kind of each; None when an event is unusual, or nothing was compiled.

    The records are those of `to_activities` and `encode`.
    """
    if native_events is None:
        return None
    dates = hooked.dates

    def moment_of(date: str) -> tuple[str, str] | None:
        at = dates.utc_text_or_none(date)
        return None if at is None else (at, dates.id_instant(at))

    room = max_bytes - RECORD_OVERHEAD
    return native_events.events(found, hooked.list_id.encode(), _STATUSES, moment_of, tail_of(hooked), topic, room)


def encode(
    records: dict[int, ActivityRecord], topic: str, max_bytes: int
) -> tuple[list[OutgoingRecord], list[UnusableEvent]]:
    """Return the records that take at most `max_bytes` of the topic's limit, and the events of the others."""
    encoded: list[OutgoingRecord] = []
    refused: list[UnusableEvent] = []
    room = max_bytes - RECORD_OVERHEAD
    for index, record in records.items():
        key = record.key
        try:
            value = record.value()
        except TypeError as error:
            reason = f"event {index} cannot be encoded: {type(error).__name__}"
            refused.append(UnusableEvent(index, key, reason, Stage.SCHEMA))
            continue
        if (length := len(key) + len(value)) <= room:
            encoded.append(OutgoingRecord(topic, key, value))
        else:
            reason = f"event {index} would be a record of {length} bytes, more than KAFKA_MAX_MESSAGE_BYTES allows"
            refused.append(UnusableEvent(index, key, reason, Stage.DELIVERY))
    return encoded, refused


def as_model(record: ActivityRecord) -> CmActivity:
    """Return the record as its model. Raises pydantic's ValidationError."""
    return CmActivity.from_bytes(record.value())


def _status(kind: str, state: str) -> str:
    """Return the status of an event in a state, both in lower case. Raises InvalidEventError."""
    if kind == "deactivate":
        status = STATUS_OF.get(state)
        if status is None:
            raise InvalidEventError("State is none that a Deactivate leads to")
        return status
    if kind in ("subscribe", "update") and state not in STATES:
        raise InvalidEventError("State is none of a subscriber")
    return state


def _text(value: object) -> str:
    return value if type(value) is str else "" if value is None else str(value)
