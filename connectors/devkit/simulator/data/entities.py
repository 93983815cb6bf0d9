"""What an account holds: clients, lists, segments, webhooks. Campaigns and journeys have modules of their own."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from zoneinfo import ZoneInfo

from connectors.devkit.simulator.data.fields import FieldEntries, FieldValues, SimulatedField, fields_by_name
from connectors.devkit.simulator.data.subscriber_store import SubscriberStore, fold
from connectors.devkit.simulator.data.transitions import SimulatedState
from connectors.devkit.simulator.data.zones import zone_of

Json = dict[str, Any]

_REMEMBERED_PAIRS = 50_000
ALL_CLIENT_LISTS = "AllClientLists"
UNSUBSCRIBE_SETTINGS = (ALL_CLIENT_LISTS, "OnlyThisList")


@dataclass(slots=True)
class SimulatedAccount:
    """What an account-level key belongs to."""

    name: str
    api_key: str
    zone_label: str
    agency: bool = True
    credits: int = 1_000
    primary_contact: str = "owner@account.example"
    admins: list[Json] = field(default_factory=list)

    @property
    def zone(self) -> ZoneInfo:
        """The zone of `systemdate`."""
        return zone_of(self.zone_label)


@dataclass(slots=True)
class SuppressedAddress:
    """An entry of a client's suppression list; `reason` as the API writes it."""

    email: str
    reason: str
    at: int


@dataclass(slots=True)
class SimulatedClient:
    """A client of an account; its zone rules every date of its data."""

    client_id: str
    account: SimulatedAccount
    name: str
    api_key: str
    zone_label: str
    country: str
    zone: ZoneInfo = field(init=False)
    primary_contact: str = ""
    people: list[Json] = field(default_factory=list)
    templates: list[Json] = field(default_factory=list)
    billing: Json = field(default_factory=dict)
    lists: dict[str, "SubscriberList"] = field(default_factory=dict)
    suppressed: dict[str, SuppressedAddress] = field(default_factory=dict)
    deleted: bool = False

    def __post_init__(self) -> None:
        self.zone = zone_of(self.zone_label)

    def suppress(self, email: str, reason: str, at: int) -> None:
        """Put an address on the suppression list; an earlier reason stays."""
        self.suppressed.setdefault(fold(email), SuppressedAddress(email, reason, at))


@dataclass(slots=True)
class SimulatedWebhook:
    """A registered receiver; `failing_since` is when its errors began, None while it works."""

    webhook_id: str
    events: tuple[str, ...]
    url: str
    payload_format: str
    active: bool = True
    failing_since: float | None = None


@dataclass(slots=True)
class SubscriberList:
    """A list with its subscribers, fields and webhooks."""

    list_id: str
    client: SimulatedClient
    title: str
    unsubscribe_page: str = ""
    confirmed_opt_in: bool = False
    confirmation_success_page: str = ""
    unsubscribe_setting: str = ALL_CLIENT_LISTS
    subscribers: SubscriberStore = field(default_factory=SubscriberStore)
    fields: dict[int, SimulatedField] = field(default_factory=dict)
    webhooks: dict[str, SimulatedWebhook] = field(default_factory=dict)
    next_field: int = 1
    # What a write of these entries makes of those values: the same for most members of an audience. Bounded.
    written: dict[tuple[FieldValues, FieldEntries], FieldValues] = field(default_factory=dict)
    _lookup: Mapping[str, SimulatedField] | None = None
    _shown: dict[str, dict[tuple[int, str], Json]] = field(default_factory=dict)

    @property
    def honours_suppression(self) -> bool:
        """Whether the client's suppression list keeps people off this list."""
        return self.unsubscribe_setting == ALL_CLIENT_LISTS

    @property
    def field_lookup(self) -> Mapping[str, SimulatedField]:
        """The fields by everything that names them in a request."""
        if self._lookup is None:
            self._lookup = fields_by_name(self.fields.values())
        return self._lookup

    def fields_changed(self) -> None:
        """Clear what was derived from the fields."""
        self._lookup = None
        self.written.clear()
        self._shown.clear()
        self.subscribers.version += 1

    def add_field(self, name: str, data_type: str, options: list[str], visible: bool = True) -> SimulatedField:
        """Add a custom field without checks."""
        made = SimulatedField(self.next_field, name, data_type, list(options), visible)
        self.fields[made.number] = made
        self.next_field += 1
        self.fields_changed()
        return made

    def set_options(self, custom_field: SimulatedField, options: list[str]) -> None:
        """Replace the options of a select field; everybody's values that are no options any more are gone."""
        custom_field.options = options
        kept = set(options)
        for row in range(len(self.subscribers)):
            values = self.subscribers.values(row)
            if any(number == custom_field.number and text not in kept for number, text in values):
                left = (pair for pair in values if pair[0] != custom_field.number or pair[1] in kept)
                self.subscribers.set_values(row, tuple(left))
        self.fields_changed()

    def custom_fields(self, values: FieldValues, *, keys: str) -> list[Json]:
        """Return `CustomFields` of a read. `keys`: "name", "key" (with brackets) or "bare" (without).

        The elements are shared between answers: they must not be changed.
        """
        shown = self._shown.setdefault(keys, {})
        rows = []
        for pair in values:
            entry = shown.get(pair)
            if entry is None:
                entry = self._entry(pair, keys)
                if len(shown) < _REMEMBERED_PAIRS:
                    shown[pair] = entry
            if entry:
                rows.append(entry)
        return rows

    def _entry(self, pair: tuple[int, str], keys: str) -> Json:
        """Return one element of `CustomFields`, {} when its field does not exist any more."""
        known = self.fields.get(pair[0])
        if known is None:
            return {}
        return {
            "Key": known.name if keys == "name" else known.key if keys == "key" else known.key[1:-1],
            "Value": pair[1],
        }

    def find(self, email: str, *states: SimulatedState) -> int | None:
        """Return the row of an address, in any of the states when some are given."""
        row = self.subscribers.find(fold(email))
        return row if row is None or not states or self.subscribers.states[row] in states else None


@dataclass(slots=True)
class SimulatedSegment:
    """A segment of a list; `rules_at` is when its rules were last changed."""

    segment_id: str
    parent: SubscriberList
    title: str
    groups: list[list[Json]]
    rules_at: float
    cached_for: tuple[int, int] | None = None
    members: list[int] = field(default_factory=list)
    revision: int = 0
