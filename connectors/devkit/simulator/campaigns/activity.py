"""Report rows that are computed from a seed, and the recipients they are about: five million opens cost no memory.

Row `i` of a computed report has a date that grows with `i`, so any page and any `date` filter is found by calculation.
Who acted follows from a permutation of the recipients that can be inverted, so one person's rows are found as well.
"""

from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from itertools import accumulate
from math import gcd, isqrt
from typing import NamedTuple

from connectors.devkit.simulator.data.entities import SubscriberList
from connectors.devkit.simulator.data.population import mix
from connectors.devkit.simulator.data.subscriber_store import fold

_MINUTE = 60
# One row in fifty repeats the row before it: the same person, link and minute, as Campaign Monitor's reports have it.
_REPEATED = 50
_HARD_REASONS = ("Hard Bounce ", "Mailbox does not exist", "Domain not found ")
_SOFT_REASONS = ("Soft Bounce - Mailbox Full ", "Soft Bounce - Server busy", "")


class Location(NamedTuple):
    """Where an IP address is."""

    latitude: float
    longitude: float
    city: str
    region: str
    country_code: str
    country: str


LOCATIONS = (
    Location(51.05, 3.7167, "Ghent", "East Flanders", "BE", "Belgium"),
    Location(-33.8678, 151.2073, "Sydney", "New South Wales", "AU", "Australia"),
    Location(40.7143, -74.006, "New York", "New York", "US", "United States"),
    Location(-36.8485, 174.7633, "Auckland", "Auckland", "NZ", "New Zealand"),
    Location(48.8534, 2.3488, "Paris", "Île-de-France", "FR", "France"),
    Location(-23.5475, -46.6361, "São Paulo", "São Paulo", "BR", "Brazil"),
    Location(35.0211, 135.7538, "Kyoto", "Kyoto", "JP", "Japan"),
    Location(55.6059, 13.0007, "Malmö", "Skåne", "SE", "Sweden"),
)


class ReportRow(NamedTuple):
    """One row of any report; what a report does not show stays at its default. `place` None: nobody knows."""

    email: str
    list_id: str
    at: int
    url: str = ""
    ip: str = ""
    place: Location | None = None
    bounce_type: str = ""
    reason: str = ""


RowNumbers = Sequence[int]


class Recipients:
    """Rows of lists, numbered through; a range of seeded rows costs nothing, others four bytes each."""

    def __init__(self, parts: Sequence[tuple[SubscriberList, RowNumbers]]) -> None:
        self._parts = tuple(parts)
        self._starts = list(accumulate((len(rows) for _, rows in self._parts), initial=0))

    def __len__(self) -> int:
        return self._starts[-1]

    def __getitem__(self, number: int) -> tuple[SubscriberList, int]:
        """Return list and row of a recipient."""
        part = bisect_right(self._starts, number) - 1
        target, rows = self._parts[part]
        return target, rows[number - self._starts[part]]

    def email(self, number: int) -> str:
        """Return the address that the recipient has now."""
        target, row = self[number]
        return target.subscribers.email(row)

    def find(self, email: str) -> int | None:
        """Return the number of a recipient, None when nothing was sent there."""
        folded = fold(email)
        for start, (target, rows) in zip(self._starts, self._parts, strict=False):
            row = target.subscribers.find(folded)
            if row is None:
                continue
            place = row - rows.start if isinstance(rows, range) else bisect_left(rows, row)
            if 0 <= place < len(rows) and rows[place] == row:
                return start + place
        return None


def first_subscribers(lists: Sequence[SubscriberList], limit: int | None = None) -> Recipients:
    """Return the first `limit` subscribers of lists, in whatever state: the recipients of an old campaign."""
    parts: list[tuple[SubscriberList, RowNumbers]] = []
    left = sum(len(target.subscribers) for target in lists) if limit is None else limit
    for target in lists:
        rows = range(min(left, len(target.subscribers)))
        left -= len(rows)
        parts.append((target, rows))
    return Recipients(parts)


def unique_recipients(parts: Sequence[tuple[SubscriberList, Sequence[int]]]) -> Recipients:
    """Return the given rows; an address on several lists counts once."""
    if len(parts) == 1:
        target, rows = parts[0]
        return Recipients([(target, array("I", sorted(rows)))])
    seen: set[str] = set()
    unique: list[tuple[SubscriberList, RowNumbers]] = []
    for target, rows in parts:
        kept = array("I")
        for row in sorted(rows):
            folded = fold(target.subscribers.email(row))
            if folded not in seen:
                seen.add(folded)
                kept.append(row)
        unique.append((target, kept))
    return Recipients(unique)


