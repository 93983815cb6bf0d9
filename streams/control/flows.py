"""How records flow: ends of topics, lags of groups, and since when the oldest unread record of a group waits."""

import threading
import time
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple, Self

from confluent_kafka import Consumer, TopicPartition

from connectors.kafka.lag import Bounds, LagReader, PartitionLag
from connectors.kafka.read_to_end import EndReader, ReadError, TopicAndPartition, reader_config
from connectors.kafka.settings import KafkaSettings
from schemas.dead_letter import SUFFIX
from schemas.topics import TOPICS
from streams.control.letters import LetterCount
from streams.control.undelivered import UndeliveredReader
from streams.control.waiting_letters import WaitingLetters
from streams.export.rules.waiting import Undelivered

LagKey = tuple[str, str, int]
"""Group, topic, partition."""
UnreadPlace = tuple[TopicAndPartition, int]
"""A partition and an offset."""
LOOK_SECONDS = 2.0
"""For the first unread records of all partitions; those that do not come in time are looked at in the next reading."""
CLOSE_SECONDS = 2.0
ANSWER_SECONDS = 5.0
"""For one answer. A question that is lost while a broker is away for a moment is never answered, and the next reading,
in which it is asked again, waits for this one; a busy broker answers in one."""
COUNT_SECONDS = 3.0
"""For counting small lags exactly; a reading is repeated every few seconds."""
LOOK_WITHIN = 100
"""Larger lags are not counted: what changes at each reading would be read again and again."""


class FlowReading(NamedTuple):
    """What the brokers hold at one moment."""

    at: float
    """Unix time in seconds."""
    ends: Mapping[str, int]
    """Role of a topic -> the sum of its partitions' ends."""
    lags: Sequence[PartitionLag]
    since: Mapping[LagKey, float]
    """When the first record was appended that the group has not read, Unix time in seconds; where it is known."""
    undelivered: Undelivered = Undelivered()
    """What export workers have read, and not delivered."""

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
        self._lags = LagReader(
            kafka, count_seconds=COUNT_SECONDS, look_within=LOOK_WITHIN, request_seconds=ANSWER_SECONDS
        )
        self._letters = WaitingLetters(kafka)
        self._undelivered = UndeliveredReader(kafka)
        # Looks at one record each of many partitions: of what is fetched only the first is used.
        small = {"max.partition.fetch.bytes": 1_024, "queued.min.messages": 1, "log_level": 0}
        self._consumer = Consumer({**reader_config(kafka, "flows"), **small})
        self._times: dict[UnreadPlace, float] = {}
        self._bounds: Bounds = {}
        self._reading = threading.Lock()
        """A reading whose caller waits no more goes on; another one waits for it."""

    def read(self, now: float) -> FlowReading:
        """Return how it is now. Raises KafkaException, ReadError."""
        with self._reading:
            also = {*self._roles, *self._letters.topics.values()}
            lags, self._bounds = self._lags.look(topics=self._roles, also=also)
            ends: Counter[str] = Counter()
            for part, (_start, end) in self._bounds.items():
                if part.topic in self._roles:
                    ends[self._roles[part.topic]] += end
            undelivered = self._undelivered.read(self._bounds, now)
            return FlowReading(now, ends, lags, self._since(lags), undelivered)

    def letters(self) -> list[LetterCount]:
        """Return the dead letters that wait, the most first, as of the last reading. Raises ReplayError."""
        with self._reading:
            return self._letters.read(self._bounds)

    def close(self) -> None:
        """End the connections; a reading that hangs keeps them until the process ends."""
        if self._reading.acquire(timeout=CLOSE_SECONDS):
            for reader in (self._lags, self._letters, self._undelivered, self._consumer):
                reader.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _since(self, lags: Sequence[PartitionLag]) -> dict[LagKey, float]:
        """Look at the first unread record of each partition that is behind; what was looked at before is known."""
        places = {(lag.group, lag.topic, lag.partition): _first_unread(lag) for lag in lags if lag.lag}
        wanted = set(places.values())
        self._times = {place: at for place, at in self._times.items() if place in wanted}
        deadline = time.monotonic() + LOOK_SECONDS
        unknown = wanted - self._times.keys()
        while unknown and time.monotonic() < deadline:
            # Groups at different places of a partition are looked at one after the other.
            self._look(dict(unknown), deadline - time.monotonic())
            if not (found := unknown & self._times.keys()):
                break
            unknown -= found
        return {key: self._times[place] for key, place in places.items() if place in self._times}

    def _look(self, offsets: Mapping[TopicAndPartition, int], seconds: float) -> None:
        """Keep when the first record from an offset on was appended, where it comes in time."""
        reader = EndReader(self._consumer, deadline_seconds=seconds)
        try:
            reader.assign(offsets, offsets, {part: offset + 1 for part, offset in offsets.items()})
            while reader.open:
                found = reader.poll()
                for part, messages in found.items():
                    self._times.setdefault((part, offsets[part]), messages[0].timestamp()[1] / 1_000)
                if found and reader.open:
                    self._consumer.incremental_unassign([TopicPartition(*part) for part in found])
        except ReadError:
            pass
        finally:
            self._consumer.unassign()


def _first_unread(lag: PartitionLag) -> UnreadPlace:
    return TopicAndPartition(lag.topic, lag.partition), max(lag.start, lag.committed or 0)


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
