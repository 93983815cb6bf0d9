"""How far consumers are behind, counted in records that they could read.

The end of a partition is no measure on topics that are written in transactions: the markers that end a transaction take
offsets and are never delivered, so that a consumer that has read everything seems one record behind for ever. And what
lies behind an open transaction cannot be read yet. So a committed offset is compared with the last stable offset, and
where only little lies between the two, it is looked at.
"""

import time
from collections.abc import Collection, Iterable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from typing import Any, Self

from confluent_kafka import OFFSET_BEGINNING, OFFSET_END, Consumer, KafkaError, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient

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
    offset, so the topic was deleted and created again, or truncated. `owner`: client and host of the member that has
    the partition; empty: nobody has it.
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
    owner: str = ""


def measure(
    group: str, topic: str, partition: int, committed: int | None, start: int, stable_end: int, owner: str = ""
) -> PartitionLag:
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
        owner=owner,
    )


class LagReader:
    """Asks the brokers for lags. Keeps its connections and can be asked every few seconds; every call blocks.

    Offsets are asked for by consumers, a group's by one of its own that joins nothing: an admin client ends the process
    where a broker that has just started does not coordinate the group yet, or a partition has no leader (librdkafka
    issue 5040). Which groups there are, and what their members read, only an admin client is answered.
    """

    def __init__(self, settings: KafkaSettings, *, count_seconds: float = COUNT_SECONDS) -> None:
        self._settings = settings
        self._count_seconds = count_seconds
        self._admin = AdminClient({**admin_config(settings, "lag"), "log_level": 0})
        self._consumer = self._consumer_of(None)

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
            KafkaException, ReadError: the brokers did not answer.
        """
        asked = self.groups() if groups is None else list(groups)
        committed = self._places(asked, topics)
        parts = sorted({(topic, partition) for _, topic, partition in committed})
        starts = self._offsets(parts, OFFSET_BEGINNING)
        ends = self._offsets(parts, OFFSET_END)
        lags = [
            measure(group, topic, number, offset, starts[topic, number], ends[topic, number], owner)
            for (group, topic, number), (offset, owner) in committed.items()
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

    def ends(self, topics: Collection[str]) -> dict[str, int]:
        """Return the sum of the last stable offsets of each topic that is there. Blocks. Raises KafkaException."""
        known = self._admin.list_topics(timeout=REQUEST_SECONDS).topics
        parts = [(name, number) for name in topics if name in known for number in known[name].partitions]
        sums = {name: 0 for name, _number in parts}
        for (name, _number), end in self._offsets(parts, OFFSET_END).items():
            sums[name] += end
        return sums

    def _places(
        self, groups: Sequence[str], topics: Collection[str] | None
    ) -> dict[tuple[str, str, int], tuple[int | None, str]]:
        """Return the committed offset and the owner by (group, topic, partition).

        The offset is None where a group has not committed yet, the owner empty where no member has the partition.

        A group's topics are those it has committed on and those its members are assigned, each with all partitions.
        """
        if not groups:
            return {}
        sizes = {
            name: len(topic.partitions)
            for name, topic in self._admin.list_topics(timeout=REQUEST_SECONDS).topics.items()
            if topics is None or name in topics
        }
        described = self._admin.describe_consumer_groups(list(groups), request_timeout=REQUEST_SECONDS)
        places: dict[tuple[str, str, int], tuple[int | None, str]] = {}
        for group in sorted(groups):
            offsets = self._committed(group, sizes)
            members = described[group].result(REQUEST_SECONDS).members
            owners = {
                (part.topic, part.partition): f"{member.client_id} {member.host}".strip()
                for member in members
                for part in (member.assignment.topic_partitions or ())
            }
            for topic in sorted({name for name, _ in owners} | {part.topic for part in offsets}):
                for partition in range(sizes.get(topic, 0)):
                    committed = offsets.get(TopicAndPartition(topic, partition))
                    places[group, topic, partition] = committed, owners.get((topic, partition), "")
        return places

    def _committed(self, group: str, sizes: Mapping[str, int]) -> dict[TopicAndPartition, int]:
        parts = [TopicAndPartition(topic, number) for topic, size in sizes.items() for number in range(size)]
        with closing(self._consumer_of(group)) as consumer:
            return EndReader(consumer).committed(parts) if parts else {}

    def _consumer_of(self, group: str | None) -> Consumer:
        # Looks at a few records here and there: small fetches, and an answer at once.
        small = {"max.partition.fetch.bytes": 1_048_576, "log_level": 0}
        return Consumer({**reader_config(self._settings, "lag", group), **small})

    def _offsets(self, parts: Sequence[tuple[str, int]], which: int) -> dict[tuple[str, int], int]:
        """Return first or stable end offsets by partition; those of topics that are gone are left out.

        The client does not repeat what was asked of a broker that leads a partition no more, or not yet.
        """
        found: dict[tuple[str, int], int] = {}
        deadline = time.monotonic() + REQUEST_SECONDS
        asked = list(parts)
        while asked:
            wanted = [TopicPartition(topic, partition, which) for topic, partition in asked]
            answers: list[Any] = self._consumer.offsets_for_times(wanted, REQUEST_SECONDS)
            asked = []
            for part in answers:
                code = part.error.code() if part.error is not None else None
                if code is None:
                    found[part.topic, part.partition] = part.offset
                elif code in _LEADER_CHANGES and time.monotonic() < deadline:
                    asked.append((part.topic, part.partition))
                elif code != KafkaError.UNKNOWN_TOPIC_OR_PART:
                    raise KafkaException(part.error)
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
