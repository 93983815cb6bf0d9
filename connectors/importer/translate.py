"""Rows of Campaign Monitor's API to records of `cm_user` and `cm_activity` (pure).

Written for speed: one pass over a page, plain dicts, no model per row; what all rows share is written once. A test
proves that what comes out is what the models would write. No row is refused here: one without a usable address or date
is published as it is, and the profile aggregator keeps it as a dead letter.
"""

from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from datetime import datetime

from orjson import dumps

from connectors.campaign_monitor import events
from connectors.campaign_monitor.client.entities import JsonObject
from connectors.campaign_monitor.dates import ClientDates
from connectors.campaign_monitor.events import event_key
from connectors.importer import subscriber_rows
from connectors.importer.subscriber_rows import SubscriberRows
from connectors.importer.translated import EarlierReads, ImportedRecord, ReadsElsewhere, TranslatedRow
from schemas.envelope import rfc3339
from schemas.import_task import Source

_MINUTE = len("2026-10-25T02:30")

EVENTS: dict[str, tuple[str, str | None]] = {
    "recipients": ("sent", None),
    "opens": ("open", None),
    "clicks": ("click", None),
    "unsubscribes": ("deactivate", "unsubscribe"),
    "spam": ("spam", None),
    "bounces": ("bounce", None),
}
"""Report -> (event, status) in the mappings' vocabulary."""


