"""What we ask of Campaign Monitor, as its JSON: pure translation, no HTTP.

A `Request` is everything about one call except who makes it. Its `operation` names the call without ids or
addresses and is what logs, metrics and exception texts show.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, Literal
from urllib.parse import quote

import orjson

Method = Literal["GET", "POST", "PUT", "DELETE"]
Budget = Literal["read", "import", "segment"]
Consent = Literal["Yes", "No", "Unchanged"]
ListState = Literal["active", "unconfirmed", "unsubscribed", "bounced", "deleted"]
Direction = Literal["asc", "desc"]

STATES: tuple[ListState, ...] = ("active", "unconfirmed", "unsubscribed", "bounced", "deleted")

# Campaign Monitor's own limits: a longer import is refused as a whole (209), a larger page too (801).
IMPORT_LIMIT = 1_000
PAGE_LIMIT = 1_000


@dataclass(frozen=True, slots=True)
class Request:
    """One call. `path` holds placeholders (`/lists/{}/active`) for `ids`; `.json` is added when it is written.

    `private` texts, such as a webhook's address, are masked should an error answer quote them.
    """

    method: Method
    path: str
    ids: tuple[str, ...] = ()
    query: tuple[tuple[str, str], ...] = ()
    body: bytes | None = field(default=None, repr=False)
    budget: Budget = "read"
    list_id: str | None = None
    private: tuple[str, ...] = field(default=(), repr=False)

    @property
    def operation(self) -> str:
        """The call without ids: `GET /lists/{}/active`."""
        return f"{self.method} {self.path}"

    def url(self, base_url: str) -> str:
        """The address, every id and value percent-encoded: `+` would be read as a blank, brackets are not allowed."""
        path = self.path.format(*(quote(part, safe="") for part in self.ids))
        query = "&".join(f"{name}={quote(value, safe='')}" for name, value in self.query)
        return f"{base_url.rstrip('/')}{path}.json{'?' if query else ''}{query}"


@dataclass(frozen=True, slots=True)
class Paging:
    """Which page, and in which order. Order is always sent: the defaults differ from endpoint to endpoint.

    `order_field` is `email`, `name`, `date` or `list`, as the endpoint allows; None where it takes none (journeys).
    """

    page: int = 1
    page_size: int = PAGE_LIMIT
    order_field: str | None = "date"
    direction: Direction = "asc"

    def at(self, page: int) -> "Paging":
        """The same order, another page."""
        return replace(self, page=page)

    def ordered_by(self, order_field: str | None) -> "Paging":
        """The same page, by another field."""
        return replace(self, order_field=order_field)

    def without_field(self) -> "Paging":
        """For endpoints that order by date only and take a direction, but no field."""
        return self.ordered_by(None)

    def query(self) -> tuple[tuple[str, str], ...]:
        """The query parameters."""
        order = () if self.order_field is None else (("orderfield", self.order_field),)
        pages = (("page", str(self.page)), ("pagesize", str(self.page_size)))
        return (*pages, *order, ("orderdirection", self.direction))


BY_DATE = Paging()
BY_EMAIL = Paging(order_field="email")
NEWEST_FIRST = Paging(direction="desc")


@dataclass(frozen=True, slots=True)
class FieldWrite:
    """One custom field value. A select-many field repeats its key once per option and is replaced as a whole.

    `key` is the bracketed key as the list's fields show it. `clear` empties the field (or removes that one option).
    """

    key: str
    value: str = ""
    clear: bool = False

    def json(self) -> dict[str, Any]:
        """The entry of `CustomFields`."""
        entry: dict[str, Any] = {"Key": self.key, "Value": self.value}
        if self.clear:
            entry["Clear"] = True
        return entry


@dataclass(frozen=True, slots=True)
class SubscriberWrite:
    """A subscriber as we want it. What is None is not sent and stays as it is; `""` as mobile number clears it."""

    email: str
    name: str | None = None
    custom_fields: Sequence[FieldWrite] = ()
    consent_to_track: Consent = "Unchanged"
    mobile_number: str | None = None
    consent_to_send_sms: Consent | None = None

    def json(self) -> dict[str, Any]:
        """The body's part about the subscriber; `ConsentToTrack` is required and therefore always there."""
        body: dict[str, Any] = {"EmailAddress": self.email, "ConsentToTrack": self.consent_to_track}
        if self.name is not None:
            body["Name"] = self.name
        if self.mobile_number is not None:
            body["MobileNumber"] = self.mobile_number
        if self.consent_to_send_sms is not None:
            body["ConsentToSendSms"] = self.consent_to_send_sms
        if self.custom_fields:
            body["CustomFields"] = [entry.json() for entry in self.custom_fields]
        return body


