"""Rows of Campaign Monitor's API to records of `cm_user` and `cm_activity` (pure).

Written for speed: one pass over a page, plain dicts, no model per row; what all rows share is written once. A test
proves that what comes out is what the models would write. No row is refused here: one without a usable address or date
is published as it is, and the profile aggregator keeps it as a dead letter.
"""

from collections.abc import Callable, Sequence
from collections.abc import Set as AbstractSet
from datetime import datetime
from hashlib import blake2b
from typing import Literal, NamedTuple

from orjson import dumps

from connectors.campaign_monitor import events
from connectors.campaign_monitor.client.entities import JsonObject
from connectors.campaign_monitor.dates import ClientDates
from connectors.campaign_monitor.events import custom_fields, event_key
from schemas.import_task import Published, Source

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


class ImportedRecord(NamedTuple):
    """A record to publish."""

    topic: Literal["cm_user", "cm_activity"]
    key: bytes
    value: bytes


class TranslatedRow(NamedTuple):
    """A row: the 16 bytes of its event id, its local date, and its record."""

    event_id: bytes
    date: str
    record: ImportedRecord | None
    """None: a listing's row that implies no activity, in the read of a gap."""
    in_scope: bool = True
    """False: the row belongs to a list that the job does not name, or is too old. It counts, but is not published."""
    was_read: bool = False
    """An earlier, narrower read has counted the row."""
    was_published: bool = False
    """And has published it."""


Translate = Callable[[Sequence[JsonObject], str | None, AbstractSet[bytes]], list[TranslatedRow]]
"""`RowTranslator.translate`."""


class RowTranslator:
    """Translates the rows of one source. `undated`: the time (RFC 3339) of a row whose date cannot be read."""

    def __init__(self, source: Source, job_id: str, dates: ClientDates, undated: str) -> None:
        self._source = source
        self._dates = dates
        self._undated = undated
        self._tail = _tail(source, job_id)
        self.odd_dates = 0

    def translate(
        self, rows: Sequence[JsonObject], minute: str | None = None, held: AbstractSet[bytes] = frozenset()
    ) -> list[TranslatedRow]:
        """Return the rows with their ids and records, in one pass.

        `minute`, `held`: the minute at which the page before ended and the short ids of its rows there, so that equal
        rows are counted on.
        """
        if self._source.resource in ("users", "suppression"):
            return self._changes(rows) if self._source.gap else self._users(rows)
        return self._activity(rows, minute, held)

    def local_minute(self, instant: datetime) -> str:
        """Return the client's wall clock at an instant, as rows compare with it."""
        return self._dates.minute_filter(instant)

    def _utc(self, text: str) -> str:
        instant = self._dates.utc_text_or_none(text)
        if instant is None:
            self.odd_dates += 1
            return self._undated
        return instant

    @property
    def _owner(self) -> bytes:
        source = self._source
        return events.subscriber_state(source.list_id or source.client_id, source.state or "suppressed")

    def _users(self, rows: Sequence[JsonObject]) -> list[TranslatedRow]:
        utc, tail, owner = self._utc, self._tail, self._owner
        state = (self._source.state or "suppressed").capitalize()
        translated: list[TranslatedRow] = []
        for row in rows:
            event_id = blake2b(owner + dumps(row), digest_size=16).digest()
            address, date = row.get("EmailAddress") or "", row.get("Date") or ""
            value = {
                "schema_version": 1,
                "event_id": event_id.hex(),
                "at": utc(date),
                "email": address,
                "status": row.get("State") or state,
                "custom_fields": custom_fields(row),
            }
            if date:
                value["raw_date"] = date
            joined = row.get("ListJoinedDate")
            if joined:
                value["joined_at"] = utc(joined)
            for theirs, ours in _USER_TEXTS:
                text = row.get(theirs)
                if text is not None:
                    value[ours] = text
            record = ImportedRecord("cm_user", event_key(address).encode(), dumps(value)[:-1] + tail)
            translated.append(TranslatedRow(event_id, date, record))
        return translated

    def _changes(self, rows: Sequence[JsonObject]) -> list[TranslatedRow]:
        """Return the activity that a listing's rows imply, which a webhook may have missed.

        The subscribers themselves come with the next run. A row's record has the id that the webhook's event would
        have had, so published twice it counts once.
        """
        owner = self._owner
        return [
            TranslatedRow(
                blake2b(owner + dumps(row), digest_size=16).digest(), row.get("Date") or "", self._change(row)
            )
            for row in rows
        ]

    def _change(self, row: JsonObject) -> ImportedRecord | None:
        event, status = CHANGES.get(self._source.state or "", (None, None))
        if event is None:
            return None
        address, date = row.get("EmailAddress") or "", row.get("Date") or ""
        key = event_key(address)
        instant = self._dates.utc_text_or_none(date) or date
        base = events.list_change(event, status or "", self._source.list_id or "", key, instant)
        value = {
            "schema_version": 1,
            "event_id": events.digest(base).hex(),
            "at": self._utc(date),
            "event": event,
            "email": address,
            "source": "webhook",
            "raw_date": date,
            "custom_fields": custom_fields(row),
        }
        if status:
            value["status"] = status
        if row.get("Name"):
            value["name"] = row["Name"]
        return ImportedRecord("cm_activity", key.encode(), dumps(value)[:-1] + self._tail)

    def _activity(
        self, rows: Sequence[JsonObject], minute: str | None, held: AbstractSet[bytes]
    ) -> list[TranslatedRow]:
        source, tail, names = self._source, self._tail, self._source.list_names
        event, status = EVENTS[source.report or ""]
        owner = source.campaign_id or source.email_id or ""
        # Recipients have no date in a campaign's report: they were all sent when the campaign was.
        sent, chosen, since = source.sent_date or "", frozenset(source.lists), source.since or ""
        numbered = source.report != "recipients" or source.resource != "report"
        texts = tuple((theirs, ours) for theirs, ours in _ACTIVITY_TEXTS if any(theirs in row for row in rows))
        earlier = EarlierRead(source, source.published) if source.published is not None else None
        ordinals: dict[str, int] = {}
        last, at, instant = "", self._undated, ""
        translated: list[TranslatedRow] = []
        for row in rows:
            get = row.get
            address = get("EmailAddress") or ""
            key = event_key(address)
            date = get("Date") or get("SentDate") or sent
            list_id = get("ListID") or source.list_id or ""
            if date != last or not date:
                last, at = date, self._utc(date)
                instant = date if at is self._undated else at
            if status is not None:
                base = events.list_change(event, status, list_id, key, instant)
            else:
                base = events.report_row(event, owner, list_id, key, instant, get("URL") or "", get("IPAddress") or "")
            ordinal = 0
            if numbered:
                if date[:16] != minute:
                    minute, held, ordinals = date[:16], frozenset(), {}
                ordinal = ordinals.get(base, -1) + 1
            event_id = events.digest(base, ordinal)
            while held and event_id[: events.SHORT_BYTES] in held:
                ordinal += 1
                event_id = events.digest(base, ordinal)
            ordinals[base] = ordinal
            value = {
                "schema_version": 1,
                "event_id": event_id.hex(),
                "at": at,
                "event": event,
                "email": address,
                "raw_date": date,
            }
            if status is not None:
                value["status"] = status
            if list_id:
                value["list_id"] = list_id
                name = names.get(list_id) or source.list_name
                if name is not None:
                    value["list_name"] = name
            for theirs, ours in texts:
                text = get(theirs)
                if text:
                    value[ours] = text
            for theirs, ours in _ACTIVITY_NUMBERS:
                number = get(theirs)
                if number is not None:
                    value[ours] = number
            record = ImportedRecord("cm_activity", key.encode(), dumps(value)[:-1] + tail)
            in_scope = (not chosen or list_id in chosen) and date >= since
            if earlier is None:
                translated.append(TranslatedRow(event_id, date, record, in_scope))
            else:
                was_read, was_published = earlier.has(event_id[: events.SHORT_BYTES], date, list_id)
                translated.append(TranslatedRow(event_id, date, record, in_scope, was_read, was_published))
        return translated


