"""The send queue of one list: waiting people, newest state each; live before backfill. Pure; the clock is an argument.

When nothing is in flight, a change is sent at once and alone. While requests are in flight, changes gather, and the
next request takes all that may share one: up to 1,000 for an import, one for everything else. A person is in at most
one request; who changes meanwhile waits for its answer. The backfill is sent when no live change waits, and never takes
the last free slot, so that a live change never waits for a backfill's slow import.
"""

import heapq
from collections import Counter, OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass, field

from streams.export.rules.routing import AttemptState, RequestKind, RequestRoute

RowKey = tuple[int, bytes]
"""Partition and row key."""

IMPORT_LIMIT = 1_000

_GUESS = RequestRoute(RequestKind.IMPORT)
# An import is for everybody who waits for one; whoever needs a call alone does not hold them up for longer.
IMPORT_SECONDS = 0.25


@dataclass(slots=True)
class QueuedPerson:
    """One person who may have to be sent."""

    key: RowKey
    live: bool
    since: float
    route: RequestRoute = _GUESS
    """What the next call probably is; it is found again when the row is read."""
    attempt: AttemptState = field(default_factory=AttemptState)
    attempts: int = 0
    share: int = IMPORT_LIMIT
    """With how many others at most: smaller after an import that was not understood, until its cause is found."""
    removal_counted: bool = False
    """The removal guard has counted this person's removal."""


@dataclass(frozen=True, slots=True)
class QueuedBatch:
    """People whose rows are to be read for the next request."""

    people: tuple[QueuedPerson, ...]
    live: bool


