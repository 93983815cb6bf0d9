"""What the export worker knows now: plain data that every part reads.

Written in few places: jobs and names by `lists/shared_state.py`, owned partitions by `recovery/partitions.py`, open
lists by `lists/senders.py`. Nothing in here calls anybody: whoever has to act waits for `changed` or for a list's
`wake`. So no part needs a reference to another that holds it.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field

from streams.batches import Revoked
from streams.export.recovery.receipts import ReceiptContext, ReceiptLog
from streams.export.recovery.takeover import KeyRange, PartitionCheckpoint, SentRange
from streams.export.rules.jobs import AudienceNames, Exports, ListView
from streams.export.rules.row import MembershipRow
from streams.export.sending.breaker import BlockedAuthorizations, CircuitBreaker
from streams.export.sending.direct_queue import DirectQueue
from streams.export.sending.queue import RowKey, SendQueue


@dataclass(slots=True)
class OwnedPartition:
    """One partition that this worker owns."""

    number: int
    generation: int
    context: ReceiptContext
    receipts: ReceiptLog = field(default_factory=ReceiptLog)
    checkpoint: PartitionCheckpoint = field(default_factory=PartitionCheckpoint)
    unanswered: dict[str, KeyRange] = field(default_factory=dict)
    """By list: the keys that the scan of a crashed previous owner may have sent."""
    sent: dict[str, SentRange] = field(default_factory=dict)
    """By list: up to where this worker, or the owner before, may have made calls before it wrote the rows."""
    frozen: set[bytes] = field(default_factory=set)
    """Keys of rows that wait to be transferred to another address."""
    scans: dict[str, asyncio.Task[None]] = field(default_factory=dict)
    """By list: the backfill scan that is under way."""
    transfers: dict[bytes, asyncio.Task[None]] = field(default_factory=dict)
    publishing: asyncio.Lock = field(default_factory=asyncio.Lock)
    """Held while receipts are published: those of one call are at offsets that follow each other."""

    @property
    def busy(self) -> bool:
        """Whether a scan or a transfer is under way."""
        tasks = [*self.scans.values(), *self.transfers.values()]
        return bool(self.frozen) or any(not task.done() for task in tasks)

    def already_sent(self, source: int, job_id: str, position: int) -> bool:
        """Whether a change's receipt was found in the topic. `source`: incarnation of the topic of changes."""
        published = self.receipts.published
        return bool(published) and self.context.event_id(job_id, position, source) in published

    def invalidate_scan(self, list_id: str) -> None:
        """End a list's scan and forget that it was complete: it was for jobs that have changed."""
        mark = self.checkpoint.scans.pop(list_id, None)
        if mark is not None and mark.after is not None:
            self.checkpoint.scans[list_id] = mark._replace(revision="")
        if (task := self.scans.pop(list_id, None)) is not None:
            task.cancel()


@dataclass(slots=True)
class OpenList:
    """One list that is being sent to."""

    list_id: str
    queue: SendQueue
    breaker: CircuitBreaker
    blocked: BlockedAuthorizations
    direct: DirectQueue
    wake: asyncio.Event = field(default_factory=asyncio.Event)
    """The sender looks again: a person was queued, a request ended, a wait is over."""

    def takes_direct(self, now: float) -> bool:
        """Whether calls that a batch makes itself are worth to be begun: the list works, as far as is known."""
        return not self.breaker.is_open(now) and not self.blocked and self.direct.is_open(now)

    def recheck(self, partition: int, key: bytes, now: float) -> None:
        """Calls of the person that got no answer are over; whoever waits for a request anyway is compared after it."""
        if (partition, key) not in self.queue:
            self.queue.touch((partition, key), now, live=False, recheck=True)
            self.wake.set()

    def give_back_scanned(self, partition: int | None = None) -> None:
        """Put people of a backfill's calls that have not begun back into line: of one partition, or all."""
        for call in self.direct.withdraw_scanned(partition):
            for person in call.queued:
                self.queue.requeue(person, person.route)

    def touch(
        self,
        partition: int,
        key: bytes,
        now: float,
        *,
        live: bool = True,
        outcome_unknown: bool = False,
        found_due: bool = False,
    ) -> None:
        """A row may have something to send to this list."""
        self.queue.touch((partition, key), now, live=live, outcome_unknown=outcome_unknown, found_due=found_due)
        self.wake.set()


