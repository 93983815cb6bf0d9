"""Campaigns (draft, scheduled, sent), journeys with their e-mails, and the report of each."""

from __future__ import annotations

from array import array
from bisect import bisect_left, bisect_right, insort
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from connectors.devkit.simulator.campaigns.activity import Recipients, ReportRow, SeededActivity
from connectors.devkit.simulator.data.entities import SimulatedClient, SubscriberList
from connectors.devkit.simulator.data.subscriber_store import fold
from connectors.devkit.simulator.protocol.paging import PageRequest


class ActivityReport:
    """Rows are numbered in the order of their dates, the computed ones first within a minute."""

    def __init__(self, seeded: SeededActivity | None = None) -> None:
        self._seeded = seeded
        self._acts: list[ReportRow] = []
        self._orders: dict[tuple[str, int, int, int], array[int]] = {}

    def add(self, row: ReportRow) -> None:
        """Add an act, on its whole minute."""
        insort(self._acts, row._replace(at=row.at - row.at % 60), key=_at)
        self._orders.clear()

    def total(self, now: int, since: int = 0) -> int:
        """Return how many rows show at `now`, from `since` on."""
        return self._until(now) - self._before(since) if since else self._until(now)

    @property
    def acts(self) -> int:
        """How many rows are no computed ones: each may have moved others."""
        return len(self._acts)

    def page(self, request: PageRequest, now: int, since: int = 0) -> tuple[list[ReportRow], int]:
        """Return the rows of a page and the total."""
        numbers, total = self.page_numbers(request, now, since)
        return [*map(self.row_reader(), numbers)], total

    def page_numbers(self, request: PageRequest, now: int, since: int = 0) -> tuple[list[int], int]:
        """Return the numbers of a page's rows and the total."""
        first, last = self._before(since) if since else 0, self._until(now)
        total = max(0, last - first)
        start, stop = request.window(total)
        if request.field == "date":
            numbers = [*range(first + start, first + stop)]
        else:
            numbers = [*self._order(request.field, first, last)[start:stop]]
        if request.descending:
            numbers.reverse()
        return numbers, total

    def row_reader(self) -> Callable[[int], ReportRow]:
        """Return what returns the row of a number, until an act is added."""
        places = self._places()
        return lambda number: self._row(number, places)

    def rows(self, now: int) -> Iterator[ReportRow]:
        """Yield every row that shows at `now`, in the order of dates."""
        places = self._places()
        return (self._row(number, places) for number in range(self._until(now)))

    def of(self, email: str, now: int) -> list[ReportRow]:
        """Return one person's rows, oldest first."""
        rows = [] if self._seeded is None else [self._seeded.row(number) for number in self._seeded.of(email)]
        folded = fold(email)
        rows += [row for row in self._acts if fold(row.email) == folded]
        return sorted((row for row in rows if row.at <= now), key=_at)

    def unique(self, now: int) -> int:
        """Return how many people have a row."""
        seeded = self._seeded
        people = 0 if seeded is None else seeded.unique(seeded.until(now))
        others = {fold(row.email) for row in self._acts if row.at <= now}
        if seeded is not None:
            others = {email for email in others if not any(seeded.at(row) <= now for row in seeded.of(email))}
        return people + len(others)

    def _until(self, now: int) -> int:
        seeded = 0 if self._seeded is None else self._seeded.until(now)
        return seeded + bisect_right(self._acts, now, key=_at)

    def _before(self, at: int) -> int:
        seeded = 0 if self._seeded is None else self._seeded.before(at)
        return seeded + bisect_left(self._acts, at, key=_at)

    def _places(self) -> list[int]:
        """Return the number of each act among all rows."""
        if self._seeded is None:
            return [*range(len(self._acts))]
        return [self._seeded.until(row.at) + number for number, row in enumerate(self._acts)]

    def _row(self, number: int, places: list[int]) -> ReportRow:
        earlier = bisect_left(places, number)
        if earlier < len(places) and places[earlier] == number:
            return self._acts[earlier]
        if self._seeded is None:
            raise IndexError(number)
        return self._seeded.row(number - earlier)

    def _order(self, field: str, first: int, last: int) -> array[int]:
        """Return the numbers of rows by `email` or `list`: sorted once, then kept until an act is added."""
        key = (field, first, last, len(self._acts))
        if key not in self._orders:
            places = self._places()
            sort_key = _sort_key(field)
            self._orders[key] = array("I", sorted(range(first, last), key=lambda n: sort_key(self._row(n, places))))
        return self._orders[key]


def _at(row: ReportRow) -> int:
    return row.at


def _sort_key(field: str) -> Callable[[ReportRow], Any]:
    if field == "list":
        return lambda row: (row.list_id, row.at)
    return lambda row: (fold(row.email), row.at)


@dataclass(slots=True)
class SimulatedJourneyEmail:
    """One mail of a journey."""

    email_id: str
    journey: SimulatedJourney
    name: str
    links: list[str] = field(default_factory=list)
    reports: dict[str, ActivityReport] = field(default_factory=dict)

    def report(self, kind: str) -> ActivityReport:
        """Return a report, empty when nothing happened."""
        return self.reports.setdefault(kind, ActivityReport())


@dataclass(slots=True)
class SimulatedJourney:
    """`status` is Not started, Active or Paused; `trigger` a text for people."""

    journey_id: str
    target: SubscriberList
    name: str
    trigger: str = "On Subscription"
    status: str = "Active"
    emails: list[SimulatedJourneyEmail] = field(default_factory=list)


@dataclass(slots=True)
class SimulatedCampaign:
    """Times are seconds since 1970. `sent_at` None and `scheduled_at` None: a draft."""

    campaign_id: str
    client: SimulatedClient
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
    reports: dict[str, ActivityReport] = field(default_factory=dict)
    _orders: dict[str, Sequence[int]] | None = None
    social: dict[str, int] = field(default_factory=lambda: {"Forwards": 0, "Likes": 0, "Mentions": 0})

    @property
    def sent(self) -> bool:
        """Whether it went out."""
        return self.sent_at is not None

    def uses_list(self, list_id: str) -> bool:
        """Return True when it goes to a list."""
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

    def report(self, kind: str) -> ActivityReport:
        """Return a report, empty when nothing happened."""
        return self.reports.setdefault(kind, ActivityReport())

    def actions(self, email: str, kind: str, now: int) -> list[ReportRow]:
        """Return what one person had done by `now`, oldest first."""
        return self.report(kind).of(email, now)
