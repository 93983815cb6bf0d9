"""Who is sent next: one list's waiting people, newest state each, in two lanes. Pure; the clock is an argument.

At rest a change goes out by itself and at once. While requests are in flight changes gather, and the next request
takes all that may share one: up to 1,000 for an import, one for everything else. A person is in at most one request;
who changes meanwhile waits for its answer. The backfill goes when no live change waits, and never takes the last free
slot, so that a live change never waits for a backfill's slow import.
"""

import heapq
from collections import Counter, OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass, field

from streams.domain.routing import Doubts, Kind, Route

Key = tuple[int, bytes]
"""Partition and row key."""

IMPORT_LIMIT = 1_000

_GUESS = Route(Kind.IMPORT)


@dataclass(slots=True)
class Waiting:
    """One person who may have to be sent."""

    key: Key
    live: bool
    since: float
    route: Route = _GUESS
    """What the next call probably is; it is decided anew when the row is read."""
    doubts: Doubts = field(default_factory=Doubts)
    attempts: int = 0
    share: int = IMPORT_LIMIT
    """With how many others at most: smaller after an import that was not understood, until its cause is found."""
    let_through: bool = False
    """The removal guard has counted this person's removal."""


@dataclass(frozen=True, slots=True)
class Pick:
    """People whose rows are to be read for the next request."""

    people: tuple[Waiting, ...]
    live: bool