@dataclass(slots=True)
class ExportState:
    """Jobs, audiences' names, owned partitions, open lists."""

    exports: Exports = field(default_factory=Exports)
    names: AudienceNames = field(default_factory=AudienceNames)
    owned: dict[int, OwnedPartition] = field(default_factory=dict)
    open: dict[str, OpenList] = field(default_factory=dict)
    changed: asyncio.Event = field(default_factory=asyncio.Event)
    """Jobs, scans or credentials changed: the runner looks again."""
    transfers_due: asyncio.Event = field(default_factory=asyncio.Event)
    partitions: int = 1
    """How many partitions there are, owned or not."""

    def set_exports(self, exports: Exports) -> None:
        """Replace what is exported; scans for jobs that are not the same any more are ended and start again.

        Also when the jobs are the same again later: people may have been read in between, and let go.
        """
        for list_id in self.exports.changed_lists(exports):
            for owned in self.owned.values():
                owned.invalidate_scan(list_id)
        self.exports = exports
        self.changed.set()

    def listed(self, list_id: str) -> ListView | None:
        """Return the list's jobs as they are now; None when no job exports to it."""
        return self.exports.lists.get(list_id)

    def partition(self, partition: int) -> OwnedPartition:
        """Return a partition that is owned. Raises Revoked."""
        owned = self.owned.get(partition)
        if owned is None:
            raise Revoked(f"partition {partition} is not owned")
        return owned

    def people_on(self, list_id: str) -> int:
        """Return how many people a list holds for us: the owned partitions are an even sample of all."""
        people = sum(owned.receipts.people[list_id] for owned in self.owned.values())
        return people * self.partitions // max(1, len(self.owned))

    def has_request(self, partition: int, key: bytes) -> Callable[[str], bool]:
        """Return a predicate of list ids: is a request with this person to that list under way?"""

        def under_way(list_id: str) -> bool:
            opened = self.open.get(list_id)
            return opened is not None and opened.queue.has_request((partition, key))

        return under_way

    def touch(
        self, partition: int, key: bytes, row: MembershipRow, now: float, *, outcome_unknown: bool = False
    ) -> None:
        """A row was written and is due: queue the person for every list that it may concern, or transfer the row."""
        if row.leaving:
            self.freeze(partition, key)
            return
        for opened in self.open.values():
            listed = self.listed(opened.list_id)
            if listed is not None and listed.running and _may_concern(row, listed):
                opened.touch(partition, key, now, outcome_unknown=outcome_unknown)

    def only_list_of(self, partition: int, key: bytes, row: MembershipRow) -> OpenList | None:
        """Return the list that a due row concerns; None: there are several, or one whose queue has the person."""
        concerned = [listed for listed in self.exports.lists.values() if _may_concern(row, listed)]
        if len(concerned) != 1 or not concerned[0].running:
            return None
        opened = self.open.get(concerned[0].list_id)
        return None if opened is None or (partition, key) in opened.queue else opened

    def stopped_lists(self, row: MembershipRow) -> list[str]:
        """Return the row's lists of which no job runs: nothing is sent to them."""
        running = {list_id for list_id, listed in self.exports.lists.items() if listed.running}
        return [list_id for list_id in row.lists if list_id not in running]

    def is_due_elsewhere(self, row: MembershipRow, person: RowKey, list_id: str) -> bool:
        """Whether a row is due for another list: its queue has the person, or it may have to be written when a job of
        it starts again."""
        known = {list_id, *row.settled}
        queued = any(person in other.queue and other.list_id not in known for other in self.open.values())
        return queued or any(
            listed.list_id != list_id and not listed.running and listed.list_id in row.lists
            for listed in self.exports.lists.values()
        )

    def freeze(self, partition: int, key: bytes) -> None:
        """A row waits to be transferred to another address."""
        if (owned := self.owned.get(partition)) is not None:
            owned.frozen.add(key)
            self.transfers_due.set()


def _may_concern(row: MembershipRow, listed: ListView) -> bool:
    if listed.list_id in row.lists or listed.list_id in row.claimants:
        return True
    return any(view.exports(audience) for view in listed.jobs for audience in row.audiences)
