"""How far the group is behind on the partitions of this process, in records and in seconds, as metrics."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import confluent_kafka
from confluent_kafka import TopicPartition

from streams.batches.core.metrics import Metrics

Tp = tuple[str, int]

READ_SECONDS = 2.0
"""For the oldest unread records of all partitions together; the age of what has not come by then is estimated."""
RECORDS, SECONDS = "cm_streams_consumer_lag_records", "cm_streams_consumer_lag_seconds"


@dataclass(frozen=True, slots=True)
class Behind:
    """Where a partition's group is: the next offset it would read, records behind that, and since when they wait."""

    offset: int
    records: int
    since: float
    """Unix time of the oldest of them; of the first look at them where that could not be read."""
    exact: bool


class GroupLag:
    """The lag of one group. `look` blocks and is called from a thread; numbers are read at each scrape from any."""

    def __init__(self, consumer: Any, group: str, clock: Callable[[], float] = time.time) -> None:
        """`consumer` joins nothing; partitions are assigned to it for a moment, to read the oldest unread record."""
        self._consumer = consumer
        self._group = group
        self._clock = clock
        self._behind: dict[Tp, Behind] = {}
        self._shown: set[Tp] = set()

    def look(self, positions: Mapping[Tp, int], readable: Mapping[Tp, int]) -> None:
        """Record the lag of all partitions that are owned; others are forgotten.

        `positions`: the next offset of each, `readable`: its last stable offset.
        """
        now, before = self._clock(), self._behind
        behind = {
            tp: known
            if (known := before.get(tp)) is not None and known.offset == position and known.exact and known.records
            else Behind(position, 0, known.since if known and known.offset == position else now, exact=False)
            for tp, position in positions.items()
        }
        unread = {
            tp: positions[tp] for tp, end in readable.items() if end > positions.get(tp, end) and not behind[tp].exact
        }
        times = self._times_of(unread) if unread else {}
        self._behind = {
            tp: Behind(
                known.offset,
                max(0, readable.get(tp, 0) - known.offset),
                times.get(tp, known.since),
                known.exact or tp in times,
            )
            for tp, known in behind.items()
        }

    def seconds(self) -> float:
        """Return the age of the oldest record of all that is not committed; 0 without one."""
        return max((self._age(behind) for behind in self._behind.values()), default=0.0)

    def measure(self, metrics: Metrics) -> None:
        """Write the numbers as they are now, and remove those of partitions that have moved away."""
        found = self._behind
        for topic, partition in self._shown - found.keys():
            for name in (RECORDS, SECONDS):
                metrics.forget(name, group=self._group, topic=topic, partition=partition)
        for (topic, partition), behind in found.items():
            labels = {"group": self._group, "topic": topic, "partition": partition}
            metrics.gauge(RECORDS, behind.records, **labels)
            metrics.gauge(SECONDS, self._age(behind), **labels)
        self._shown = set(found)

    def _age(self, behind: Behind) -> float:
        return max(0.0, self._clock() - behind.since) if behind.records else 0.0

    def _times_of(self, unread: Mapping[Tp, int]) -> dict[Tp, float]:
        """Return the Unix times of the first readable records from these offsets on, as far as they could be read."""
        found: dict[Tp, float] = {}
        deadline = time.monotonic() + READ_SECONDS
        try:
            self._consumer.assign([TopicPartition(*tp, offset) for tp, offset in unread.items()])
            while len(found) < len(unread) and (left := deadline - time.monotonic()) > 0:
                for message in self._consumer.consume(len(unread), min(left, 0.1)):
                    if message.error() is None:
                        found.setdefault((message.topic(), message.partition()), message.timestamp()[1] / 1000)
        except confluent_kafka.KafkaException:
            pass  # its age is estimated, and the next look tries again
        finally:
            self._consumer.unassign()
        return found