class SendQueue:
    """The people of one list."""

    def __init__(self, limit: int = IMPORT_LIMIT) -> None:
        self._limit = limit
        # Ordered dicts, because taking the first of a plain dict again and again walks over all that were taken before.
        self._by_route: dict[tuple[bool, RequestRoute], OrderedDict[RowKey, QueuedPerson]] = {}
        self._known: dict[RowKey, QueuedPerson] = {}
        """In the order of `since`."""
        self._retries: list[tuple[float, int, RowKey]] = []
        self._held_back: dict[RowKey, float] = {}
        self._in_request: dict[RowKey, bool] = {}
        self._count = 0
        self._out_of_turn = False
        self._background: Counter[int] = Counter()

    def __len__(self) -> int:
        return len(self._known)

    def __contains__(self, key: RowKey) -> bool:
        return key in self._known

    @property
    def in_flight(self) -> int:
        """How many people are in requests now."""
        return len(self._in_request)

    def has_request(self, key: RowKey) -> bool:
        """Whether a request with this person is under way."""
        return key in self._in_request

    def has_unknown_outcome(self, key: RowKey) -> bool:
        """Whether a request with this person may have been made whose outcome is not known."""
        person = self._known.get(key)
        return person is not None and person.attempt.outcome_unknown

    def has_request_of(self, partition: int) -> bool:
        """Whether a request with somebody of the partition is under way."""
        return any(key[0] == partition for key in self._in_request)

    def changed_in_request(self, key: RowKey) -> bool:
        """Whether the row changed since the request with the person was made."""
        return self._in_request.get(key, False)

    def ready(self, live: bool) -> int:
        """Return how many live (or backfill) people could go now."""
        return sum(len(people) for (of_live, _), people in self._by_route.items() if of_live == live)

    def fills_import(self, live: bool) -> bool:
        """Whether so many live (or backfill) people wait that they fill an import."""
        return any(
            len(people) >= self._limit
            for (of_live, route), people in self._by_route.items()
            if of_live == live and route.kind is RequestKind.IMPORT
        )

    def touch(
        self,
        key: RowKey,
        now: float,
        *,
        live: bool = True,
        outcome_unknown: bool = False,
        recheck: bool = False,
        found_due: bool = False,
    ) -> None:
        """A row may have something to send. With a request under way, the person is looked at again after that."""
        known = self._known.get(key)
        if known is None:
            attempt = AttemptState(outcome_unknown or found_due, found_due and not outcome_unknown, recheck=recheck)
            person = QueuedPerson(key, live, now, attempt=attempt)
            self._known[key] = person
            self._background[key[0]] += not live
            self._enqueue(person)
            return
        known.attempt.refused_code = 0
        known.attempt.not_applied = False
        if outcome_unknown:
            known.attempt.found_due = False
        if key in self._in_request:
            self._in_request[key] = True
        elif live and not known.live:
            self._dequeue(known)
            self._background[key[0]] -= 1
            known.live = True
            self._waits_from(known, now)
            if key not in self._held_back:
                self._enqueue(known)

    def adopt(self, person: QueuedPerson) -> None:
        """Take over somebody who is in a request that this queue did not make."""
        self._known[person.key] = person
        self._in_request[person.key] = False
        self._background[person.key[0]] += not person.live

    def next_batch(self, now: float, free: int, free_for_backfill: int) -> QueuedBatch | None:
        """Return the next request's people, or None. They are in a request until `done`, `retry_at` or `requeue`."""
        self.release_due(now)
        for live, slots in ((True, free), (False, free_for_backfill)):
            if slots <= 0:
                continue
            oldest = self._next_group(live, now)
            if oldest is None:
                continue
            people = self._by_route[oldest]
            limit = (
                self._limit if oldest[1].kind in (RequestKind.IMPORT, RequestKind.NO_CALL, RequestKind.REFUSE) else 1
            )
            taken: list[QueuedPerson] = []
            for person in people.values():
                limit = min(limit, person.share)
                if len(taken) >= limit:
                    break
                taken.append(person)
            for person in taken:
                del people[person.key]
                self._in_request[person.key] = False
            return QueuedBatch(tuple(taken), live)
        return None

    def background_of(self, partition: int) -> int:
        """Return how many of a partition's people came from a backfill and are not done."""
        return self._background.get(partition, 0)

    def requeue(self, person: QueuedPerson, route: RequestRoute) -> None:
        """The person needs another kind of request than this one, and goes first among those."""
        if self._known.get(person.key) is not person:
            return  # of a request that is not this queue's any more
        self._in_request.pop(person.key, None)
        person.route = route
        self._enqueue(person, first=True)

    def done(self, key: RowKey, now: float) -> bool:
        """The person's outcome is recorded. True when nothing is left; False when the row changed meanwhile."""
        changed = self._in_request.pop(key, False)
        person = self._known.get(key)
        if person is None:
            return True
        if not changed:
            del self._known[key]
            self._background[key[0]] -= not person.live
            return True
        person.attempts, person.attempt = 0, AttemptState()
        self._waits_from(person, now)
        person.removal_counted = False
        person.share = self._limit
        self._enqueue(person)
        return False

    def drop(self, key: RowKey) -> None:
        """Nobody exports to this list any more."""
        person = self._known.pop(key, None)
        if person is not None:
            self._dequeue(person)
            self._background[key[0]] -= not person.live
        self._held_back.pop(key, None)
        self._in_request.pop(key, None)

    def retry_at(self, person: QueuedPerson, at: float) -> None:
        """The person's request did not succeed: not again before `at`."""
        if self._known.get(person.key) is not person:
            return  # of a request that is not this queue's any more
        self._in_request.pop(person.key, None)
        self._count += 1
        self._held_back[person.key] = at
        heapq.heappush(self._retries, (at, self._count, person.key))

    def forget_partition(self, partition: int) -> None:
        """The partition has another owner now."""
        for key in [key for key in self._known if key[0] == partition]:
            self.drop(key)

    def next_time(self) -> float | None:
        """Return when the next retry is due."""
        return self._retries[0][0] if self._retries else None

    def oldest_since(self) -> float | None:
        """Return since when the person who has waited longest waits, in flight or not.

        Of people who were adopted it is known to within the time that their call took.
        """
        first = next(iter(self._known.values()), None)
        return None if first is None else first.since

    def people(self) -> Iterator[QueuedPerson]:
        """All people that wait or are in flight."""
        return iter(self._known.values())

    def release_all(self, now: float) -> None:
        """End all waits: a job was changed, an account repaired."""
        for key in list(self._held_back):
            heapq.heappush(self._retries, (now, 0, key))
            self._held_back[key] = now

    def release_due(self, now: float) -> None:
        """Put those back into line whose wait is over."""
        while self._retries and self._retries[0][0] <= now:
            at, _count, key = heapq.heappop(self._retries)
            if self._held_back.get(key) != at:
                continue
            del self._held_back[key]
            person = self._known.get(key)
            if person is not None and key not in self._in_request:
                self._enqueue(person)

    def _waits_from(self, person: QueuedPerson, now: float) -> None:
        person.since = now
        self._known[person.key] = self._known.pop(person.key)

    def _next_group(self, live: bool, now: float) -> tuple[bool, RequestRoute] | None:
        """Return the group whose first person has waited longest, or every other time an import that is overdue."""
        heads = [
            (next(iter(people.values())).since, number, group)
            for number, (group, people) in enumerate(self._by_route.items())
            if people and group[0] == live
        ]
        imports = [head for head in heads if head[2][1].kind is RequestKind.IMPORT and head[0] <= now - IMPORT_SECONDS]
        if not heads:
            return None
        self._out_of_turn = bool(imports) and not self._out_of_turn and min(heads) != min(imports)
        return min(imports if self._out_of_turn else heads)[2]

    def _enqueue(self, person: QueuedPerson, *, first: bool = False) -> None:
        people = self._by_route.setdefault((person.live, person.route), OrderedDict())
        people[person.key] = person
        if first:
            people.move_to_end(person.key, last=False)

    def _dequeue(self, person: QueuedPerson) -> None:
        people = self._by_route.get((person.live, person.route))
        if people is not None:
            people.pop(person.key, None)
