"""What workers of one account report to each other about its rate limit, so that all slow down when one has to.

Each worker has its own limiter, which learns from headers and refusals. What it learned it writes to the internal
state topic, one record per account and worker, at most once a second and only while it is limited; the others merge
it, and the stricter report counts. Reports age, so a worker that has ended is forgotten by itself.
"""

import asyncio
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict

import orjson
import structlog

from connectors.campaign_monitor.limits.allowance import RateLimitReport
from connectors.campaign_monitor.limits.limiter import Limiter
from streams.batches import BatchError, Output
from streams.export.table import RecordPublisher

log = structlog.get_logger(__name__)

LIMITS = b"limits/"
REPORT_SECONDS = 1.0
# Older reports are about a limit that has moved on; compaction keeps a dead worker's last one for ever.
FORGET_SECONDS = 60.0


class SharedLimits:
    """Exchanges one worker's knowledge with the others'."""

    def __init__(
        self,
        topic: str,
        worker: str,
        publisher: RecordPublisher,
        limiters: Callable[[], Mapping[str, Limiter]],
        wall: Callable[[], float] = time.time,
    ) -> None:
        """`worker`: a name that no other worker has."""
        self._topic = topic
        self._worker = worker
        self._publisher = publisher
        self._limiters = limiters
        self._wall = wall
        self._last: dict[str, tuple[float, int | None]] = {}

    async def run(self) -> None:
        """Report to the others, until cancelled."""
        while True:
            await asyncio.sleep(REPORT_SECONDS)
            try:
                await self.report()
            except BatchError as error:
                log.info("limits not reported", error=str(error))

    async def report(self) -> None:
        """Publish what is known now, if it limits and was not published last."""
        outputs: list[Output] = []
        for authorization, limiter in self._limiters().items():
            known = limiter.report()
            limits = known.pause > 0 or known.interval > 0 or known.remaining is not None
            summary = (round(known.pause + known.interval, 2), known.remaining)
            if limits and self._last.get(authorization) != summary:
                self._last[authorization] = summary
                key = LIMITS + f"{authorization}/{self._worker}".encode()
                outputs.append(Output(self._topic, key, orjson.dumps({"worker": self._worker, **asdict(known)})))
        if outputs:
            await self._publisher.publish_all(outputs)

    def merge(self, key: bytes, value: bytes | None) -> None:
        """Merge a record of the state topic; what is not about limits, our own and old reports are ignored."""
        if value is None or not key.startswith(LIMITS):
            return
        body = orjson.loads(value)
        worker = body.pop("worker")
        authorization = key.removeprefix(LIMITS).decode().rpartition("/")[0]
        limiter = self._limiters().get(authorization)
        if worker == self._worker or limiter is None or self._wall() - body["at"] > FORGET_SECONDS:
            return
        limiter.merge_report(RateLimitReport(**body))
