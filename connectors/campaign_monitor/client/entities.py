"""What Campaign Monitor holds, as values. `responses.py` reads them from its JSON.

Dates are text as Campaign Monitor writes it, in the client's zone (`dates.py`). Rows of pages stay the dicts that
orjson made: a page has 1,000 of them, and only its reader knows which keys it needs.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

JsonObject = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Page:
    """One page of rows, with the eight keys of Campaign Monitor's paging."""

    rows: list[JsonObject]
    ordered_by: str
    direction: str
    number: int
    size: int
    records: int
    total: int
    pages: int

    @property
    def last(self) -> bool:
        """Whether there is nothing to read after it. An empty page is always the last."""
        return not self.rows or self.number >= self.pages


@dataclass(frozen=True, slots=True)
class ClientRef:
    """A client of the account."""

    client_id: str
    name: str


@dataclass(frozen=True, slots=True)
class ClientDetails:
    """A client. `time_zone` is the display label (see `dates.zone_of`); `raw` lacks the client's API key."""

    client_id: str
    company_name: str
    time_zone: str
    country: str
    raw: JsonObject = field(repr=False)


@dataclass(frozen=True, slots=True)
class ListRef:
    """A list of a client."""

    list_id: str
    name: str


@dataclass(frozen=True, slots=True)
class ListDetails:
    """A list's settings."""

    list_id: str
    title: str
    unsubscribe_setting: str
    confirmed_opt_in: bool
    raw: JsonObject = field(repr=False)

    @property
    def honours_suppression(self) -> bool:
        """Whether the client's suppression list counts here; `OnlyThisList` ignores it."""
        return self.unsubscribe_setting.casefold() != "onlythislist"


@dataclass(frozen=True, slots=True)
class CustomField:
    """A custom field of a list. `key` is bracketed (`[ShoeSize]`), and changes when the field is renamed."""

    name: str
    key: str
    data_type: str
    options: tuple[str, ...] = ()
    visible: bool = True


@dataclass(frozen=True, slots=True)
class Subscriber:
    """One subscriber of a list. Dates are local text in the client's zone; `state` is Campaign Monitor's text."""

    email: str
    name: str
    state: str
    date: str
    list_joined_date: str | None
    custom_fields: tuple[tuple[str, str], ...]
    consent_to_track: str | None
    consent_to_send_sms: str | None
    mobile_number: str | None
    raw: JsonObject = field(repr=False)


@dataclass(frozen=True, slots=True)
class ImportFailure:
    """One refused row of an import; `verdicts.refusal(code)` is what it means."""

    email: str
    code: int
    message: str


@dataclass(frozen=True, slots=True)
class ImportResult:
    """What an import did: rows that are not among the failures are stored."""

    failures: tuple[ImportFailure, ...]
    total_unique: int
    existing: int
    new: int
    duplicates: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class SegmentRef:
    """A segment of a list."""

    list_id: str
    segment_id: str
    title: str


@dataclass(frozen=True, slots=True)
class SegmentDetails:
    """A segment with its rules: groups (AND) of (rule type, clause) pairs (OR)."""

    list_id: str
    segment_id: str
    title: str
    active_subscribers: int
    rule_groups: tuple[tuple[tuple[str, str], ...], ...]


@dataclass(frozen=True, slots=True)
class CampaignAudience:
    """The lists and segments that a campaign was sent to."""

    lists: tuple[ListRef, ...]
    segments: tuple[SegmentRef, ...]


@dataclass(frozen=True, slots=True)
class JourneyRef:
    """A journey of a client."""

    list_id: str
    journey_id: str
    name: str
    status: str


@dataclass(frozen=True, slots=True)
class JourneyEmail:
    """An e-mail of a journey; `counts` holds Bounced, Clicked, Opened, Sent, UniqueOpened, Unsubscribed."""

    email_id: str
    name: str
    counts: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Journey:
    """A journey with its e-mails. It does not name its list: that is in the client's journeys."""

    journey_id: str
    name: str
    trigger_type: str
    status: str
    emails: tuple[JourneyEmail, ...]


@dataclass(frozen=True, slots=True)
class Webhook:
    """A webhook of a list. The address holds our secret and is never shown; `format` is lower case."""

    webhook_id: str
    events: tuple[str, ...]
    url: str = field(repr=False)
    status: str
    format: str

    @property
    def active(self) -> bool:
        """Whether events are sent; what inactive hooks are called is not documented."""
        return self.status.casefold() == "active"
