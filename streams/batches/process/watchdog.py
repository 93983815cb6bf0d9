"""Ends the process when readable records wait and the committed offset on the broker does not move.

Measured from outside, by the broker's numbers and in a thread of its own: whatever hangs (the event loop, a fetch, a
commit, an agent) shows here, and nothing that hangs can hide it.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

import confluent_kafka
import structlog
from confluent_kafka import Consumer, TopicPartition

from connectors.kafka.client_config import consumer_config
from streams.batches.core.errors import ExitCode
from streams.batches.core.halt import halt
from streams.batches.core.settings import BatchSettings
from streams.batches.process.lag import GroupLag, Tp

log = structlog.get_logger(__name__)

REQUEST_SECONDS = 10.0


TURNS = 3
"""Times that another partition may go on while one waits for its turn. Each has one batch in work and one waiting, so
with fewer a partition that waits behind both would count as stalled; with more, one that hangs is noticed later."""


@dataclass(slots=True)
class Waiting:
    """A partition with records to read whose committed offset does not move."""

    offset: int
    since: float
    progress: float
    """When its offset, or another partition's in its turn, moved last."""
    turns: dict[Tp, int] = field(default_factory=dict)
    """How often others moved since."""


class StallRule:
    """Since when each partition has had records to read without its committed offset moving. Pure.

    Partitions share the process, and are served in turn: while others go on one may just wait. What another partition
    does counts for it TURNS times, so one that hangs beside others that work is stalled all the same.
    """

    def __init__(self, stall_seconds: float) -> None:
        self._stall_seconds = stall_seconds
        self._waiting: dict[Tp, Waiting] = {}
        self._committed: Mapping[Tp, int] = {}

    def observe(self, now: float, committed: Mapping[Tp, int], readable: Mapping[Tp, int]) -> dict[Tp, float]:
        """Return the partitions that are stalled, with the seconds since their own offset moved.

        `readable` is the last stable offset: behind it nothing can be read, and a transaction's
        markers before it are committed over by the consumer's position.
        """
        moved = [tp for tp, offset in committed.items() if self._committed.get(tp, offset) != offset]
        waiting: dict[Tp, Waiting] = {}
        for tp, end in readable.items():
            offset = committed.get(tp, -1)
            if offset >= end:
                continue
            before = self._waiting.get(tp)
            if before is None or before.offset != offset:
                before = Waiting(offset, now, now)
            for other in moved:
                if other != tp and before.turns.get(other, 0) < TURNS:
                    before.turns[other] = before.turns.get(other, 0) + 1
                    before.progress = now
            waiting[tp] = before
        self._waiting, self._committed = waiting, dict(committed)
        return {tp: now - one.since for tp, one in waiting.items() if now - one.progress >= self._stall_seconds}

    def reset(self) -> None:
        """Forget the time so far: while the broker did not answer nothing could be committed."""
        self._waiting, self._committed = {}, {}


def group_reader(settings: BatchSettings) -> Consumer:
    """A consumer that asks for offsets of the application's group, and does not join it."""
    config = consumer_config(settings.kafka, f"{settings.app_id}-watchdog", settings.app_id)
    # Reads single records here and there: nothing is fetched ahead.
    small = {"fetch.message.max.bytes": 4_096, "queued.min.messages": 1}
    return Consumer({**config, **small, "logger": logging.getLogger("librdkafka")})


class Watchdog:
    """The thread that compares the broker's numbers.

    It asks by a consumer of the application's group, which joins nothing. An admin client ends the process, by SIGABRT
    or SIGSEGV, where a broker restarts: when offsets are asked for while a partition has no leader, or the group no
    coordinator (librdkafka issue 5040).
    """

    def __init__(
        self,
        consumer: Any,
        owned: Callable[[], Collection[Tp]],
        stall_seconds: float,
        group: str,
        *,
        end_process: Callable[..., None] = halt,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._consumer = consumer
        self._owned = owned
        self._rule = StallRule(stall_seconds)
        self._interval = min(5.0, stall_seconds / 4)
        self.lag = GroupLag(consumer, group)
        self.problem: str | None = None
        """Why the offsets are not known, in a sentence; None: the brokers answered last time."""
        self._end_process = end_process
        self._clock = clock
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="watchdog", daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def stop(self) -> None:
        """Stop the thread."""
        self._stopping.set()

    def check(self) -> None:
        """Compare once, and end the process when a partition is stalled."""
        owned = sorted(self._owned())
        if not owned:
            self.lag.look({}, {})
            self._rule.reset()
            return
        try:
            bounds, committed = self._bounds(owned), self._committed(owned)
        except confluent_kafka.KafkaException as error:
            log.warning("watchdog: the broker does not answer", error=str(error))
            self.problem = f"no broker answers: {error}"
            self._rule.reset()
            return
        self.problem = None
        readable = {tp: end for tp, (_first, end) in bounds.items()}
        self.lag.look({tp: max(first, committed.get(tp, -1)) for tp, (first, _end) in bounds.items()}, readable)
        stalled = self._rule.observe(self._clock(), committed, readable)
        if stalled and not self._stopping.is_set() and set(stalled) & set(self._owned()):
            text = ", ".join(
                f"{topic}[{p}] at {committed.get((topic, p), -1)} of {readable[topic, p]} for {seconds:.0f} s"
                for (topic, p), seconds in sorted(stalled.items())
            )
            self._end_process(ExitCode.STALLED, f"readable records wait and nothing is committed: {text}", stacks=True)

    def _bounds(self, owned: Collection[Tp]) -> dict[Tp, tuple[int, int]]:
        return {tp: self._consumer.get_watermark_offsets(TopicPartition(*tp), REQUEST_SECONDS) for tp in owned}

    def _committed(self, owned: Collection[Tp]) -> dict[Tp, int]:
        found = self._consumer.committed([TopicPartition(*tp) for tp in owned], REQUEST_SECONDS)
        return {(tp.topic, tp.partition): tp.offset for tp in found if tp.offset >= 0}

    def _run(self) -> None:
        while not self._stopping.wait(self._interval):
            try:
                self.check()
            except Exception as error:
                log.warning("watchdog", error=repr(error))
                self._rule.reset()
        self._consumer.close()
