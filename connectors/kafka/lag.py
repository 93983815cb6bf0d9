"""How far consumers are behind, counted in records that they could read.

The end of a partition is no measure on topics that are written in transactions: the markers that end a transaction take
offsets and are never delivered, so that a consumer that has read everything seems one record behind for ever. And what
lies behind an open transaction cannot be read yet. So a committed offset is compared with the last stable offset, and
where only little lies between the two, it is looked at.
"""

import time
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Self

from confluent_kafka import (
    Consumer,
    ConsumerGroupTopicPartitions,
    IsolationLevel,
    KafkaError,
    TopicPartition,
)
from confluent_kafka.admin import AdminClient, OffsetSpec

from connectors.kafka.client_config import admin_config
from connectors.kafka.read_to_end import EndReader, ReadError, TopicAndPartition, pages, reader_config
from connectors.kafka.settings import KafkaSettings

REQUEST_SECONDS = 15.0
COUNT_SECONDS = 10.0
"""For counting all small differences of one read; what is left then is shown as it is, and not as exact."""
AGAIN_SECONDS = 0.2
"""Before partitions whose leader changes are asked for again."""
LOOK_WITHIN = 1_000
"""A difference up to this is counted exactly, by reading it. Above, markers hardly matter, and reading is dear."""


@dataclass(frozen=True, slots=True, order=True)
class PartitionLag:
    """A group's place in one partition.

    `committed` is the next offset the group would read, None before its first commit. `start` and `stable_end` bound
    what can be read. `lag` counts readable records, and is `exact` unless there are so many that holes were not looked
    for. `lost` counts records that retention removed unread. `beyond`: the committed offset is greater than the end
    offset, so the topic was deleted and created again, or truncated.
    """

    group: str
    topic: str
    partition: int
    committed: int | None
    start: int
    stable_end: int
    lag: int
    exact: bool
    lost: int = 0
    beyond: bool = False


def measure(group: str, topic: str, partition: int, committed: int | None, start: int, stable_end: int) -> PartitionLag:
    """Return the lag by offsets alone (pure): exact when it is zero, else what it is at most."""
    place = start if committed is None else committed
    return PartitionLag(
        group=group,
        topic=topic,
        partition=partition,
        committed=committed,
        start=start,
        stable_end=stable_end,
        lag=max(0, stable_end - max(place, start)),
        exact=place >= stable_end or start >= stable_end,
        lost=max(0, start - place),
        beyond=place > stable_end,
    )


