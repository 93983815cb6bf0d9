"""The backfill scan of one partition for one list: finds the people who are due without an event of their own.

A new job with existing users, a changed mapping, a renamed audience, lost values, a removed guard: all of them make
rows due by what they change in the desired state. The partition's rows are read in key order, a bounded number at a
time, behind live changes. How far it got is stored in the checkpoint, and how far it goes next before anything is
sent: so the next owner continues there after a crash, and knows the keys whose outcome is unknown though no row
records it.

Where many people of a step need a plain import, the step is one call, and their rows are written after it
(`sending/scan_calls.py`). Everybody else goes through the queue.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import NamedTuple, TypeVar

import structlog

from streams.batches import BatchError, Revoked, kill_point
from streams.batches import Row as TableRow
from streams.export.recovery.partitions import Partitions
from streams.export.recovery.takeover import CallNote, ScanMark
from streams.export.rules.desired import Membership, desired_subscriber, membership_of, was_exported
from streams.export.rules.jobs import AudienceNames, ListView
from streams.export.rules.routing import is_due
from streams.export.rules.row import MembershipRow
from streams.export.rules.settlement import pending_answers
from streams.export.sending.direct_calls import MIN_PEOPLE
from streams.export.sending.flat_calls import FlatPlans
from streams.export.sending.partition_rows import PartitionRows
from streams.export.sending.scan_calls import ScanCalls, note_of
from streams.export.settings import ExportSettings
from streams.export.state import ExportState, OpenList, OwnedPartition
from streams.export.table import CHECKPOINT_KEY, ExportRuntime

log = structlog.get_logger(__name__)
after_mark = kill_point("after-mark")

R = TypeVar("R")

# Rows of one call, and at a time of the owner.
STEP = 1000
TURN = 250
POLL_SECONDS = 0.05
# More calls that wait for their turn would only be older when they are made.
CALLS_AHEAD = 2
# How often in a row nobody of a step is of the common kind before the scan goes on without looking what the list keeps.
LOOKS = 2


def is_due_by_state(row: MembershipRow, email: str, listed: ListView, names: AudienceNames) -> bool:
    """Whether a list has to be written for the person, or a receipt is pending."""
    held = row.lists.get(listed.list_id)
    desired = desired_subscriber(row, email, listed, held, names.option_of)
    if desired is None:
        return False
    if not desired.present and held is None:
        return bool(pending_answers(row, listed))
    return is_due(held, desired) or bool(pending_answers(row, listed))


def _is_first(row: MembershipRow, listed: ListView) -> bool:
    """Whether the row does not record yet, for some job that exports the person, that a request may be made."""
    held = row.lists.get(listed.list_id)
    return held is None or any(
        not was_exported(view, held) and membership_of(row, view)[0] is Membership.PRESENT for view in listed.running
    )


class BackfillScans:
    """Runs the scans of all owned partitions and open lists."""

    def __init__(
        self,
        state: ExportState,
        runtime: ExportRuntime,
        rows: PartitionRows,
        partitions: Partitions,
        settings: ExportSettings,
        min_people: int = MIN_PEOPLE,
    ) -> None:
        """`min_people`: fewer of a step go through the queue."""
        self._state = state
        self.runtime = runtime
        self.partitions = partitions
        self.rows = rows
        self._max_waiting = settings.backfill_rows
        self.min_people = min_people
        self.calls = ScanCalls(state, runtime.rows, FlatPlans(state, settings.max_row_bytes), min_people)

    def start(self, owned: OwnedPartition) -> None:
        """Start a scan of the partition for each open list whose jobs' revision was not scanned completely."""
        for list_id, opened in self._state.open.items():
            listed = self._state.listed(list_id)
            running = owned.scans.get(list_id)
            if listed is None or not listed.running or (running is not None and not running.done()):
                continue
            known = owned.checkpoint.scans.get(list_id)
            if known is not None and known.revision == listed.revision:
                if known.after is None:
                    continue
                mark = known
            else:
                mark = ScanMark(listed.revision, "", "", known.open_range if known is not None else None)
            owned.scans[list_id] = asyncio.create_task(
                self._run(owned, opened, listed, mark), name=f"scan-{list_id}-{owned.number}"
            )

    async def _run(self, owned: OwnedPartition, opened: OpenList, listed: ListView, mark: ScanMark) -> None:
        scan = _Scan(self, owned, opened, listed)
        try:
            await scan.run(mark, self._state.names, self._max_waiting)
        except Revoked:
            return
        except BatchError as error:
            log.warning("scan interrupted", list_id=listed.list_id, partition=owned.number, error=str(error))
            await asyncio.sleep(1.0)
        self._state.changed.set()


class _Step(NamedTuple):
    """Rows that were read together."""

    last: str
    """The key of the last of them."""
    keys: Sequence[bytes]
    """Of those who are due."""
    note: CallNote | None


