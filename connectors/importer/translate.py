"""Rows of Campaign Monitor's API to records of `cm_user` and `cm_activity` (pure).

Written for speed: plain dicts, no model per row. A test proves that what comes out is what the models would write.
Two passes, because a row's id depends on how many equal rows came before it: `identify` reads what a row is,
`record` writes it once its id is known. No row is refused here: one without a usable address or date is published as
it is, and the profile aggregator keeps it as a dead letter.
"""

from collections.abc import Callable
from typing import Literal, NamedTuple

import orjson

from connectors.campaign_monitor import events
from connectors.campaign_monitor.client.entities import JsonObject
from connectors.campaign_monitor.dates import ClientDates
from connectors.campaign_monitor.events import custom_fields, event_key
from schemas.import_task import Source

EVENTS: dict[str, tuple[str, str | None]] = {
    "recipients": ("sent", None),
    "opens": ("open", None),
    "clicks": ("click", None),
    "unsubscribes": ("deactivate", "unsubscribe"),
    "spam": ("spam", None),
    "bounces": ("bounce", None),
}
"""Report -> (event, status) in the mappings' vocabulary."""

CHANGES: dict[str, tuple[str, str | None]] = {
    "active": ("subscribe", None),
    "unsubscribed": ("deactivate", "unsubscribe"),
    "bounced": ("deactivate", "bounce"),
    "deleted": ("deactivate", "delete"),
}
"""Listing -> the webhook event that brought a person there; unconfirmed people cause none."""


class RowIdentity(NamedTuple):
    """A row's local date, and what its id is made of."""

    date: str
    base: str
    email: str
    """Normalised, or as it came where it is no address; it is the record's key."""
    in_scope: bool = True
    """False: the row belongs to a list that the job does not name, or is too old. It counts, but is not published."""


class ImportedRecord(NamedTuple):
    """A record to publish."""

    topic: Literal["cm_user", "cm_activity"]
    key: bytes
    value: bytes