class LagReader:
    """Asks the brokers for lags. Keeps its connections and can be asked every few seconds; every call blocks."""

    def __init__(self, settings: KafkaSettings, *, count_seconds: float = COUNT_SECONDS) -> None:
        self._count_seconds = count_seconds
        quiet = {"log_level": 0}
        self._admin = AdminClient({**admin_config(settings, "lag"), **quiet})
        # Looks at a few records here and there: small fetches, and an answer at once.
        small = {"max.partition.fetch.bytes": 1_048_576}
        self._consumer = Consumer({**reader_config(settings, "lag"), **small, **quiet})

    def groups(self) -> list[str]:
        """Return the names of all consumer groups that the brokers know."""
        answer = self._admin.list_consumer_groups(request_timeout=REQUEST_SECONDS).result(REQUEST_SECONDS)
        return sorted(group.group_id for group in answer.valid)

    def read(
        self, groups: Iterable[str] | None = None, *, topics: Collection[str] | None = None, exact: bool = True
    ) -> list[PartitionLag]:
        """Return the lags of groups (all of them without a choice), in order; of certain topics where named.

        With `exact`, small differences are read and counted. Blocks.

        Raises:
            KafkaException: the brokers did not answer.
        """
        asked = self.groups() if groups is None else list(groups)
        committed = self._places(asked, topics)
        parts = sorted({(topic, partition) for _, topic, partition in committed})
        starts = self._offsets(parts, OffsetSpec.earliest())
        ends = self._offsets(parts, OffsetSpec.latest())
        lags = [
            measure(group, topic, number, offset, starts[topic, number], ends[topic, number])
            for (group, topic, number), offset in committed.items()
            # A topic that was deleted leaves its groups' offsets behind for a while.
            if (topic, number) in starts and (topic, number) in ends
        ]
        return self._counted(lags) if exact else lags

    def close(self) -> None:
        """End the connections."""
        self._consumer.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _places(self, groups: Sequence[str], topics: Collection[str] | None) -> dict[tuple[str, str, int], int | None]:
        """Return the committed offset by (group, topic, partition), None where a group has not committed yet.

        A group's topics are those it has committed on and those its members are assigned, each with all partitions.
        """
        if not groups:
            return {}
        sizes = {
            name: len(topic.partitions)
            for name, topic in self._admin.list_topics(timeout=REQUEST_SECONDS).topics.items()
        }
        described = self._admin.describe_consumer_groups(list(groups), request_timeout=REQUEST_SECONDS)
        places: dict[tuple[str, str, int], int | None] = {}
        for group in sorted(groups):
            asked = self._admin.list_consumer_group_offsets([ConsumerGroupTopicPartitions(group)])
            answer: Any = asked[group].result(REQUEST_SECONDS)
            offsets = {(part.topic, part.partition): part.offset for part in answer.topic_partitions if not part.error}
            members = described[group].result(REQUEST_SECONDS).members
            assigned = {part.topic for member in members for part in (member.assignment.topic_partitions or ())}
            for topic in sorted(assigned | {name for name, _ in offsets}):
                if topics is not None and topic not in topics:
                    continue
                for partition in range(sizes.get(topic, 0)):
                    offset = offsets.get((topic, partition), -1)
                    places[group, topic, partition] = offset if offset >= 0 else None
        return places

    def _offsets(self, parts: Sequence[tuple[str, int]], which: OffsetSpec) -> dict[tuple[str, int], int]:
        """Return offsets by partition; those of topics that are gone are left out.

        The client does not repeat what was asked of a broker that leads a partition no more, or not yet.
        """
        found: dict[tuple[str, int], int] = {}
        deadline = time.monotonic() + REQUEST_SECONDS
        asked = list(parts)
        while asked:
            answers = self._admin.list_offsets(
                {TopicPartition(topic, partition): which for topic, partition in asked},
                isolation_level=IsolationLevel.READ_COMMITTED,
                request_timeout=REQUEST_SECONDS,
            )
            asked = []
            for part, future in answers.items():
                try:
                    found[part.topic, part.partition] = future.result(REQUEST_SECONDS).offset
                except Exception as failure:
                    code = _code_of(failure)
                    if code in _LEADER_CHANGES and time.monotonic() < deadline:
                        asked.append((part.topic, part.partition))
                    elif code != KafkaError.UNKNOWN_TOPIC_OR_PART:
                        raise
            if asked:
                time.sleep(AGAIN_SECONDS)
        return found

    def _counted(self, lags: Sequence[PartitionLag]) -> list[PartitionLag]:
        """Return the lags with small ones counted by reading. One reading serves all groups at the same offset."""
        counts: dict[tuple[str, int, int, int], int | None] = {}
        deadline = time.monotonic() + self._count_seconds
        result = []
        for group_lag in lags:
            if group_lag.exact or group_lag.lag > LOOK_WITHIN:
                result.append(group_lag)
                continue
            place = max(group_lag.start, group_lag.committed or 0)
            key = (group_lag.topic, group_lag.partition, place, group_lag.stable_end)
            if key not in counts:
                counts[key] = self._count(*key, deadline - time.monotonic())
            count = counts[key]
            result.append(group_lag if count is None else replace(group_lag, lag=count, exact=True))
        return result

    def _count(self, topic: str, partition: int, start: int, end: int, seconds: float) -> int | None:
        """Return how many records can be read from here to the end; None where they do not come in time."""
        if seconds <= 0:
            return None
        part = TopicAndPartition(topic, partition)
        reader = EndReader(self._consumer, deadline_seconds=seconds)
        try:
            reader.assign([part], {part: start}, {part: end})
            return sum(len(page) for page in pages(reader, LOOK_WITHIN))
        except ReadError:
            return None
        finally:
            self._consumer.unassign()


_LEADER_CHANGES = frozenset({KafkaError.NOT_LEADER_FOR_PARTITION, KafkaError.LEADER_NOT_AVAILABLE})


def _code_of(failure: Exception) -> int | None:
    error = failure.args[0] if failure.args else None
    return error.code() if isinstance(error, KafkaError) else None