class SeededActivity:
    """`count` rows of one kind by `people` of the recipients, from `start` on, most of them early in `span` seconds."""

    def __init__(
        self,
        seed: int,
        kind: str,
        recipients: Recipients,
        count: int,
        people: int,
        start: int,
        span: int,
        links: Sequence[str] = (),
    ) -> None:
        first_subscribers = len(recipients)
        self.count = count if first_subscribers else 0
        self.people = max(1, min(people, first_subscribers, count)) if self.count else 0
        self._seed = mix(seed)
        self._kind_seed = mix(seed ^ int.from_bytes(kind.encode()[:7], "big"))
        self._kind = kind
        self._recipients = recipients
        self._start = start - start % _MINUTE
        self._span = max(_MINUTE, span)
        self._links = tuple(links)
        self._stride = _coprime(first_subscribers)
        self._inverse = pow(self._stride, -1, first_subscribers) if first_subscribers > 1 else 0

    def at(self, row: int) -> int:
        """Return when a row happened (seconds since 1970, whole minutes); it never falls."""
        row -= self._repeats(row)
        # The cube makes the early hours dense and the last weeks thin, as opens are.
        return self._start + _MINUTE + self._span * row**3 // self.count**3 // _MINUTE * _MINUTE

    def before(self, at: int) -> int:
        """Return how many rows happened before an instant."""
        return bisect_left(range(self.count), at, key=self.at)

    def until(self, at: int) -> int:
        """Return how many rows happened up to an instant: later ones do not show yet."""
        return bisect_right(range(self.count), at, key=self.at)

    def row(self, number: int) -> ReportRow:
        """Return a row."""
        number -= self._repeats(number)
        target, place_on_list = self._recipients[self._person(number % self.people)]
        email, list_id, at = target.subscribers.email(place_on_list), target.list_id, self.at(number)
        if self._kind == "spam":
            return ReportRow(email, list_id, at)
        bits = mix(self._kind_seed + number)
        if self._kind == "bounces":
            hard = bits % 3 == 0
            reasons = _HARD_REASONS if hard else _SOFT_REASONS
            return ReportRow(
                email,
                list_id,
                at,
                bounce_type="Hard" if hard else "Soft",
                reason=reasons[(bits >> 8) % 3],
            )
        # A person mostly acts from one place: address and place follow from the person, not from the row.
        home = mix(self._seed ^ place_on_list)
        ip = f"{('203.0.113', '198.51.100', '192.0.2')[home % 3]}.{1 + (home >> 8) % 254}"
        place = None if home % 20 == 0 else LOCATIONS[(home >> 16) % len(LOCATIONS)]
        url = self._links[(bits >> 8) % len(self._links)] if self._kind == "clicks" and self._links else ""
        return ReportRow(email, list_id, at, url, ip, place)

    def of(self, email: str) -> list[int]:
        """Return the numbers of one person's rows."""
        found = self._recipients.find(email) if self.count else None
        if found is None:
            return []
        person = self._number(found)
        if person >= self.people:
            return []
        rows = []
        for row in range(person, self.count, self.people):
            if not self._repeats(row):
                rows.append(row)
            if row + 1 < self.count and self._repeats(row + 1):
                rows.append(row + 1)
        return rows

    def unique(self, visible: int) -> int:
        """Return how many people have a row among the first `visible`."""
        return min(visible, self.people)

    def _repeats(self, row: int) -> int:
        """Return 1 when the row repeats the one before it; never in the first round, so that everybody acts once."""
        if row <= self.people or mix(self._kind_seed ^ row) % _REPEATED:
            return 0
        return 0 if mix(self._kind_seed ^ (row - 1)) % _REPEATED == 0 and row - 1 > self.people else 1

    def _person(self, number: int) -> int:
        """Return the recipient that is number `number` in the order of acting; bounces take the other end."""
        first_subscribers = len(self._recipients)
        if self._kind == "bounces":
            number = first_subscribers - 1 - number
        return (number * self._stride + self._seed) % first_subscribers

    def _number(self, recipient: int) -> int:
        first_subscribers = len(self._recipients)
        number = (recipient - self._seed) * self._inverse % first_subscribers if first_subscribers > 1 else 0
        return first_subscribers - 1 - number if self._kind == "bounces" else number


def _coprime(count: int) -> int:
    """Return a stride that visits each of `count` places once; about the golden section, so neighbours lie apart."""
    stride = max(1, count * 618 // 1_000, isqrt(count))
    while gcd(stride, count) != 1:
        stride += 1
    return stride
