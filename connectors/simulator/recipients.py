"""To whom a campaign or a journey mail was sent, without holding their addresses."""

from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from itertools import accumulate

from connectors.simulator.entities import SubscriberList
from connectors.simulator.roster import fold

Rows = Sequence[int]


class Recipients:
    """Rows of lists, numbered through; a range of seeded rows costs nothing, others four bytes each."""

    def __init__(self, parts: Sequence[tuple[SubscriberList, Rows]]) -> None:
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
        return target.roster.email(row)

    def find(self, email: str) -> int | None:
        """Return the number of a recipient, None when nothing was sent there."""
        folded = fold(email)
        for start, (target, rows) in zip(self._starts, self._parts, strict=False):
            row = target.roster.find(folded)
            if row is None:
                continue
            place = row - rows.start if isinstance(rows, range) else bisect_left(rows, row)
            if 0 <= place < len(rows) and rows[place] == row:
                return start + place
        return None


def everybody(lists: Sequence[SubscriberList], limit: int | None = None) -> Recipients:
    """Return the first `limit` subscribers of lists, in whatever state: whom an old campaign went to."""
    parts: list[tuple[SubscriberList, Rows]] = []
    left = sum(len(one.roster) for one in lists) if limit is None else limit
    for one in lists:
        rows = range(min(left, len(one.roster)))
        left -= len(rows)
        parts.append((one, rows))
    return Recipients(parts)


def chosen(parts: Sequence[tuple[SubscriberList, Sequence[int]]]) -> Recipients:
    """Return the given rows; an address on several lists is taken once."""
    if len(parts) == 1:
        target, rows = parts[0]
        return Recipients([(target, array("I", sorted(rows)))])
    seen: set[str] = set()
    unique: list[tuple[SubscriberList, Rows]] = []
    for target, rows in parts:
        kept = array("I")
        for row in sorted(rows):
            folded = fold(target.roster.email(row))
            if folded not in seen:
                seen.add(folded)
                kept.append(row)
        unique.append((target, kept))
    return Recipients(unique)