class Queue:
    """The people of one list."""

    def __init__(self, limit: int = IMPORT_LIMIT) -> None:
        self._limit = limit
        # Ordered dicts, because taking the first of a plain dict again and again walks over all that were taken before.
        self._lanes: dict[tuple[bool, Route], OrderedDict[Key, Waiting]] = {}
        self._known: dict[Key, Waiting] = {}
        self._later: list[tuple[float, int, Key]] = []
        self._held_back: dict[Key, float] = {}
        self._carried: dict[Key, bool] = {}
        self._count = 0
        self._background: Counter[int] = Counter()

    def __len__(self) -> int:
        return len(self._known)

    def __contains__(self, key: Key) -> bool:
        return key in self._known

    @property
    def in_flight(self) -> int:
        """How many people are in requests now."""
        return len(self._carried)

    def carries(self, key: Key) -> bool:
        """Say whether a request with this person is under way."""
        return key in self._carried

    def carries_any(self, partition: int) -> bool:
        """Say whether a request with somebody of the partition is under way."""
        return any(key[0] == partition for key in self._carried)

    def touched(self, key: Key) -> bool:
        """Say whether the row changed since the request that carries the person was made."""
        return self._carried.get(key, False)

    def waits(self, live: bool) -> int:
        """Return how many people of a lane could go now."""
        return sum(len(people) for (lane, _), people in self._lanes.items() if lane == live)

    def fills(self, live: bool) -> bool:
        """Say whether so many people of a lane wait that they fill an import."""
        return any(
            len(people) >= self._limit
            for (lane, route), people in self._lanes.items()
            if lane == live and route.kind is Kind.IMPORT
        )

    def touch(self, key: Key, now: float, *, live: bool = True, unsure: bool = False) -> None:
        """A row may have something to send. While a request carries the person it is looked at again afterwards."""
        known = self._known.get(key)
        if known is None:
            waiting = Waiting(key, live, now, doubts=Doubts(unsure=unsure))
            self._known[key] = waiting
            self._background[key[0]] += not live
            self._enqueue(waiting)
            return
        known.doubts.code = 0
        known.doubts.absent = False
        if key in self._carried:
            self._carried[key] = True
        elif live and not known.live:
            self._dequeue(known)
            self._background[key[0]] -= 1
            known.live = True
            known.since = now
            if key not in self._held_back:
                self._enqueue(known)

    def pick(self, now: float, free: int, free_for_backfill: int) -> Pick | None:
        """Return who goes next, or None. They count as in flight until `done`, `again` or `put_back`."""
        self.ripen(now)
        for live, slots in ((True, free), (False, free_for_backfill)):
            if slots <= 0:
                continue
            lane = self._oldest(live)
            if lane is None:
                continue
            people = self._lanes[lane]
            limit = self._limit if lane[1].kind in (Kind.IMPORT, Kind.ANSWER, Kind.REFUSE) else 1
            taken: list[Waiting] = []
            for waiting in people.values():
                limit = min(limit, waiting.share)
                if len(taken) >= limit:
                    break
                taken.append(waiting)
            for waiting in taken:
                del people[waiting.key]
                self._carried[waiting.key] = False
            return Pick(tuple(taken), live)
        return None

    def background_of(self, partition: int) -> int:
        """Return how many of a partition's people came from a backfill and are not settled."""
        return self._background.get(partition, 0)

    def put_back(self, waiting: Waiting, route: Route) -> None:
        """It needs another kind of request than the one it was picked for: it goes first among those."""
        self._carried.pop(waiting.key, None)
        if waiting.key in self._known:
            waiting.route = route
            self._enqueue(waiting, first=True)

    def done(self, key: Key, now: float) -> bool:
        """The person's request is settled. True when nothing is left; False when the row changed meanwhile."""
        touched = self._carried.pop(key, False)
        waiting = self._known.get(key)
        if waiting is None:
            return True
        if not touched:
            del self._known[key]
            self._background[key[0]] -= not waiting.live
            return True
        waiting.attempts, waiting.doubts, waiting.since = 0, Doubts(), now
        waiting.let_through = False
        waiting.share = self._limit
        self._enqueue(waiting)
        return False

    def drop(self, key: Key) -> None:
        """Nobody exports to this list any more."""
        waiting = self._known.pop(key, None)
        if waiting is not None:
            self._dequeue(waiting)
            self._background[key[0]] -= not waiting.live
        self._held_back.pop(key, None)
        self._carried.pop(key, None)

    def again(self, waiting: Waiting, at: float) -> None:
        """The person's request did not come through: not before `at`."""
        self._carried.pop(waiting.key, None)
        if waiting.key not in self._known:
            return
        self._count += 1
        self._held_back[waiting.key] = at
        heapq.heappush(self._later, (at, self._count, waiting.key))

    def forget_partition(self, partition: int) -> None:
        """The partition has another owner now."""
        for key in [key for key in self._known if key[0] == partition]:
            self.drop(key)

    def next_time(self) -> float | None:
        """Return when the next person who was held back may go."""
        return self._later[0][0] if self._later else None

    def oldest_since(self) -> float | None:
        """Return since when the person who has waited longest waits, in flight or not."""
        return min((it.since for it in self._known.values()), default=None)

    def people(self) -> Iterator[Waiting]:
        """All who wait or are in flight."""
        return iter(self._known.values())

    def release_all(self, now: float) -> None:
        """What held people back is over: a job was changed, an account repaired."""
        for key in list(self._held_back):
            heapq.heappush(self._later, (now, 0, key))
            self._held_back[key] = now

    def ripen(self, now: float) -> None:
        """Let those go whose time has come."""
        while self._later and self._later[0][0] <= now:
            at, _count, key = heapq.heappop(self._later)
            if self._held_back.get(key) != at:
                continue
            del self._held_back[key]
            waiting = self._known.get(key)
            if waiting is not None and key not in self._carried:
                self._enqueue(waiting)

    def _oldest(self, live: bool) -> tuple[bool, Route] | None:
        heads = [
            (next(iter(people.values())).since, n, lane)
            for n, (lane, people) in enumerate(self._lanes.items())
            if people and lane[0] == live
        ]
        return min(heads)[2] if heads else None

    def _enqueue(self, waiting: Waiting, *, first: bool = False) -> None:
        people = self._lanes.setdefault((waiting.live, waiting.route), OrderedDict())
        people[waiting.key] = waiting
        if first:
            people.move_to_end(waiting.key, last=False)

    def _dequeue(self, waiting: Waiting) -> None:
        people = self._lanes.get((waiting.live, waiting.route))
        if people is not None:
            people.pop(waiting.key, None)
