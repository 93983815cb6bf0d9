"""What workers of one account tell each other about its limit, so that all slow down when one is told to.

Each worker has its own limiter, which learns from headers and refusals. What it learned it writes to the internal
state topic, one record per account and worker, at most once a second and only while there is something to tell; the
others take it in, and the stricter word counts. Words age, so a worker that has gone is forgotten by itself.
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
from streams.delivery.ports import Publisher

log = structlog.get_logger(__name__)

LIMITS = b"limits/"
TELL_SECONDS = 1.0
# Older words are about a limit that has moved on; compaction keeps a dead worker's last one for ever.
FORGET_SECONDS = 60.0


class SharedLimits:
    """Exchanges one worker's knowledge with the others'."""

    def __init__(
        self,
        topic: str,
        worker: str,
        publisher: Publisher,
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

    async def tell(self) -> None:
        """Tell the others, until cancelled."""
        while True:
            await asyncio.sleep(TELL_SECONDS)
            try:
                await self.tell_once()
            except BatchError as error:
                log.info("limits not told", error=str(error))

    async def tell_once(self) -> None:
        """Tell what is known now, if it matters and the others have not heard it."""
        outputs: list[Output] = []
        for authorization, limiter in self._limiters().items():
            told = limiter.report()
            strict = told.pause > 0 or told.interval > 0 or told.remaining is not None
            word = (round(told.pause + told.interval, 2), told.remaining)
            if strict and self._last.get(authorization) != word:
                self._last[authorization] = word
                key = LIMITS + f"{authorization}/{self._worker}".encode()
                outputs.append(Output(self._topic, key, orjson.dumps({"worker": self._worker, **asdict(told)})))
        if outputs:
            await self._publisher.publish_all(outputs)

    def take(self, key: bytes, value: bytes | None) -> None:
        """Take a record of the state topic; others than limits, own words and old ones are none of ours."""
        if value is None or not key.startswith(LIMITS):
            return
        body = orjson.loads(value)
        worker = body.pop("worker")
        authorization = key.removeprefix(LIMITS).decode().rpartition("/")[0]
        limiter = self._limiters().get(authorization)
        if worker == self._worker or limiter is None or self._wall() - body["at"] > FORGET_SECONDS:
            return
        limiter.merge_report(RateLimitReport(**body))