class _Scan:
    """Reads one partition for one list's jobs, once."""

    def __init__(self, scans: BackfillScans, owned: OwnedPartition, opened: OpenList, listed: ListView) -> None:
        runtime = scans.runtime
        self._scans = scans
        self._table = runtime.rows
        self._owner = runtime.owner
        self._clock = runtime.clocks.monotonic
        self._owned = owned
        self._opened = opened
        self._listed = listed
        self._unanswered = owned.unanswered.get(listed.list_id)
        self._steps: deque[_Step] = deque()
        """Those whose people are not all done."""

    async def run(self, mark: ScanMark, names: AudienceNames, max_waiting: int) -> None:
        """Read to the end; returns when every row that was found is done. Cancelled when the jobs change.

        `mark`: where to begin. Raises what reading and writing rows raise (`BatchError`).
        """
        owned, list_id = self._owned, self._listed.list_id
        notes = [note for note in owned.checkpoint.calls if note.list_id == list_id]
        await self._as_owner(lambda: self._scans.partitions.settle_notes(owned, notes, unknown=False))
        found = looks = 0
        start = mark.after.encode() if mark.after else None
        async for keys in self._table.keys(owned.number, after=start, step=STEP):
            mark = mark._replace(front=keys[-1].decode())
            people = [key for key in keys if key != CHECKPOINT_KEY]
            step = await self._as_owner(partial(self._begin, mark, people, names))
            self._steps.append(step)
            found += len(step.keys)
            mark = await self._wait(max_waiting, mark)
            looks = 0 if step.note is not None else looks + (len(step.keys) >= self._scans.min_people)
            if 0 < looks <= LOOKS:  # what the list keeps is known after its answer
                mark = await self._wait(0, mark)
        await self._wait(0, mark)
        done = ScanMark(self._listed.revision, None)
        await self._as_owner(lambda: self._scans.partitions.write_mark(owned, list_id, done))
        if found:
            log.info("scan done", list_id=list_id, partition=owned.number, found=found)

    async def _as_owner(self, job: Callable[[], Awaitable[R]]) -> R:
        return await self._owner.run_as_owner(self._owned.number, self._owned.generation, job)

    async def _begin(self, mark: ScanMark, keys: Sequence[bytes], names: AudienceNames) -> "_Step":
        """Plan a step, as the owner: one call, and who goes through the queue; both are known before they are sent."""
        owned, opened, unanswered = self._owned, self._opened, self._unanswered
        careful = {key for key in keys if unanswered is not None and unanswered.includes(key.decode())}
        call, others = self._scans.calls.plan(owned, opened, keys, careful, self._clock())
        note = None if call is None else note_of(call)
        due: list[tuple[bytes, bool]] = []
        first: list[bytes] = []
        for number, (key, blob) in enumerate(others):
            if number % TURN == TURN - 1:
                await asyncio.sleep(0)
            row = self._table.decoded(owned.number, key, blob)
            unknown = self._is_due(row, names)
            if unknown is not None:
                due.append((row.key, unknown))
                if _is_first(row.data, self._listed):
                    first.append(row.key)
        if note is not None:
            owned.checkpoint.calls.append(note)
        try:
            if due or note is not None:  # known before anything is sent
                await self._scans.partitions.write_mark(owned, self._listed.list_id, mark)
                after_mark()
            if first:
                await self._scans.rows.mark_attempted(owned, self._listed, first)
        except BaseException:
            if note is not None:
                owned.checkpoint.calls.remove(note)
            raise
        if call is not None:
            for person in call.queued:
                opened.queue.adopt(person)
            opened.direct.put_scanned(call)
            opened.wake.set()
        for key, unknown in due:
            opened.touch(owned.number, key, self._clock(), live=False, outcome_unknown=unknown)
        called = [] if call is None else [person.key for person in call.people]
        return _Step(mark.front, [*called, *(key for key, _ in due)], note)

    def _is_due(self, row: TableRow[MembershipRow], names: AudienceNames) -> bool | None:
        """Return None for a person who needs nothing, else whether the outcome of an earlier request is unknown."""
        key = row.key.decode()
        if self._unanswered is not None and self._unanswered.includes(key):
            held = row.data.lists.get(self._listed.list_id)
            desired = desired_subscriber(row.data, key, self._listed, held, names.option_of)
            return True if desired is not None else None
        # A message about a claim that came while every job of the list was stopped was not answered.
        claims = self._listed.list_id in row.data.claims or self._listed.list_id in row.data.claimants
        due = (claims and row.data.due) or is_due_by_state(row.data, key, self._listed, names)
        return (row.data.due and self._listed.list_id not in row.data.settled) if due else None

    async def _wait(self, max_waiting: int, mark: ScanMark) -> ScanMark:
        """Wait until at most so many people of the backfill wait; returns the mark after those who are done."""
        partition, queue, direct = self._owned.number, self._opened.queue, self._opened.direct
        while queue.background_of(partition) > max_waiting or direct.scanned_of(partition) >= CALLS_AHEAD:  # noqa: ASYNC110 - queues wake nobody
            await asyncio.sleep(POLL_SECONDS)
        while self._steps and not any((partition, key) in queue for key in self._steps[0].keys):
            step = self._steps.popleft()
            mark = mark._replace(after=step.last)
            if step.note is not None:
                self._owned.checkpoint.calls.remove(step.note)
        return mark
