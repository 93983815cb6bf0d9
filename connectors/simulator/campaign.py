"""A campaign in one of its three conditions: draft, scheduled, sent."""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from connectors.simulator.activity import ReportRow
from connectors.simulator.recipients import Recipients
from connectors.simulator.report import Report
from connectors.simulator.roster import fold

if TYPE_CHECKING:
    from connectors.simulator.entities import Client
    from connectors.simulator.state import SimulatorState


@dataclass(slots=True)
class Campaign:
    """Times are seconds since 1970. `sent_at` None and `scheduled_at` None: a draft."""

    campaign_id: str
    client: Client
    name: str
    subject: str
    created_at: int
    from_name: str = "Acme News"
    from_email: str = "news@acme.example"
    reply_to: str = "reply@acme.example"
    list_ids: list[str] = field(default_factory=list)
    list_titles: dict[str, str] = field(default_factory=dict)
    segment_ids: list[str] = field(default_factory=list)
    tags: list[str] = field(default_factory=list)
    links: list[str] = field(default_factory=list)
    scheduled_at: int | None = None
    sent_at: int | None = None
    recipients: Recipients = field(default_factory=lambda: Recipients([]))
    reports: dict[str, Report] = field(default_factory=dict)
    _orders: dict[str, Sequence[int]] | None = None
    social: dict[str, int] = field(default_factory=lambda: {"Forwards": 0, "Likes": 0, "Mentions": 0})

    @property
    def sent(self) -> bool:
        """Whether it went out."""
        return self.sent_at is not None

    def uses_list(self, list_id: str) -> bool:
        """Tell whether it goes to a list."""
        return list_id in self.list_ids

    def recipient_order(self, field: str) -> Sequence[int]:
        """Return the recipients' numbers by `email` or `list`: sorted at the first use, then kept."""
        if self._orders is None:
            self._orders = {}
        if field not in self._orders:
            numbers = range(len(self.recipients))
            self._orders[field] = (
                array("I", sorted(numbers, key=self._list_key if field == "list" else self._email_key))
                if len(self.list_ids) > 1 or field == "email"
                else numbers
            )
        return self._orders[field]

    def _email_key(self, number: int) -> str:
        return fold(self.recipients.email(number))

    def _list_key(self, number: int) -> tuple[str, int]:
        return self.recipients[number][0].list_id, number

    def report(self, kind: str) -> Report:
        """Return a report, empty when nothing happened."""
        return self.reports.setdefault(kind, Report())

    def actions(self, state: SimulatorState, email: str, kind: str) -> list[ReportRow]:
        """Return what one person did, oldest first."""
        return self.report(kind).of(email, state.clock.now())
