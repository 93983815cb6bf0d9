"""The backfill scan of one partition for one list: finds the people who are due without an event of their own.

A new job with existing users, a changed mapping, a renamed audience, lost values, a removed guard: all of them make
rows due by what they change in the desired state. The partition's rows are read in key order, a bounded number at a
time, behind live changes. How far it got is stored in the checkpoint, and how far it goes next before anything is
sent: so the next owner continues there after a crash, and knows the keys whose outcome is unknown though no row
records it.
"""

import asyncio
from collections import deque

import structlog

from streams.batches import BatchError, Revoked
from streams.batches import Row as TableRow
from streams.export.recovery.partitions import Partitions
from streams.export.recovery.takeover import ScanMark
from streams.export.rules.desired import Membership, desired_subscriber, membership_of, was_exported
from streams.export.rules.jobs import AudienceNames, ListView
from streams.export.rules.routing import is_due
from streams.export.rules.row import MembershipRow
from streams.export.rules.settlement import pending_answers
from streams.export.state import ExportState, OpenList, OwnedPartition
from streams.export.table import CHECKPOINT_KEY, ExportRuntime

log = structlog.get_logger(__name__)

# Rows read between two turns of the event loop: at 20 microseconds each, live changes wait 10 ms at most.
STEP = 500
POLL_SECONDS = 0.05


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

    def __init__(self, state: ExportState, runtime: ExportRuntime, partitions: Partitions, max_waiting: int) -> None:
        """`max_waiting`: people of a backfill held in memory per list and partition."""
        self._state = state
        self._runtime = runtime
        self._partitions = partitions
        self._max_waiting = max_waiting

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
        scan = _Scan(self._partitions, self._runtime, owned, opened, listed)
        try:
            await scan.run(mark, self._state.names, self._max_waiting)
        except Revoked:
            return
        except BatchError as error:
            log.warning("scan interrupted", list_id=listed.list_id, partition=owned.number, error=str(error))
            await asyncio.sleep(1.0)
        self._state.changed.set()


class _Scan:
    """Reads one partition for one list's jobs, once."""

    def __init__(
        self,
        partitions: Partitions,
        runtime: ExportRuntime,
        owned: OwnedPartition,
        opened: OpenList,
        listed: ListView,
    ) -> None:
        self._partitions = partitions
        self._rows = runtime.rows
        self._clock = runtime.clocks.monotonic
        self._owned = owned
        self._opened = opened
        self._listed = listed
        self._unanswered = owned.unanswered.get(listed.list_id)
        self._steps: deque[tuple[str, list[bytes]]] = deque()
        """(last key, keys that were due) of the steps whose people are not all done."""

    async def run(self, mark: ScanMark, names: AudienceNames, max_waiting: int) -> None:
        """Read to the end; returns when every row that was found is done. Cancelled when the jobs change.

        `mark`: where to begin. Raises what reading and writing rows raise (`BatchError`).
        """
        owned, list_id = self._owned, self._listed.list_id
        found = 0
        start = mark.after.encode() if mark.after else None
        async for rows in self._rows.scan(owned.number, after=start, step=STEP):
            people = [row for row in rows if row.key != CHECKPOINT_KEY and row.exists]
            due = [(row.key, unknown) for row in people if (unknown := self._is_due(row, names)) is not None]
            found += len(due)
            last = rows[-1].key.decode()
            mark = mark._replace(front=last)
            if due:
                await self._partitions.write_mark(owned, list_id, mark)  # known before anything is sent
                keys = {key for key, _ in due}
                first = [row.key for row in people if row.key in keys and _is_first(row.data, self._listed)]
                if first:
                    await self._partitions.mark_attempted(owned, self._listed, first)
            for key, unknown in due:
                self._opened.touch(owned.number, key, self._clock(), live=False, outcome_unknown=unknown)
            self._steps.append((last, [key for key, _ in due]))
            mark = await self._wait(max_waiting, mark)
        await self._wait(0, mark)
        await self._partitions.write_mark(owned, list_id, ScanMark(self._listed.revision, None))
        if found:
            log.info("scan done", list_id=list_id, partition=owned.number, found=found)

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
        partition, queue = self._owned.number, self._opened.queue
        while queue.background_of(partition) > max_waiting:  # noqa: ASYNC110 - queues wake nobody
            await asyncio.sleep(POLL_SECONDS)
        while self._steps and not any((partition, key) in queue for key in self._steps[0][1]):
            mark = mark._replace(after=self._steps.popleft()[0])
        return mark
