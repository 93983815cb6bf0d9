"""The sweep of one partition for one list: finds the people who are due without an event having said so.

A new job with existing users, a changed mapping, a renamed audience, lost values, a removed guard: all of them make
rows due by what they change in the wanted state. The partition's rows are walked in key order, a bounded number at a
time, behind live changes; how far it got is kept in the checkpoint, so a crash goes on from there.
"""

import asyncio
from collections import deque
from collections.abc import Callable

import structlog

from streams.batches import Revoked
from streams.delivery.codec import CHECKPOINT_KEY
from streams.delivery.ports import Rows
from streams.delivery.sender import ListSender
from streams.domain.catalogue import Catalogue
from streams.domain.desired import wanted
from streams.domain.exports import ListView
from streams.domain.routing import is_due
from streams.domain.rows import Row
from streams.domain.settlement import answers_owed

log = structlog.get_logger(__name__)

# Rows looked at between two turns of the event loop: at 20 microseconds each, live changes wait 10 ms at most.
STEP = 500


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
    """Walks one partition for one list."""

    def __init__(
        self,
        rows: Rows,
        partition: int,
        sender: ListSender,
        listed: Callable[[], ListView | None],
        catalogue: Catalogue,
        *,
        most: int,
        after: bytes | None = None,
        progress: Callable[[str, bytes | None], None],
    ) -> None:
        """`after`: where an earlier owner got to; `progress(revision, key)` keeps where we are, None = complete."""
        self._rows = rows
        self._partition = partition
        self._sender = sender
        self._listed = listed
        self._catalogue = catalogue
        self._most = most
        self._after = after
        self._progress = progress
        self._steps: deque[tuple[bytes, list[bytes]]] = deque()
        self.found = 0

    async def run(self) -> None:
        """Walk once; begins anew when the jobs change meanwhile. Returns when everything found has been settled."""
        listed = self._listed()
        while listed is not None:
            revision = listed.revision
            try:
                complete = await self._walk(listed)
            except Revoked:
                return
            listed = self._listed()
            if complete and listed is not None and listed.revision == revision:
                self._progress(revision, None)
                if self.found:
                    log.info("sweep done", list_id=listed.list_id, partition=self._partition, found=self.found)
                return
            self._after = None
            self._steps.clear()

    async def _walk(self, listed: ListView) -> bool:
        async for rows in self._rows.scan(self._partition, after=self._after, step=STEP):
            found: list[bytes] = []
            for row in rows:
                if row.key == CHECKPOINT_KEY or not row.exists:
                    continue
                if due_by_state(row.data, row.key.decode(), listed, self._catalogue):
                    found.append(row.key)
                    self._sender.touch(self._partition, row.key, live=False, unsure=row.data.due)
            self.found += len(found)
            self._steps.append((rows[-1].key, found))
            if not await self._settled(listed, self._most):
                return False
            self._note(listed.revision)
        return await self._settled(listed, 0)

    def _note(self, revision: str) -> None:
        """Keep how far everybody has been settled: a crash begins again behind that."""
        queue = self._sender.queue
        while self._steps and not any((self._partition, key) in queue for key in self._steps[0][1]):
            self._after = self._steps.popleft()[0]
        if self._after is not None:
            self._progress(revision, self._after)

    async def _settled(self, listed: ListView, most: int) -> bool:
        """Wait until no more than `most` people of the sweep wait. False when the jobs changed."""
        while True:
            now = self._listed()
            if now is None or now.revision != listed.revision:
                return False
            if self._sender.queue.background_of(self._partition) <= most:
                return True
            await asyncio.sleep(0.05)
