"""Imports of people whose rows are written once, after the answer: handed by a partition's owner to the list's sender.

The owner waits for each of them, so what it holds is bounded: as many calls as the list has request slots, and one
more that is ready. Pure, but for the futures in it.
"""

import asyncio
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from schemas.envelope import EpochMillis
from streams.export.rules.dropped import ValueKind
from streams.export.rules.flat_import import FlatImport, FlatPlan
from streams.export.rules.jobs import ListView
from streams.export.rules.routing import RequestKind, RequestRoute
from streams.export.sending.plan import PlannedWrite, WriteResult
from streams.export.sending.queue import QueuedPerson

# A list that did not answer in time gets its people through the queue for so long.
CLOSED_SECONDS = 5.0


class FlatRequest(NamedTuple):
    """People of the common kind, who were read as bytes."""

    plan: FlatPlan
    people: Sequence[FlatImport]

    def entries(self) -> Iterator[bytes]:
        """Yield the people in the request, as JSON."""
        return (person.entry for person in self.people)


class FlatAnswer(NamedTuple):
    """What became of such people."""

    refused: frozenset[bytes] = frozenset()
    """Keys of those that the list did not simply accept."""
    new: int = 0
    """How many of the others are new on the list."""
    outcome_unknown: bool = False
    """Of the refused, which are all then."""


class DirectAnswer(NamedTuple):
    """Who is on the list now, as was asked for. Everybody else of the call needs what the queue does for them."""

    accepted: Sequence[WriteResult]
    at: EpochMillis
    flat: FlatAnswer = FlatAnswer()


NOT_MADE = DirectAnswer((), 0)
"""The call was not made."""


class KnownList(NamedTuple):
    """What the sender knows of the list's fields."""

    keys: Mapping[str, str]
    """By plain name."""
    kept: frozenset[ValueKind]
    """Values that were read back."""
    confirms: bool
    """Whether who is added has to confirm it first."""


@dataclass(slots=True)
class DirectCall:
    """One import of people of one partition, all with the same route and authorization, no address twice."""

    listed: ListView
    authorization: str
    route: RequestRoute
    writes: Sequence[PlannedWrite] = ()
    flat: FlatRequest | None = None
    """Instead of `writes`."""
    answer: "asyncio.Future[DirectAnswer]" = field(default_factory=lambda: asyncio.get_running_loop().create_future())
    begun: bool = False
    """The call is made: its outcome is not known before the answer."""
    withdrawn: bool = False
    """The owner does not wait any more: a call that has not begun is not made, another is the queue's."""
    dropped: bool = False
    """The owner failed: its records come again, and nobody records this answer."""
    changed: bool = False
    """The jobs changed while it was under way: everybody is looked at again."""
    handed_over: "asyncio.Future[None]" = field(default_factory=lambda: asyncio.get_running_loop().create_future())
    """Of a withdrawn call that has begun: its people are in the queue, and in `writes`."""

    def __len__(self) -> int:
        return len(self.writes if self.flat is None else self.flat.people)

    def give_up(self) -> bool:
        """The owner does not wait any more. True: the call is under way, and its people are in it."""
        self.withdrawn = True
        return self.begun and not self.answer.done()

    def finish(self, answer: DirectAnswer) -> None:
        """Hand the answer to the owner."""
        if not self.answer.done():
            self.answer.set_result(answer)


@dataclass(slots=True, eq=False)
class ScanCall:
    """One import of people in one partition, found by a backfill; they are in the list's queue, as in a request."""

    partition: int
    listed: ListView
    plan: FlatPlan
    source: int
    people: Sequence[FlatImport]
    stored: Sequence[bytes]
    """Their rows as the store keeps them, which the call was planned from."""
    queued: Sequence[QueuedPerson]

    @property
    def authorization(self) -> str:
        """The authorization of the call."""
        return self.plan.view.job.authorization_id

    @property
    def route(self) -> RequestRoute:
        """The call."""
        return RequestRoute(RequestKind.IMPORT, queue=self.plan.view.job.queue_autoresponders)


class DirectQueue:
    """The direct calls of one list, and those of its backfills."""

    def __init__(self, max_requests: int) -> None:
        self.room = asyncio.Semaphore(max_requests + 1)
        """Acquired for each call by the owner, released by the sender; whoever waits longest is next."""
        self.known: KnownList | None = None
        self._waiting: deque[DirectCall] = deque()
        self._scanned: deque[ScanCall] = deque()
        self._closed_until = float("-inf")

    @property
    def waiting(self) -> bool:
        """Whether a call waits to be taken."""
        return bool(self._waiting)

    def is_open(self, now: float) -> bool:
        """Whether calls are taken: not for some seconds after one that got no answer in time."""
        return now >= self._closed_until

    def close(self, now: float) -> None:
        """A call got no answer in time."""
        self._closed_until = now + CLOSED_SECONDS

    def know(self, known: KnownList) -> None:
        """Keep what is known of the list's fields; the same object while it is the same."""
        if known != self.known:
            self.known = known

    def put(self, call: DirectCall) -> None:
        """Hand a call to the sender; with `room`."""
        self._waiting.append(call)

    def take(self) -> DirectCall | None:
        """Return the next call; those that nobody waits for any more are left out."""
        while self._waiting:
            call = self._waiting.popleft()
            if not call.withdrawn:
                return call
            self.end(call)
        return None

    @property
    def scanned(self) -> bool:
        """Whether a backfill's call waits to be taken."""
        return bool(self._scanned)

    def scanned_of(self, partition: int) -> int:
        """Return how many calls of a partition's backfill wait."""
        return sum(call.partition == partition for call in self._scanned)

    def put_scanned(self, call: ScanCall) -> None:
        """Hand a backfill's call to the sender."""
        self._scanned.append(call)

    def take_scanned(self) -> ScanCall:
        """Return the next call of a backfill. Raises IndexError."""
        return self._scanned.popleft()

    def withdraw_scanned(self, partition: int | None = None) -> list[ScanCall]:
        """Take back the calls of backfills that have not begun: of one partition, or all."""
        taken = [call for call in self._scanned if partition in (None, call.partition)]
        self._scanned = deque(call for call in self._scanned if partition not in (None, call.partition))
        return taken

    def end(self, call: DirectCall) -> None:
        """The call is over, made or not."""
        call.finish(NOT_MADE)
        self.room.release()

    def end_all(self) -> None:
        """The list is closed."""
        while self._waiting:
            self.end(self._waiting.popleft())
        self._scanned.clear()
