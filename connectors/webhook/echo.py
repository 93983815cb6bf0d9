"""Is this event our own write coming back? (pure)

What the exporter writes comes back as Subscribe and Update events. Its receipts on `audience-delivery` say what was
written, for whom and when. An event is an echo when it is about the same subscriber of the same list, at about the
same time, and holds the audiences that were written. It is published all the same, marked, and moves no count.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta

BEFORE = timedelta(minutes=6)
"""An event's date may be so much before the receipt: an import call takes minutes, dates are cut to minutes."""
AFTER = timedelta(minutes=2)
"""And so much after it: clocks differ."""
KEEP = BEFORE + timedelta(minutes=9)
"""A receipt is of no use for longer, unless posts are late; then it is forgotten only when there are too many."""
MOST = 500_000
"""Receipts that are remembered, about 150 MB; a backfill writes as many in some ten minutes."""


@dataclass(frozen=True, slots=True)
class Write:
    """What was written: the audiences the subscriber then held, and when the answer came."""

    at: datetime
    audiences: frozenset[str]


@dataclass(slots=True)
class Writes:
    """The latest writes by (list, address)."""

    _by_subscriber: dict[tuple[str, str], list[Write]] = field(default_factory=dict)

    def add(self, list_id: str, address: str, write: Write) -> None:
        """Remember a write. The oldest subscribers are forgotten when there are too many."""
        key = (list_id, address)
        known = [one for one in self._by_subscriber.pop(key, ()) if write.at - one.at < KEEP]
        self._by_subscriber[key] = [*known, write]
        if len(self._by_subscriber) > MOST:
            self._by_subscriber.pop(next(iter(self._by_subscriber)))

    def of(self, list_id: str, address: str) -> Iterable[Write]:
        """Return the remembered writes of a subscriber."""
        return self._by_subscriber.get((list_id, address), ())

    def __len__(self) -> int:
        return len(self._by_subscriber)


def is_echo(kind: str, at: datetime, values: Iterable[tuple[str, str]], writes: Iterable[Write]) -> bool:
    """Say whether an event repeats one of our writes.

    `kind`: subscribe, update and so on; `values`: the custom fields as (key, value), select-many ones repeated.
    """
    if kind not in ("subscribe", "update"):
        return False
    held: dict[str, set[str]] = {}
    for key, value in values:
        held.setdefault(key, set()).add(value)
    return any(
        write.at - BEFORE <= at <= write.at + AFTER
        and (not write.audiences or any(chosen == write.audiences for chosen in held.values()))
        for write in writes
    )
