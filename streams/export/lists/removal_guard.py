"""The removal guard: a job whose removals would take away too large a share of its people waits for a person.

A broken audience upstream looks like everybody leaving at once. Removals of a list are counted over a window, against
the people that it held when the window began; below a minimum nothing is stopped, so small lists stay usable. They are
counted before they are made, in the topic that all export workers share, each run of a worker under a key of its own:
so no restart, rebalance or crash forgets one, and all workers of the list count together. What several workers count
in the same instant may exceed the share by one request each. Once tripped, a list stays tripped, for all workers, until
a person confirms.

A confirmation is of the trip that waits for one, and covers who waits then: everybody whose last change was appended
before it, as long as nobody edits a job of the list, also where the edit is taken back, and no audience's name changes.
All others are counted, from zero. A job that is edited while a list is stopped is another reason to stop: who would
leave by it is covered by a confirmation that is later than the edit.
"""

import asyncio
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace

import orjson
import structlog

from schemas.envelope import EpochMillis
from streams.batches import Output
from streams.export.lists.attention import REMOVALS, reason_on
from streams.export.rules.jobs import ListView
from streams.export.rules.routing import RequestKind
from streams.export.sending.plan import PlannedWrite
from streams.export.sending.queue import QueuedPerson, RowKey
from streams.export.settings import ExportSettings
from streams.export.state import ExportState
from streams.export.table import Clocks, RecordPublisher

log = structlog.get_logger(__name__)

GUARD = b"guard/"
# A removal is forgotten up to a sixtieth of the window late.
BUCKETS = 60
# Removals at rest are counted so many at a time: each write costs as much as the rows' own. More would stop a list
# earlier than its share says, by as many as a crash leaves unused.
MAX_RESERVED = 100
# Of what is left of the share, so that reserving alone never trips.
RESERVED_PART = 20


@dataclass(frozen=True, slots=True)
class Trip:
    """A list was stopped."""

    confirmed: EpochMillis
    """The newest confirmation at that time, 0 for none: a later one ends it."""
    revision: str
    """Of the list's jobs, when somebody was held back last."""
    why: str


@dataclass(frozen=True, slots=True)
class CountedRemovals:
    """What one run of a worker has counted for a list since a confirmation."""

    confirmed: EpochMillis
    buckets: tuple[tuple[EpochMillis, int], ...]
    """(beginning, removals)."""


class GuardRecords:
    """The guards' records in the shared topic: `guard/<list>` a trip, `guard/<list>/<run>` what a run has counted."""

    def __init__(self, topic: str, publisher: RecordPublisher, run: str) -> None:
        """`run`: a name that no other run of any worker has."""
        self._topic = topic
        self._publisher = publisher
        self._run = run
        self._counted: dict[str, dict[str, CountedRemovals]] = {}
        self._trips: dict[str, Trip] = {}

    def merge(self, key: bytes, value: bytes) -> None:
        """Merge a record; our own are known already, and may be older than what we know."""
        list_id, _, run = key.removeprefix(GUARD).decode().partition("/")
        body = orjson.loads(value)
        if not run:
            self._trips[list_id] = Trip(body["confirmed"], body["revision"], body["why"])
        elif run != self._run:
            buckets = tuple((start, removals) for start, removals in body["buckets"])
            self._counted.setdefault(list_id, {})[run] = CountedRemovals(body["confirmed"], buckets)

    def trip_of(self, list_id: str) -> Trip | None:
        """Return the list's latest trip, confirmed or not."""
        return self._trips.get(list_id)

    def removed(self, list_id: str, confirmed: EpochMillis, since: EpochMillis) -> int:
        """Return how many removals all runs have counted since then, and since the confirmation."""
        return sum(
            removals
            for counted in self._counted.get(list_id, {}).values()
            if counted.confirmed >= confirmed
            for start, removals in counted.buckets
            if start >= since
        )

    async def count(self, list_id: str, counted: CountedRemovals) -> None:
        """Store what this run has counted. Raises NotDelivered."""
        body = {"confirmed": counted.confirmed, "buckets": counted.buckets}
        await self._put(f"{list_id}/{self._run}", body)
        self._counted.setdefault(list_id, {})[self._run] = counted

    async def trip(self, list_id: str, trip: Trip) -> None:
        """Store that a list is stopped. Raises NotDelivered."""
        await self._put(list_id, {"confirmed": trip.confirmed, "revision": trip.revision, "why": trip.why})
        self._trips[list_id] = trip

    async def _put(self, key: str, body: object) -> None:
        await self._publisher.publish_all([Output(self._topic, GUARD + key.encode(), orjson.dumps(body))])


