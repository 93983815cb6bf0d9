"""The subscribers of one list, in columns, and the orders in which they are paged.

A seeded row costs about 45 bytes, because who it is follows from its number; a row that came by the API costs what its
texts need, about 300 bytes. Orders for paging are built at their first use and kept (4 bytes a row each).
"""

from array import array
from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import accumulate
from typing import Any

from connectors.devkit.simulator.data.fields import FieldValues
from connectors.devkit.simulator.data.population import Population
from connectors.devkit.simulator.data.transitions import SimulatedState

_STATES = tuple(SimulatedState)
REMOVED = len(_STATES)
"""What `states` holds for rows that were removed."""

# More distinct value tuples than this are not worth sharing: most are met once.
_SHARED_VALUES = 100_000


def fold(email: str) -> str:
    """Return an address as it is compared: without surrounding blanks, in lower case. Shares the text where it can."""
    folded = email.strip().lower()
    return email if folded == email else folded


# Inserting moves half a chunk on average and finding one compares log2 of it: 1,000 keeps both at a microsecond.
_CHUNK = 1_000


class OrderedRows:
    """A sorted sequence of row numbers: any page is read without sorting, a change costs microseconds.

    Four bytes a row. `key` must give every row another value, and a row must be removed before its key changes.
    """

    def __init__(self, key: Callable[[int], Any], rows: Iterable[int]) -> None:
        ordered = array("I", sorted(rows, key=key))
        self._key = key
        self._chunks = [ordered[start : start + _CHUNK] for start in range(0, len(ordered), _CHUNK)]
        self._last = [key(chunk[-1]) for chunk in self._chunks]
        self._length = len(ordered)
        self._starts: list[int] | None = None

    def __len__(self) -> int:
        return self._length

    def add(self, row: int) -> None:
        """Insert a row at the position of its key."""
        key = self._key(row)
        self._starts = None
        self._length += 1
        if not self._chunks:
            self._chunks.append(array("I", (row,)))
            self._last.append(key)
            return
        number = min(bisect_left(self._last, key), len(self._chunks) - 1)
        chunk = self._chunks[number]
        chunk.insert(bisect_left(chunk, key, key=self._key), row)
        self._last[number] = max(self._last[number], key)
        if len(chunk) > 2 * _CHUNK:
            self._chunks[number : number + 1] = [chunk[:_CHUNK], chunk[_CHUNK:]]
            self._last.insert(number, self._key(chunk[_CHUNK - 1]))

    def remove(self, row: int) -> None:
        """Remove a row. Raises ValueError when it is not there."""
        key = self._key(row)
        number = bisect_left(self._last, key)
        chunk = self._chunks[number] if number < len(self._chunks) else array("I")
        place = bisect_left(chunk, key, key=self._key)
        if place == len(chunk) or chunk[place] != row:
            raise ValueError(f"row {row} is not in this order")
        del chunk[place]
        self._starts = None
        self._length -= 1
        if not chunk:
            del self._chunks[number], self._last[number]
        elif place == len(chunk):
            self._last[number] = self._key(chunk[-1])

    def position(self, key: Any) -> int:
        """Return how many rows come before `key`."""
        number = bisect_left(self._last, key)
        if number == len(self._chunks):
            return self._length
        return self._offsets()[number] + bisect_left(self._chunks[number], key, key=self._key)

    def slice(self, start: int, stop: int) -> list[int]:
        """Return the rows at positions `start` to `stop`, the end excluded."""
        stop = min(stop, self._length)
        if start >= stop:
            return []
        offsets = self._offsets()
        number = bisect_left(offsets, start + 1) - 1
        rows: list[int] = []
        while number < len(self._chunks) and offsets[number] < stop:
            first = offsets[number]
            rows.extend(self._chunks[number][max(0, start - first) : stop - first])
            number += 1
        return rows

    def _offsets(self) -> list[int]:
        if self._starts is None:
            self._starts = list(accumulate((len(chunk) for chunk in self._chunks), initial=0))
        return self._starts