class EarlierRead:
    """Which rows an earlier, narrower read has counted, and which it has published."""

    def __init__(self, source: Source, published: Published) -> None:
        self._lists = frozenset(published.lists)
        self._since = published.since or ""
        self._before = published.before or ""
        self._known = events.unpack(published.known)
        # Recipients have no dates. Of too many none is remembered: then all that were in its scope were published.
        self._all = source.report == "recipients" and source.resource == "report" and not self._known
        # It asked for the same dates, so its count of rows can be compared.
        self._counted = published.since == source.since

    def has(self, short: bytes, date: str, list_id: str) -> tuple[bool, bool]:
        """Return whether a row was read, and whether it was published."""
        was_read = self._all or date < self._before or short in self._known
        was_published = was_read and (not self._lists or list_id in self._lists) and date >= self._since
        return was_read and self._counted, was_published


def _tail(source: Source, job_id: str) -> bytes:
    """Return what all rows of a source have in common, as the end of a JSON object."""
    tail = {"client_id": source.client_id, "client_name": source.client_name or None, "job_id": job_id}
    match source.resource:
        case "users":
            tail |= {"list_id": source.list_id, "list_name": source.list_name}
        case "report":
            tail |= {"source": "campaign", "campaign_id": source.campaign_id, "campaign_name": source.campaign_name}
        case "journey_report":
            tail |= {"source": "journey", "journey_id": source.journey_id, "journey_name": source.journey_name}
            tail |= {"journey_email_id": source.email_id, "journey_email_name": source.email_name}
    return b"," + dumps({name: value for name, value in tail.items() if value is not None})[1:]


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
_ACTIVITY_NUMBERS = (("Latitude", "latitude"), ("Longitude", "longitude"))
