"""How records flow: ends of topics, lags of groups, and since when the oldest unread record of a group waits."""

import threading
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple, Self

from confluent_kafka import Consumer

from connectors.kafka.lag import LagReader, PartitionLag
from connectors.kafka.read_to_end import EndReader, ReadError, TopicAndPartition, reader_config
from connectors.kafka.settings import KafkaSettings
from schemas.dead_letter import SUFFIX
from schemas.topics import TOPICS

LagKey = tuple[str, str, int]
"""Group, topic, partition."""
MAX_LOOKS = 8
"""Partitions whose first unread record is looked at in one reading: those with the largest lag. Each costs a fetch."""
LOOK_SECONDS = 2.0
CLOSE_SECONDS = 2.0
COUNT_SECONDS = 3.0
"""For counting small lags exactly; a reading is repeated every few seconds."""


class FlowReading(NamedTuple):
    """What the brokers hold at one moment."""

    at: float
    """Unix time in seconds."""
    ends: Mapping[str, int]
    """Role of a topic -> the sum of its partitions' ends."""
    lags: Sequence[PartitionLag]
    since: Mapping[LagKey, float]
    """When the first record was appended that the group has not read, Unix time in seconds; where it is known."""

    def lag(self, *topics: str) -> int:
        """Return how many records of topics the group has not read that is behind the most."""
        behind: Counter[str] = Counter()
        for lag in self.lags:
            behind[lag.group] += lag.lag if lag.topic in topics else 0
        return max(behind.values(), default=0)

    def oldest(self, *topics: str) -> float | None:
        """Return since when the oldest record of topics waits for a group; None: nothing waits, or it is not known."""
        return min((at for (_group, topic, _partition), at in self.since.items() if topic in topics), default=None)


class FlowReader:
    """Reads of one cluster, again and again over the same connections. Every call blocks."""

    def __init__(self, kafka: KafkaSettings) -> None:
        self._roles = {name: role for role, name in _flowing(kafka)}
        self._lags = LagReader(kafka, count_seconds=COUNT_SECONDS)
        self._consumer = Consumer(
            {**reader_config(kafka, "flows"), "max.partition.fetch.bytes": 65_536, "log_level": 0}
        )
        self._times: dict[tuple[TopicAndPartition, int], float] = {}
        self._reading = threading.Lock()
        """A reading whose caller waits no more goes on; another one waits for it."""

    def read(self, now: float) -> FlowReading:
        """Return how it is now. Raises KafkaException, ReadError."""
        with self._reading:
            lags = self._lags.read(topics=self._roles)
            ends = {self._roles[topic]: end for topic, end in self._lags.ends(self._roles).items()}
            return FlowReading(now, ends, lags, self._since(lags))

    def close(self) -> None:
        """End the connections; a reading that hangs keeps them until the process ends."""
        if self._reading.acquire(timeout=CLOSE_SECONDS):
            self._lags.close()
            self._consumer.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _since(self, lags: Sequence[PartitionLag]) -> dict[LagKey, float]:
        """Look at the first unread records of the largest lags; what was looked at before is known."""
        behind = sorted((lag for lag in lags if lag.lag), key=lambda lag: -lag.lag)[:MAX_LOOKS]
        places = {(TopicAndPartition(lag.topic, lag.partition), max(lag.start, lag.committed or 0)) for lag in behind}
        self._times = {place: at for place, at in self._times.items() if place in places}
        for part, offset in places - self._times.keys():
            if (at := self._time_of(part, offset)) is not None:
                self._times[part, offset] = at
        found = {}
        for lag in behind:
            place = TopicAndPartition(lag.topic, lag.partition), max(lag.start, lag.committed or 0)
            if place in self._times:
                found[lag.group, lag.topic, lag.partition] = self._times[place]
        return found

    def _time_of(self, part: TopicAndPartition, offset: int) -> float | None:
        """Return when the first record from an offset on was appended; None where it does not come in time."""
        reader = EndReader(self._consumer, deadline_seconds=LOOK_SECONDS)
        try:
            reader.assign([part], {part: offset}, {part: offset + 1})
            while reader.open:
                for messages in reader.poll(1).values():
                    return float(messages[0].timestamp()[1]) / 1_000
        except ReadError:
            pass
        finally:
            self._consumer.unassign()
        return None


def rates(before: FlowReading, now: FlowReading) -> dict[str, float]:
    """Return records a second by role of the topic, between two readings (pure); none where time did not pass."""
    seconds = now.at - before.at
    if seconds <= 0:
        return {}
    return {
        role: max(0.0, (end - before.ends[role]) / seconds) for role, end in now.ends.items() if role in before.ends
    }


def reading_faults(lags: Iterable[PartitionLag]) -> list[tuple[str, str, str]]:
    """Return group, topic and sentence for places that are lost or beyond the end (pure), each topic once."""
    found: dict[tuple[str, str], str] = {}
    for lag in lags:
        if note := lag_note(lag):
            found.setdefault((lag.group, lag.topic), note)
    return [(group, topic, note) for (group, topic), note in found.items()]


def lag_note(lag: PartitionLag) -> str:
    """Return what is wrong with a group's place, if anything (pure)."""
    if lag.beyond:
        return "behind the end: the topic was recreated or truncated"
    if lag.lost:
        return f"{lag.lost} records expired before they were read"
    return ""


def _flowing(kafka: KafkaSettings) -> list[tuple[str, str]]:
    """The topics through which records flow: role and name. Dead letters are read by people only."""
    names = kafka.names()
    return [(role, names[role]) for role in TOPICS if not role.endswith(SUFFIX)]