class RowTranslator:
    """Translates the rows of one source. `undated`: the time (RFC 3339) of a row whose date cannot be read."""

    def __init__(self, source: Source, job_id: str, dates: ClientDates, undated: str) -> None:
        self._source = source
        self._dates = dates
        self._undated = undated
        self.odd_dates = 0
        self._tail = {"client_id": source.client_id, "client_name": source.client_name or None, "job_id": job_id}
        if source.resource == "users":
            self._tail |= {"list_id": source.list_id, "list_name": source.list_name}
        elif source.resource == "report":
            self._tail |= {"source": "campaign", "campaign_id": source.campaign_id}
            self._tail |= {"campaign_name": source.campaign_name}
        elif source.resource == "journey_report":
            self._tail |= {"source": "journey", "journey_id": source.journey_id, "journey_name": source.journey_name}
            self._tail |= {"journey_email_id": source.email_id, "journey_email_name": source.email_name}
            self._tail |= {"list_id": source.list_id, "list_name": source.list_name}
        self._tail = {name: value for name, value in self._tail.items() if value is not None}
        self.identify: Callable[[JsonObject], RowIdentity]
        self.record: Callable[[JsonObject, RowIdentity, str], ImportedRecord]
        if source.resource in ("users", "suppression"):
            self.identify, self.record = self._identify_user, self._user
        else:
            self.identify, self.record = self._identify_activity, self._activity
            self._event, self._status = EVENTS[source.report or ""]
            self._owner = source.campaign_id or source.email_id or ""

    def change(self, row: JsonObject, identified: RowIdentity) -> ImportedRecord | None:
        """Return the activity that a listing's row implies, None where it implies none.

        A webhook may have missed it. It has the id that the webhook's event would have had, so published twice it
        counts once.
        """
        event, status = CHANGES.get(self._source.state or "", (None, None))
        if event is None:
            return None
        base = events.list_change(event, status or "", self._source.list_id or "", identified.email, identified.date)
        value = {
            "schema_version": 1,
            "event_id": events.digest(base).hex(),
            "at": self._utc(identified.date),
            "event": event,
            "email": row.get("EmailAddress") or "",
            "source": "webhook",
            "raw_date": identified.date,
            "custom_fields": custom_fields(row),
            **self._tail,
        }
        if status:
            value["status"] = status
        if row.get("Name"):
            value["name"] = row["Name"]
        return ImportedRecord("cm_activity", identified.email.encode(), orjson.dumps(value))

    def _utc(self, text: str) -> str:
        instant = self._dates.utc_text_or_none(text)
        if instant is None:
            self.odd_dates += 1
            return self._undated
        return instant

    def _identify_user(self, row: JsonObject) -> RowIdentity:
        email = event_key(row.get("EmailAddress") or "")
        date = row.get("Date") or ""
        source = self._source
        owner = source.list_id or source.client_id
        base = events.subscriber_state(owner, source.state or "suppressed", orjson.dumps(row))
        return RowIdentity(date, base, email)

    def _user(self, row: JsonObject, identified: RowIdentity, event_id: str) -> ImportedRecord:
        date = identified.date
        value = {
            "schema_version": 1,
            "event_id": event_id,
            "at": self._utc(date),
            "email": row.get("EmailAddress") or "",
            "status": row.get("State") or (self._source.state or "suppressed").capitalize(),
            "custom_fields": custom_fields(row),
            **self._tail,
        }
        if date:
            value["raw_date"] = date
        joined = row.get("ListJoinedDate")
        if joined:
            value["joined_at"] = self._utc(joined)
        for theirs, ours in _USER_TEXTS:
            text = row.get(theirs)
            if text is not None:
                value[ours] = text
        return ImportedRecord("cm_user", identified.email.encode(), orjson.dumps(value))

    def _identify_activity(self, row: JsonObject) -> RowIdentity:
        source = self._source
        list_id = row.get("ListID") or source.list_id or ""
        # Recipients of journeys have SentDate, those of campaigns no date: they were all sent when the campaign was.
        date = row.get("Date") or row.get("SentDate") or source.sent_date or ""
        email = event_key(row.get("EmailAddress") or "")
        in_scope = (not source.lists or list_id in source.lists) and (not source.since or date >= source.since)
        if self._status is not None:
            base = events.list_change(self._event, self._status, list_id, email, date)
        else:
            base = events.report_row(
                self._event, self._owner, list_id, email, date, row.get("URL") or "", row.get("IPAddress") or ""
            )
        return RowIdentity(date, base, email, in_scope)

    def _activity(self, row: JsonObject, identified: RowIdentity, event_id: str) -> ImportedRecord:
        value = {
            "schema_version": 1,
            "event_id": event_id,
            "at": self._utc(identified.date),
            "event": self._event,
            "email": row.get("EmailAddress") or "",
            "raw_date": identified.date,
            **self._tail,
        }
        if self._status is not None:
            value["status"] = self._status
        list_id = row.get("ListID")
        if list_id:
            value["list_id"] = list_id
            name = self._source.list_names.get(list_id)
            if name:
                value["list_name"] = name
        for theirs, ours in _ACTIVITY_TEXTS:
            text = row.get(theirs)
            if text:
                value[ours] = text
        latitude = row.get("Latitude")
        if latitude is not None:
            value["latitude"] = latitude
        longitude = row.get("Longitude")
        if longitude is not None:
            value["longitude"] = longitude
        return ImportedRecord("cm_activity", identified.email.encode(), orjson.dumps(value))


_USER_TEXTS = (
    ("Name", "name"),
    ("ConsentToTrack", "consent_to_track"),
    ("ConsentToSendSms", "consent_to_send_sms"),
    ("MobileNumber", "mobile_number"),
    ("ReadsEmailWith", "reads_email_with"),
    ("SuppressionReason", "suppression_reason"),
)
_ACTIVITY_TEXTS = (
    ("URL", "url"),
    ("IPAddress", "ip"),
    ("CountryCode", "cc"),
    ("CountryName", "country"),
    ("City", "city"),
    ("Region", "region"),
    ("BounceType", "bounce_type"),
    ("Reason", "reason"),
)
