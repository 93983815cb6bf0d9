"""Rows of listings to records: subscribers, and the activity that they imply (pure)."""

from collections.abc import Callable, Sequence
from collections.abc import Set as AbstractSet
from hashlib import blake2b

from orjson import dumps

from connectors.campaign_monitor import events
from connectors.campaign_monitor.client.entities import JsonObject
from connectors.campaign_monitor.dates import ClientDates
from connectors.campaign_monitor.events import custom_fields, event_key
from connectors.importer.translated import ImportedRecord, ReadsElsewhere, TranslatedRow
from schemas.import_task import Source

try:
    from connectors.importer import native_rows as native_rows  # also for `translate`
except ImportError:  # there was no C compiler
    native_rows = None  # type: ignore[assignment]

CHANGES: dict[str, tuple[str, str | None]] = {
    "active": ("subscribe", None),
    "unsubscribed": ("deactivate", "unsubscribe"),
    "bounced": ("deactivate", "bounce"),
    "deleted": ("deactivate", "delete"),
}
"""Listing -> the webhook event that brought a person there; unconfirmed people cause none."""


class SubscriberRows:
    """Translates the rows of one listing.

    `utc`: returns the instant of a date, or the very text `undated` for one that cannot be read; `tail`: what all
    records have in common, as the end of a JSON object; `repeat`: the same for what another job has published.
    """

    def __init__(
        self, source: Source, dates: ClientDates, utc: Callable[[str], str], undated: str, tail: bytes, repeat: bytes
    ) -> None:
        self._source = source
        self._dates = dates
        self._utc = utc
        self._undated = undated
        self._tail = tail
        self._repeat = repeat
        self._others = ReadsElsewhere(source) if source.elsewhere else None

    @property
    def _owner(self) -> bytes:
        source = self._source
        return events.subscriber_state(source.list_id or source.client_id, source.state or "suppressed")

    def usual(self, rows: list[JsonObject]) -> list[TranslatedRow] | None:
        """Return the same as `users`, in C; None for a page with anything unusual, or where it is not compiled."""
        if native_rows is None or self._others is not None:
            return None
        state = (self._source.state or "suppressed").capitalize()
        return native_rows.users(rows, self._owner, state, self._dates.days, self._dates.utc_text_or_none, self._tail)

    def users(self, rows: Sequence[JsonObject]) -> list[TranslatedRow]:
        """Return the subscribers, or entries of the suppression list."""
        utc, owner = self._utc, self._owner
        state = (self._source.state or "suppressed").capitalize()
        translated: list[TranslatedRow] = []
        for row in rows:
            address, date, joined = row.get("EmailAddress") or "", row.get("Date") or "", row.get("ListJoinedDate")
            at = utc(date)
            joined_at = utc(joined) if joined else None
            event_id = self._state_id(owner, row, at, joined_at)
            value = {
                "schema_version": 1,
                "event_id": event_id.hex(),
                "at": at,
                "email": address,
                "status": row.get("State") or state,
                "custom_fields": custom_fields(row),
            }
            if date:
                value["raw_date"] = date
            if joined_at:
                value["joined_at"] = joined_at
            for theirs, ours in _USER_TEXTS:
                text = row.get(theirs)
                if text is not None:
                    value[ours] = text
            moment = date if at is self._undated else at
            tail = self._tail_of(event_id, moment)
            record = ImportedRecord("cm_user", event_key(address).encode(), dumps(value)[:-1] + tail)
            translated.append(TranslatedRow(event_id, moment, record))
        return translated

    def removed(self, addresses: Sequence[str], at: str) -> list[ImportedRecord]:
        """Return the records of who is not on the suppression list any more; `at`: when they were seen there last."""
        owner = events.subscriber_state(self._source.client_id, "unsuppressed")
        records: list[ImportedRecord] = []
        for address in addresses:
            event_id = blake2b(owner + f"{address} {at}".encode(), digest_size=16).hexdigest()
            value = {"schema_version": 1, "event_id": event_id, "at": at, "email": address, "status": "Unsuppressed"}
            content = dumps(value | {"custom_fields": []})[:-1] + self._tail
            records.append(ImportedRecord("cm_user", address.encode(), content))
        return records

    def _state_id(self, owner: bytes, row: JsonObject, at: str, joined_at: str | None) -> bytes:
        """Return the id of a subscriber's state: what its row holds, and the instants of its dates.

        As they are written, all dates change when the client chooses another time zone.
        """
        instants = {"Date": at} if at is not self._undated else {}
        if joined_at is not None and joined_at is not self._undated:
            instants["ListJoinedDate"] = joined_at
        return blake2b(owner + dumps(row | instants), digest_size=16).digest()

    def changes(self, rows: Sequence[JsonObject], reported: AbstractSet[bytes]) -> list[TranslatedRow]:
        """Return the activity that a listing's rows imply, which no webhook and no report has.

        The subscribers themselves come with the next run. A row's record has the id that the webhook's event would
        have had, and so has the row, so published twice it counts once. `reported`: short ids of activity that is there
        already.
        """
        event, status = CHANGES.get(self._source.state or "", ("", None))
        translated: list[TranslatedRow] = []
        for row in rows:
            date = row.get("Date") or ""
            at = self._utc(date)
            moment = date if at is self._undated else at
            event_id = self._change_id(row, event, status, date if at is self._undated else self._dates.id_instant(at))
            known = event_id[: events.SHORT_BYTES] in reported
            wanted = event and not known and self._is_missed(moment)
            record = self._change(row, at, moment, event, status, event_id) if wanted else None
            translated.append(TranslatedRow(event_id, moment, record, was_published=known))
        return translated

    def _tail_of(self, row_id: bytes, date: str) -> bytes:
        source, others = self._source, self._others
        repeats = date < (source.repeats_before or "")
        if others is not None and others.have(row_id[: events.SHORT_BYTES], date):
            repeats = True
        return self._repeat if repeats else self._tail

    def _is_missed(self, moment: str) -> bool:
        source = self._source
        return source.unreported_before is None or (source.since or "") <= moment < source.unreported_before

    def _change_id(self, row: JsonObject, event: str, status: str | None, instant: str) -> bytes:
        key = event_key(row.get("EmailAddress") or "")
        return events.digest(events.list_change(event, status or "", self._source.list_id or "", key, instant))

    def _change(
        self, row: JsonObject, at: str, moment: str, event: str, status: str | None, event_id: bytes
    ) -> ImportedRecord:
        address = row.get("EmailAddress") or ""
        value = {
            "schema_version": 1,
            "event_id": event_id.hex(),
            "at": at,
            "event": event,
            "email": address,
            "source": "webhook",
            "raw_date": row.get("Date") or "",
            "custom_fields": custom_fields(row),
        }
        if status:
            value["status"] = status
        if row.get("Name"):
            value["name"] = row["Name"]
        tail = self._tail_of(event_id, moment)
        return ImportedRecord("cm_activity", event_key(address).encode(), dumps(value)[:-1] + tail)


_USER_TEXTS = (
    ("Name", "name"),
    ("ConsentToTrack", "consent_to_track"),
    ("ConsentToSendSms", "consent_to_send_sms"),
    ("MobileNumber", "mobile_number"),
    ("ReadsEmailWith", "reads_email_with"),
    ("SuppressionReason", "suppression_reason"),
)