class RowTranslator:
    """Translates the rows of one source. `undated`: the time (RFC 3339) of a row whose date cannot be read.

    `reported`: short ids of unsubscribes that reports hold, for a source that looks for others.
    """

    def __init__(
        self,
        source: Source,
        job_id: str,
        dates: ClientDates,
        undated: str,
        reported: AbstractSet[bytes] = frozenset(),
    ) -> None:
        self._source = source
        self._dates = dates
        self._undated = undated
        self._reported = reported
        self._tail = _tail(source, job_id)
        self._repeat = _tail(source.model_copy(update={"again": True}), job_id)
        self.odd_dates = 0

    def translate(
        self,
        rows: Sequence[JsonObject],
        minute: str | None = None,
        held: AbstractSet[bytes] = frozenset(),
        clock: str = "",
    ) -> list[TranslatedRow]:
        """Return the rows with their ids and records, in one pass.

        `minute`, `held`: the minute at which the page before ended and the short ids of its rows there, so that equal
        rows are counted on; `clock`: that of its last row (`TranslatedRow.clock`).
        """
        if self._source.resource in ("users", "suppression"):
            people = SubscriberRows(self._source, self._dates, self._utc, self._undated, self._tail, self._repeat)
            implied = self._source.gap or self._source.unreported_before is not None
            if implied:
                return people.changes(rows, self._reported)
            usual = people.usual(list(rows))
            return people.users(rows) if usual is None else usual
        usual = None if clock else self._usual(list(rows), minute, held)
        return self._activity(rows, minute, held, clock) if usual is None else usual

    def removed(self, addresses: Sequence[str], last_seen: datetime) -> list[ImportedRecord]:
        """Return the records of who was taken off the suppression list at some time after `last_seen`."""
        people = SubscriberRows(self._source, self._dates, self._utc, self._undated, self._tail, self._repeat)
        return people.removed(addresses, rfc3339(last_seen))

    def _utc(self, text: str) -> str:
        instant = self._dates.utc_text_or_none(text)
        if instant is None:
            self.odd_dates += 1
            return self._undated
        return instant

    def _usual(
        self, rows: list[JsonObject], minute: str | None, held: AbstractSet[bytes]
    ) -> list[TranslatedRow] | None:
        """Return the same as `_activity`, in C; None for a page with anything unusual, or where it is not compiled."""
        source = self._source
        native_rows = subscriber_rows.native_rows
        if native_rows is None or source.published or source.elsewhere:
            return None
        event, status = EVENTS[source.report or ""]
        base = ("list", event, status) if status else ("report", event, source.campaign_id or source.email_id or "")
        return native_rows.activity(
            rows,
            "\x1f".join((*base, "")).encode(),
            status is not None,
            b',"event":"%s","email":' % event.encode(),
            status,
            source.sent_date or "",
            source.list_id or "",
            source.list_names,
            source.list_name,
            source.report != "recipients" or source.resource != "report",
            minute,
            held,
            frozenset(source.lists),
            source.since or "",
            self._dates.plain_days,
            self._moment,
            self._tail,
        )

    def _moment(self, date: str) -> tuple[str, str] | None:
        """Return the time of a date and the instant of its id; None for one that is not usual."""
        at = self._dates.utc_text_or_none(date)
        usual = at is not None and self._dates.repeated(date) is None and self._dates.stretch(at) is None
        return (at, at) if usual and at is not None else None

    def _id_instant(self, at: str) -> tuple[str, str]:
        """Return the instant of an id, and the minute from which equal rows are counted; empty for its own."""
        stretch = self._dates.stretch(at)
        return (at, "") if stretch is None else (self._dates.id_instant(at), rfc3339(stretch.begin)[:_MINUTE])

    def _activity(
        self, rows: Sequence[JsonObject], minute: str | None, held: AbstractSet[bytes], clock: str
    ) -> list[TranslatedRow]:
        source, tail, names = self._source, self._tail, self._source.list_names
        event, status = EVENTS[source.report or ""]
        owner = source.campaign_id or source.email_id or ""
        # Recipients have no date in a campaign's report: they were all sent when the campaign was.
        sent, chosen, since = source.sent_date or "", frozenset(source.lists), source.since or ""
        numbered = source.report != "recipients" or source.resource != "report"
        texts = tuple((theirs, ours) for theirs, ours in _ACTIVITY_TEXTS if any(theirs in row for row in rows))
        earlier = EarlierReads(source) if source.published else None
        others = ReadsElsewhere(source) if source.elsewhere else None
        ordinals: dict[str, int] = {}
        last, at, instant, moment = "", self._undated, "", ""
        shown, counted = clock[_MINUTE:], ""
        translated: list[TranslatedRow] = []
        for row in rows:
            get = row.get
            address = get("EmailAddress") or ""
            key = event_key(address)
            date = get("Date") or get("SentDate") or sent
            list_id = get("ListID") or source.list_id or ""
            if date != last or not date:
                last, at = date, self._utc(date)
                moment = date if at is self._undated else at
                instant, begin = (date, "") if at is self._undated else self._id_instant(at)
                hour = self._dates.repeated(date)
                if hour is not None:
                    # Rows come in the order of time. Ids follow the text, so that no later evidence changes them.
                    if date[:16] < shown:
                        at = self._dates.second_pass(date, hour)
                    shown = hour.end if date[:16] < shown else date[:16]
                    moment = self._dates.utc_text(hour.begin)
                else:
                    shown = ""
                clock, counted = begin + shown, begin or moment[:_MINUTE]
            if status is not None:
                base = events.list_change(event, status, list_id, key, instant)
            else:
                base = events.report_row(event, owner, list_id, key, instant, get("URL") or "", get("IPAddress") or "")
            ordinal = 0
            if numbered:
                if counted != minute:
                    minute, held, ordinals = counted, frozenset(), {}
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
            repeat = others is not None and others.have(event_id[: events.SHORT_BYTES], moment, list_id)
            record = ImportedRecord("cm_activity", key.encode(), dumps(value)[:-1] + (self._repeat if repeat else tail))
            in_scope = (not chosen or list_id in chosen) and moment >= since
            if earlier is None and not clock:
                translated.append(TranslatedRow(event_id, moment, record, in_scope))
                continue
            was_read = was_published = False
            if earlier is not None:
                was_read, was_published = earlier.has(event_id[: events.SHORT_BYTES], moment, list_id)
            translated.append(TranslatedRow(event_id, moment, record, in_scope, was_read, was_published, clock))
        return translated


def _tail(source: Source, job_id: str) -> bytes:
    """Return what all rows of a source have in common, as the end of a JSON object."""
    tail: dict[str, object] = {"client_id": source.client_id, "client_name": source.client_name or None}
    tail |= {"job_id": job_id, "repeat": source.again or None}
    match source.resource:
        case "users":
            tail |= {"list_id": source.list_id, "list_name": source.list_name}
        case "report":
            tail |= {"source": "campaign", "campaign_id": source.campaign_id, "campaign_name": source.campaign_name}
        case "journey_report":
            tail |= {"source": "journey", "journey_id": source.journey_id, "journey_name": source.journey_name}
            tail |= {"journey_email_id": source.email_id, "journey_email_name": source.email_name}
    return b"," + dumps({name: value for name, value in tail.items() if value is not None})[1:]


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