class SubscriberStore:
    """Rows are numbered in the order of joining and never move. `version` grows with every change."""

    def __init__(self, population: Population | None = None) -> None:
        self.version = 0
        self._people = population
        seeded = population.count if population else 0
        self.states = population.states() if population else bytearray()
        self.consents = population.consents() if population else bytearray()
        self.joined = population.joined() if population else array("q")
        self.changed = population.changed(self.joined, self.states) if population else array("q")
        self._emails: list[str | None] = [None] * seeded
        self._names: list[str | None] = [None] * seeded
        self._values: list[FieldValues | None] = [None] * seeded
        self._rows: dict[str, int] = {}
        self._phones: dict[int, tuple[str, str]] = {}
        self._mail_clients: dict[int, str] = {}
        self.by_suppression: set[int] = set()
        self._orders: dict[tuple[SimulatedState, str], OrderedRows] = {}
        self._shared: dict[FieldValues, FieldValues] = {}
        self.counts = [self.states.count(state) for state in SimulatedState]

    def __len__(self) -> int:
        return len(self.states)

    def find(self, folded: str) -> int | None:
        """Return the row of a folded address, in whatever state."""
        row = self._rows.get(folded)
        if row is None and self._people is not None:
            row = self._people.find(folded)
            if row is not None and self._emails[row] is not None:
                return None  # the person has another address now
        return row

    def email(self, row: int) -> str:
        """Return the address as it was sent."""
        return self._emails[row] or self._seeded().email(row)

    def name(self, row: int) -> str:
        """Return the name, "" when there is none."""
        name = self._names[row]
        return self._seeded().name(row) if name is None else name

    def values(self, row: int) -> FieldValues:
        """Return the custom field values, of deleted fields too."""
        values = self._values[row]
        return self._seeded().values(row) if values is None else values

    def state(self, row: int) -> SimulatedState:
        """Return the state."""
        return _STATES[self.states[row]]

    def phone(self, row: int) -> tuple[str, str] | None:
        """Return mobile number and SMS consent, None without a number."""
        if row in self._phones:
            phone = self._phones[row]
            return phone if phone[0] else None
        number = self._people.mobile(row) if self._people and row < self._people.count else None
        return (number, "Yes" if row % 2 else "No") if number else None

    def mail_client(self, row: int) -> str:
        """Return what the person reads e-mail with, "" when unknown."""
        if row in self._mail_clients:
            return self._mail_clients[row]
        return self._people.mail_client(row) if self._people and row < self._people.count else ""

    def add(self, email: str, folded: str, name: str, values: FieldValues, state: SimulatedState, at: int) -> int:
        """Put a new subscriber on the list and return the row."""
        return self.add_many([(email, folded, name, values)], state, at)

    def add_many(self, people: Sequence[tuple[str, str, str, FieldValues]], state: SimulatedState, at: int) -> int:
        """Put new subscribers on the list, each as address, folded address, name and values; return the first row."""
        first, count = len(self.states), len(people)
        emails, folded, names, values = zip(*people, strict=True)
        self.version += count
        self.states.extend(bytes((state,)) * count)
        self.consents.extend(bytes(count))
        self.joined.extend([at] * count)
        self.changed.extend([at] * count)
        self._emails += emails
        self._names += names
        self._values += map(self._share, values)
        self._rows.update(zip(folded, range(first, first + count), strict=True))
        self.counts[state] += count
        if self._orders:
            for row in range(first, first + count):
                self._attach(row)
        return first

    def move(self, row: int, state: SimulatedState, at: int) -> None:
        """Change the state; `Date` becomes `at`, `ListJoinedDate` stays."""
        self.version += 1
        self._detach(row)
        self.counts[self.states[row]] -= 1
        self.counts[state] += 1
        self.states[row] = state
        self.changed[row] = at
        self.by_suppression.discard(row)
        self._attach(row)

    def remove(self, row: int) -> None:
        """Take a subscriber off for good: nothing finds the row any more; it keeps its number and its address."""
        self.version += 1
        self._detach(row)
        self.counts[self.states[row]] -= 1
        email = self.email(row)
        self._rows.pop(fold(email), None)
        self._emails[row] = email  # a seeded person is found by number unless the row has an address of its own
        self.states[row] = REMOVED
        self.by_suppression.discard(row)

    def set_values(self, row: int, values: FieldValues) -> None:
        """Replace the custom field values."""
        self.version += 1
        self._values[row] = self._share(values)

    def set_name(self, row: int, name: str) -> None:
        """Replace the name."""
        self.version += 1
        self._detach(row)
        self._names[row] = name
        self._attach(row)

    def set_email(self, row: int, email: str) -> None:
        """Replace the address: the row, its dates and values stay."""
        self.version += 1
        self._detach(row)
        self._rows.pop(fold(self.email(row)), None)
        self._emails[row] = email
        self._rows[fold(email)] = row
        self._attach(row)

    def set_phone(self, row: int, number: str, consent: str) -> None:
        """Replace mobile number and SMS consent; "" clears the number."""
        self.version += 1
        self._phones[row] = (number, consent)

    def set_mail_client(self, row: int, client: str) -> None:
        """Set what the person reads e-mail with."""
        self._mail_clients[row] = client

    def rows(self, state: SimulatedState) -> Iterator[int]:
        """Yield the rows of a state in the order of joining."""
        return (row for row, current in enumerate(self.states) if current == state)

    def ordered(self, state: SimulatedState, field: str) -> OrderedRows:
        """Return the rows of a state by `email`, `name` or `date`."""
        order = self._orders.get((state, field))
        if order is None:
            order = self._orders[state, field] = OrderedRows(self.sort_key(field), self.rows(state))
        return order

    def sort_key(self, field: str) -> Callable[[int], Any]:
        """Return the key of an order; it differs for every row."""
        if field == "date":
            return lambda row: self.changed[row] << 32 | row
        if field == "name":
            return lambda row: (self.name(row).casefold(), row)
        return lambda row: fold(self.email(row))

    def since(self, state: SimulatedState, at: int) -> int:
        """Return how many rows of a state came to it before `at`."""
        return self.ordered(state, "date").position(at << 32)

    def _detach(self, row: int) -> None:
        for (state, _), order in self._orders.items():
            if state == self.states[row]:
                order.remove(row)

    def _attach(self, row: int) -> None:
        for (state, _), order in self._orders.items():
            if state == self.states[row]:
                order.add(row)

    def _share(self, values: FieldValues) -> FieldValues:
        if len(self._shared) < _SHARED_VALUES:
            return self._shared.setdefault(values, values)
        return self._shared.get(values, values)

    def _seeded(self) -> Population:
        if self._people is None:
            raise LookupError("this row was not seeded")
        return self._people
