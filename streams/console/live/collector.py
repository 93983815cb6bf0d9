"""What all live pages show, read once for all of them: lags, ends of topics, and how many dead letters wait."""

import asyncio
import contextlib
import time
from collections import Counter, deque
from collections.abc import Callable, Mapping, Sequence
from types import TracebackType
from typing import Self

import structlog
from confluent_kafka import KafkaException

from connectors.kafka.read_to_end import ReadError
from connectors.kafka.settings import KafkaSettings
from streams.console.reads import Reads
from streams.control.flows import FlowReader, FlowReading
from streams.control.letters import LetterCount
from streams.dead_letters.letters import ReplayError

log = structlog.get_logger(__name__)

READ_SECONDS = 5.0
"""Between two readings while somebody looks. Each asks the brokers a few questions, however many pages are open."""
IDLE_SECONDS = 30.0
"""Between two readings while nobody looks; plots show what was meanwhile."""
YOUNG_SECONDS = 10.0
"""A request is answered with a reading up to so old, and waits for the next one otherwise."""
MAX_AGE_SECONDS = 60.0
"""Where the next one does not come in time, a reading up to so old is the answer: its time is in it."""
LOOKED_SECONDS = 60.0
"""After a page was opened or a live part sent somebody looks for so long."""
KEPT = 360
"""Readings that plots show: half an hour."""
RATE_SECONDS = 30.0
"""Rates are over so long: shorter, and a batch now and then looks like a rate that jumps."""
COUNT_SECONDS = 30.0
"""Between two counts of dead letters: each reads what is new, all that wait where some were replayed."""


class FlowCollector:
    """`async with` it as long as the process runs. `reading` is None until the first one."""

    def __init__(
        self,
        kafka: KafkaSettings,
        reads: Reads,
        clock: Callable[[], float] = time.time,
        reader: FlowReader | None = None,
    ) -> None:
        self._kafka = kafka
        self._reads = reads
        self._clock = clock
        self._reader = reader
        self._readings: deque[tuple[float, Mapping[tuple[str, str, int | None], int]]] = deque(maxlen=KEPT)
        self._recent: deque[FlowReading] = deque()
        self._collecting: asyncio.Task[None] | None = None
        self._changed = asyncio.Event()
        self._wanted = asyncio.Event()
        self._looked_at = float("-inf")
        self._counted_at = 0.0
        self.changes = 0
        """How often something was read, or could not be."""
        self.letters: Sequence[LetterCount] | None = None
        """Dead letters that wait, the most first; None before the first count is over."""
        self.problem = False
        """Whether the last reading failed: what is shown is from before."""
        self.closed = False

    @property
    def reading(self) -> FlowReading | None:
        """The newest reading."""
        return self._recent[-1] if self._recent else None

    @property
    def before(self) -> FlowReading | None:
        """The reading that rates are counted from; None before there are two."""
        return self._recent[0] if len(self._recent) > 1 else None

    def history(self, group: str, topic: str, partition: int | None = None) -> list[tuple[float, float]]:
        """Return how far a group was behind, by time: in a partition, or in a topic."""
        key = group, topic, partition
        return [(at, float(lags[key])) for at, lags in self._readings if key in lags]

    def look(self) -> None:
        """Somebody looks: readings come more often, and where they were rare one is made at once."""
        self._looked_at = self._clock()
        self._wanted.set()

    async def recent(self) -> FlowReading:
        """Return the newest reading; wait for the next one where it is old, as long as a read may take.

        Raises ReadError: no broker answers, or there is no reading of the last MAX_AGE_SECONDS.
        """
        self.look()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._reads.seconds):
                while self._reads.problem is None and not self._is_of_last(YOUNG_SECONDS):
                    await self.change()
        if self.reading is None or self._reads.problem is not None or not self._is_of_last(MAX_AGE_SECONDS):
            raise ReadError("lags could not be read")
        return self.reading

    async def change(self) -> None:
        """Wait for the next reading, failed or not, or for the end."""
        await self._changed.wait()

    async def __aenter__(self) -> Self:
        self._collecting = asyncio.create_task(self._collect(), name="console-collector")
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.end()
        if self._collecting is not None:
            self._collecting.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._collecting
        if self._reader is not None:
            await asyncio.to_thread(self._reader.close)

    def _is_of_last(self, seconds: float) -> bool:
        return self.reading is not None and self._clock() - self.reading.at <= seconds

    def end(self) -> None:
        """End all live pages: the process stops."""
        self.closed = True
        self._wake()

    async def _collect(self) -> None:
        while True:
            try:
                await self._read()
            except (ReadError, ReplayError, KafkaException, TimeoutError) as failure:
                if not self.problem:
                    log.warning("lags not read", reason=type(failure).__name__)
                self.problem = True
            self._wake()
            await self._pause()

    async def _pause(self) -> None:
        """Wait until another reading is due."""
        await asyncio.sleep(READ_SECONDS)
        if self._clock() - self._looked_at < LOOKED_SECONDS:
            return
        self._wanted.clear()
        # Not wait_for, which loses the cancellation of a stop that comes while somebody begins to look.
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(IDLE_SECONDS - READ_SECONDS):
                await self._wanted.wait()

    async def _read(self) -> None:
        if self._reader is None:
            self._reader = await self._reads.of(lambda: FlowReader(self._kafka))
        reader, now = self._reader, self._clock()
        self.keep(await self._reads.of(lambda: reader.read(now)))
        if now - self._counted_at >= COUNT_SECONDS:
            self.letters = await self._reads.of(reader.letters)
            self._counted_at = now

    def keep(self, reading: FlowReading) -> None:
        """Have a reading shown."""
        self.problem = False
        self._recent.append(reading)
        while len(self._recent) > 2 and self._recent[1].at <= reading.at - RATE_SECONDS:
            self._recent.popleft()
        lags: Counter[tuple[str, str, int | None]] = Counter()
        for lag in reading.lags:
            lags[lag.group, lag.topic, lag.partition] = lag.lag
            lags[lag.group, lag.topic, None] += lag.lag
        self._readings.append((reading.at, lags))

    def _wake(self) -> None:
        self.changes += 1
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()