@dataclass(frozen=True, slots=True)
class Autoresponders:
    """What a write may set off. All off by default: nobody is resubscribed and no automated mail is sent twice."""

    resubscribe: bool = False
    queue: bool = False
    restart: bool = False


NO_AUTORESPONDERS = Autoresponders()


def subscriber_body(subscriber: SubscriberWrite, effects: Autoresponders = NO_AUTORESPONDERS) -> bytes:
    """Return the body of add and update. `effects.queue` does not exist there: an add always queues."""
    return orjson.dumps(
        {
            **subscriber.json(),
            "Resubscribe": effects.resubscribe,
            "RestartSubscriptionBasedAutoresponders": effects.restart,
        }
    )


def address_key(address: str) -> str:
    """Return what two addresses share that may be one subscriber: the API compares without regard to case.

    Which case mapping it uses outside of ASCII is not established, so this is the widest (`ß` equals `ss`, a Kelvin
    sign k, U+0130 with and without its dot i): addresses that are equal here are not sent in one request, are no two
    people's on one list, and answers are matched by it.
    """
    return address.lower() if address.isascii() else address.casefold().replace("i\u0307", "i")


def import_body(subscribers: Sequence[SubscriberWrite], effects: Autoresponders = NO_AUTORESPONDERS) -> bytes:
    """Return the body of an import.

    Raises ValueError for none or more than 1,000 subscribers, and for an address that is there twice (without regard
    to case): which of the two would win is not known, so the caller must resolve it.
    """
    if not 0 < len(subscribers) <= IMPORT_LIMIT:
        raise ValueError(f"an import takes 1 to {IMPORT_LIMIT} subscribers, not {len(subscribers)}")
    if len({address_key(subscriber.email) for subscriber in subscribers}) != len(subscribers):
        raise ValueError("an import must not hold the same address twice")
    return orjson.dumps(
        {
            "Subscribers": [subscriber.json() for subscriber in subscribers],
            "Resubscribe": effects.resubscribe,
            "QueueSubscriptionBasedAutoresponders": effects.queue,
            "RestartSubscriptionBasedAutoresponders": effects.restart,
        }
    )


def segment_body(title: str, rule_groups: Sequence[Sequence[tuple[str, str]]]) -> bytes:
    """Return the body of a segment: groups of (rule type, clause); groups are joined by AND, rules in one by OR."""
    groups = [{"Rules": [{"RuleType": kind, "Clause": clause} for kind, clause in group]} for group in rule_groups]
    return orjson.dumps({"Title": title, "RuleGroups": groups})


def dump(body: dict[str, Any]) -> bytes:
    """Write any other body."""
    return orjson.dumps(body)


def since(name: str, moment: str | datetime | None) -> tuple[tuple[str, str], ...]:
    """Return a date filter for a query. Text is sent as it is; a time must be in the client's zone already.

    Raises ValueError for a time with an offset, which Campaign Monitor would not understand: see `dates.local_text`.
    """
    if moment is None:
        return ()
    if isinstance(moment, datetime):
        if moment.tzinfo is not None:
            raise ValueError("a date filter is in the client's zone: convert it with dates.local_text")
        moment = f"{moment:%Y-%m-%d %H:%M}"
    return ((name, moment),)


def flags(**named: bool) -> tuple[tuple[str, str], ...]:
    """Return the query parameters that are switched on."""
    return tuple((name, "true") for name, on in named.items() if on)


def joined(values: Iterable[str]) -> str:
    """Return values as one comma list."""
    return ",".join(values)