class RemovalGuard:
    """Counts one list's removals, and holds them back."""

    def __init__(
        self, list_id: str, state: ExportState, records: GuardRecords, settings: ExportSettings, clocks: Clocks
    ) -> None:
        self._list_id = list_id
        self._state = state
        self._records = records
        self._window_ms = int(settings.guard_window_seconds * 1000)
        self._bucket_ms = max(1, self._window_ms // BUCKETS)
        self._minimum = settings.guard_minimum
        self._wall = clocks.wall
        self._used: Counter[EpochMillis] = Counter()
        """By bucket: removals that were let go."""
        self._reserved: tuple[EpochMillis, int] = (0, 0)
        """(bucket, what is stored as its removals)."""
        self._confirmed: EpochMillis = 0
        self._let_go: dict[RowKey, QueuedPerson] = {}
        """Whose removals were counted; pruned when that is read."""
        self._lock = asyncio.Lock()

    @property
    def attention(self) -> str | None:
        """What a person has to do; None while nothing is held back."""
        listed = self._state.listed(self._list_id)
        trip = self._records.trip_of(self._list_id)
        if listed is None or trip is None or _share(listed) is None or _confirmed(listed) > trip.confirmed:
            return None
        return trip.why

    def is_shown(self) -> bool:
        """Whether no job lacks the attention that the guard asks for, or keeps one that was confirmed."""
        listed, trip = self._state.listed(self._list_id), self._records.trip_of(self._list_id)
        outdated = None if self.attention is not None or trip is None else trip.why
        return listed is None or trip is None or all(reason_on(view.job) != outdated for view in listed.running)

    async def held_back(self, writes: Sequence[PlannedWrite]) -> frozenset[RowKey]:
        """Return whose removal has to wait. The others' are counted when this returns. Raises NotDelivered."""
        listed = self._state.listed(self._list_id)
        share = None if listed is None else _share(listed)
        if listed is None or share is None:
            return frozenset()
        leaving = [write for write in writes if _removes(write) and not self._is_covered(write, listed)]
        if not leaving:
            return frozenset()
        async with self._lock:
            if self.attention is not None:
                await self._follow_edits(listed)
                return frozenset(write.person.key for write in leaving)
            granted = await self._count(len(leaving), _confirmed(listed), share)
            for write in leaving[:granted]:
                write.person.removal_counted = True
                self._let_go[write.person.key] = write.person
            if granted < len(leaving):
                await self._trip(listed, share)
            return frozenset(write.person.key for write in leaving[granted:])

    async def _count(self, wanted: int, confirmed: EpochMillis, share: float) -> int:
        """Count removals, and return how many of them may go. Stored before, more than needed for those that follow."""
        now = self._wall()
        bucket = now - now % self._bucket_ms
        since = self._since(now)
        if confirmed > self._confirmed:
            self._confirmed = confirmed
            self._used.clear()
            self._reserved = (0, 0)
        for start in [start for start in self._used if start < since]:
            del self._used[start]
        stored = self._reserved[1] if self._reserved[0] == bucket else self._used[bucket]
        if self._used[bucket] + wanted > stored:
            removed, people = self._removed_of(since)
            left = max(0, int(max(self._minimum, share * people)) - removed)
            granted = min(wanted, stored - self._used[bucket] + left)
            upto = max(stored, self._used[bucket] + granted)
            upto += min(MAX_RESERVED, (left - (upto - stored)) // RESERVED_PART)
            if upto > stored:
                buckets = tuple(sorted({**self._used, bucket: upto}.items()))
                await self._records.count(self._list_id, CountedRemovals(self._confirmed, buckets))
                self._reserved = (bucket, upto)
            wanted = granted
        self._used[bucket] += wanted
        return wanted

    async def _trip(self, listed: ListView, share: float) -> None:
        removed, people = self._removed_of(self._since(self._wall()))
        hours = self._window_ms / 3_600_000
        why = (
            f"{removed} removals were counted within {hours:g} h, of {people} people (on the list now, or "
            f"counted as removed), and more wait: more than the share of {share:.0%} that the job allows. {REMOVALS}"
        )
        await self._records.trip(self._list_id, Trip(_confirmed(listed), listed.revision, why))
        log.error("removals held back", list_id=self._list_id, why=why)

    async def _follow_edits(self, listed: ListView) -> None:
        """Somebody is held back by the jobs as they are now: that is what a person confirms next."""
        trip = self._records.trip_of(self._list_id)
        if trip is not None and trip.revision != listed.revision:
            await self._records.trip(self._list_id, replace(trip, revision=listed.revision))

    def _since(self, now: EpochMillis) -> EpochMillis:
        """Return the beginning of the window: of its first bucket."""
        start = now - self._window_ms
        return start - start % self._bucket_ms

    def _removed_of(self, since: EpochMillis) -> tuple[int, int]:
        """Return how many removals were counted, and how many people the list held before them."""
        removed = self._records.removed(self._list_id, self._confirmed, since)
        return removed, self._state.people_on(self._list_id) + max(0, removed - self._under_way())

    def _under_way(self) -> int:
        """Return how many removals were counted whose people the list still holds: of all partitions, by our sample."""
        opened = self._state.open.get(self._list_id)
        self._let_go = {
            key: person
            for key, person in self._let_go.items()
            if opened is not None and person.removal_counted and key in opened.queue
        }
        return len(self._let_go) * self._state.partitions // max(1, len(self._state.owned))

    def _is_covered(self, write: PlannedWrite, listed: ListView) -> bool:
        """Whether a person has seen this removal before they confirmed."""
        trip, confirmed = self._records.trip_of(self._list_id), _confirmed(listed)
        asked = trip is not None and trip.confirmed < confirmed and trip.revision == listed.revision
        return asked and write.appended <= confirmed and _edited(listed) <= confirmed


def _removes(write: PlannedWrite) -> bool:
    """Whether a write takes something away that was not counted: an emptied field counts as much as a removal."""
    state, held = write.state, write.held
    if write.done or state is None or state.desired.present or write.person.removal_counted:
        return False
    if write.route is not None and write.route.kind is RequestKind.LOOK_AGAIN:
        return False  # counted when it was made
    emptied = held is not None and held.address is not None and not held.audiences and state.desired.on_exit == "keep"
    return write.person.attempt.outcome_unknown or not emptied


def _share(listed: ListView) -> float | None:
    """The smallest share among the running jobs; None: nothing is guarded."""
    smallest = min((view.job.removal_guard for view in listed.running), default=1.0)
    return None if smallest >= 1.0 else smallest


def _confirmed(listed: ListView) -> EpochMillis:
    """When removals of the list were confirmed last; one job's confirmation is for the whole list. 0: never."""
    times = [view.job.removals_confirmed_at for view in listed.jobs]
    return max((int(at.timestamp() * 1000) for at in times if at is not None), default=0)


def _edited(listed: ListView) -> EpochMillis:
    """When a person edited a job of the list last. Edits have times, since one that is taken back leaves no trace."""
    return max((int(view.job.updated_at.timestamp() * 1000) for view in listed.jobs), default=0)
