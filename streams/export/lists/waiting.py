"""What waits in this worker for its delivery, reported to whoever looks: how many people, and since when the oldest.

Only who waits for longer than a moment is reported, so that a worker that keeps up writes nothing; a record every few
seconds while somebody does, and a tombstone when nobody does any more. A worker that was killed leaves a report behind,
which nobody counts once it is old.
"""

import time
from collections.abc import Callable, Mapping

from streams.batches import Output
from streams.export.lists.shared_state import keep_reporting
from streams.export.rules.waiting import WAITING, WaitingReport
from streams.export.state import OpenList
from streams.export.table import RecordPublisher

REPORT_SECONDS = 5.0
"""Between two reports, and how long somebody waits before it is worth one."""


class WaitingReports:
    """Publishes what waits in the queues of a worker's open lists."""

    def __init__(
        self,
        topic: str,
        worker: str,
        publisher: RecordPublisher,
        lists: Mapping[str, OpenList],
        clock: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
    ) -> None:
        """`worker`: a name that no other worker has. `clock`: of the queues."""
        self._topic = topic
        self._key = WAITING + worker.encode()
        self._publisher = publisher
        self._lists = lists
        self._clock = clock
        self._wall = wall
        self._reported = False

    async def run(self) -> None:
        """Report until cancelled."""
        await keep_reporting(self.report, REPORT_SECONDS, "people who wait not reported")

    async def report(self) -> None:
        """Publish who waits, if somebody does for long; once that nobody does any more."""
        queues = [opened.queue for opened in self._lists.values()]
        since = min((at for queue in queues if (at := queue.oldest_since()) is not None), default=None)
        now, wall = self._clock(), self._wall()
        if since is None or now - since < REPORT_SECONDS:
            if self._reported:
                await self._publisher.publish_all([Output(self._topic, self._key, None)])
                self._reported = False
            return
        people = sum(len(queue) for queue in queues)
        found = WaitingReport(people, int((wall - now + since) * 1_000), int(wall * 1_000))
        await self._publisher.publish_all([Output(self._topic, self._key, found.to_bytes())])
        self._reported = True
