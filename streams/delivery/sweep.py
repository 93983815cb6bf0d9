"""The sweep of one partition for one list: finds the people who are due without an event having said so.

A new job with existing users, a changed mapping, a renamed audience, lost values, a removed guard: all of them make
rows due by what they change in the wanted state. The partition's rows are walked in key order, a bounded number at a
time, behind live changes. How far it got is kept in the checkpoint, and how far it goes next before anything is sent:
so a crash goes on from there, and knows who may have been sent something that no row tells of.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable

import structlog

from streams.batches import Row as TableRow
from streams.delivery.codec import CHECKPOINT_KEY
from streams.delivery.ports import Rows
from streams.delivery.sender import ListSender
from streams.delivery.takeover import SweepMark, Window
from streams.domain.catalogue import Catalogue
from streams.domain.desired import wanted
from streams.domain.exports import ListView
from streams.domain.routing import is_due
from streams.domain.rows import Row
from streams.domain.settlement import answers_owed

log = structlog.get_logger(__name__)

# Rows looked at between two turns of the event loop: at 20 microseconds each, live changes wait 10 ms at most.
STEP = 500
LOOK_SECONDS = 0.05


def due_by_state(row: Row, email: str, listed: ListView, catalogue: Catalogue) -> bool:
    """Say whether a list should be told something about the person, or owes them a receipt."""
    held = row.lists.get(listed.list_id)
    want = wanted(row, email, listed, held, catalogue.name_of)
    if want is None:
        return False
    if not want.present and held is None:
        return bool(answers_owed(row, listed))
    return is_due(held, want) or bool(answers_owed(row, listed))


class Sweep:
    """Walks one partition for one list's jobs, once."""

    def __init__(
        self,
        rows: Rows,
        partition: int,
        sender: ListSender,
        listed: ListView,
        catalogue: Catalogue,
        mark: SweepMark,
        unsure: Window | None,
        keep: Callable[[SweepMark], Awaitable[None]],
        expect: Callable[[list[bytes]], Awaitable[None]],
        *,
        most: int,
    ) -> None:
        """`mark`: where to begin. `unsure`: people to whom a crashed predecessor may have sent something.

        `keep` makes a mark durable; `expect` notes in rows that a request may be made for them from here on.
        """
        self._rows = rows
        self._partition = partition
        self._sender = sender
        self._listed = listed
        self._catalogue = catalogue
        self._mark = mark
        self._unsure = unsure
        self._keep = keep
        self._expect = expect
        self._most = most
        self._steps: deque[tuple[str, list[bytes]]] = deque()

    async def run(self) -> None:
        """Walk to the end; returns when everybody who was found is settled. Cancelled when the jobs change."""
        found = 0
        start = self._mark.after
        async for rows in self._rows.scan(self._partition, after=start.encode() if start else None, step=STEP):
            people = [row for row in rows if row.key != CHECKPOINT_KEY and row.exists]
            due = [(row.key, unsure) for row in people if (unsure := self._is_due(row)) is not None]
            found += len(due)
            last = rows[-1].key.decode()
            self._mark = self._mark._replace(front=last)
            if due:
                await self._keep(self._mark)  # known before anything is sent
                chosen = {key for key, _ in due}
                first = [it.key for it in people if it.key in chosen and self._listed.list_id not in it.data.lists]
                if first:
                    await self._expect(first)
            for key, unsure in due:
                self._sender.touch(self._partition, key, live=False, unsure=unsure)
            self._steps.append((last, [key for key, _ in due]))
            await self._settled(self._most)
        await self._settled(0)
        await self._keep(SweepMark(self._listed.revision, None))
        if found:
            log.info("sweep done", list_id=self._listed.list_id, partition=self._partition, found=found)

    def _is_due(self, row: TableRow[Row]) -> bool | None:
        """Return None for who needs nothing, else whether something may have been sent to them already."""
        key = row.key.decode()
        if self._unsure is not None and self._unsure.holds(key):
            held = row.data.lists.get(self._listed.list_id)
            return True if wanted(row.data, key, self._listed, held, self._catalogue.name_of) is not None else None
        return row.data.due if due_by_state(row.data, key, self._listed, self._catalogue) else None

    async def _settled(self, most: int) -> None:
        """Wait until no more than `most` people of the backfill wait, and note how far everybody is settled."""
        queue = self._sender.queue
        while queue.background_of(self._partition) > most:  # noqa: ASYNC110 - queues wake nobody
            await asyncio.sleep(LOOK_SECONDS)
        while self._steps and not any((self._partition, key) in queue for key in self._steps[0][1]):
            self._mark = self._mark._replace(after=self._steps.popleft()[0])
