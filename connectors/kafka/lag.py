"""How far consumers are behind, counted in records that they could read.

The end of a partition is no measure on topics that are written in transactions: the markers that end a transaction take
offsets and are never delivered, so that a consumer that has read everything seems one record behind for ever. And what
lies behind an open transaction cannot be read yet. So a committed offset is compared with the last stable offset, and
where only little lies between the two, it is looked at.
"""

import time
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple, Self

from confluent_kafka import OFFSET_BEGINNING, OFFSET_END, Consumer, KafkaError, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient

from connectors.kafka.client_config import admin_config
from connectors.kafka.read_to_end import TopicAndPartition, reader_config
from connectors.kafka.record_counts import Range, RecordCounts
from connectors.kafka.settings import KafkaSettings

REQUEST_SECONDS = 15.0
COUNT_SECONDS = 10.0
"""For counting all small differences of one read; what is left then is shown as it is, and not as exact."""
AGAIN_SECONDS = 0.2
"""Before partitions whose leader changes are asked for again."""
LOOK_WITHIN = 1_000
"""A difference up to this is counted exactly, by reading it. Above, markers hardly matter, and reading is dear."""
MAX_KEPT = 64
"""Groups whose consumers are kept open between readings: each has threads and connections. Others open one again."""
UNRELATED_SECONDS = 60.0
"""Before a group that has nothing to do with the topics is asked again: clusters have hundreds of others' groups."""


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


Bounds = Mapping[TopicAndPartition, tuple[int, int]]
"""First offset and last stable offset of partitions."""


class Look(NamedTuple):
    """What the brokers answered at one moment."""

    lags: list[PartitionLag]
    bounds: Bounds
    """Of all partitions that were looked at."""


class LagReader:
    """Asks the brokers for lags. Keeps its connections and can be asked every few seconds; every call blocks.

    A reading costs a question for each group and a few for all; what was counted is counted again when it has changed.

    Offsets are asked for by consumers, a group's by one of its own that joins nothing: an admin client ends the process
    where a broker that has just started does not coordinate the group yet, or a partition has no leader (librdkafka
    issue 5040). Which groups there are, and what their members read, only an admin client is answered.
    """

    def __init__(
        self,
        settings: KafkaSettings,
        *,
        count_seconds: float = COUNT_SECONDS,
        look_within: int = LOOK_WITHIN,
        request_seconds: float = REQUEST_SECONDS,
    ) -> None:
        self._settings = settings
        self._seconds = request_seconds
        self._look_within = look_within
        self._admin = AdminClient({**admin_config(settings, "lag"), "log_level": 0})
        self._consumer = self._consumer_of(None)
        self._group_consumers: dict[str, Consumer] = {}
        self._topics: frozenset[str] = frozenset()
        self._unrelated: dict[str, float] = {}
        """When a group is asked again, by the monotonic clock."""
        self._counts = RecordCounts(count_seconds)

    def groups(self) -> list[str]:
        """Return the names of all consumer groups that the brokers know."""
        answer = self._admin.list_consumer_groups(request_timeout=self._seconds).result(self._seconds)
        return sorted(group.group_id for group in answer.valid)

    def read(
        self, groups: Iterable[str] | None = None, *, topics: Collection[str] | None = None, exact: bool = True
    ) -> list[PartitionLag]:
        """Return the lags of groups (all of them without a choice), in order; of certain topics where named.

        With `exact`, small differences are read and counted. Blocks.

        Raises:
            KafkaException, ReadError: the brokers did not answer.
        """
        return self.look(groups, topics=topics, exact=exact).lags

    def look(
        self,
        groups: Iterable[str] | None = None,
        *,
        topics: Collection[str] | None = None,
        also: Collection[str] = (),
        exact: bool = True,
    ) -> Look:
        """Return lags as `read` does, with the bounds of their partitions and of all partitions of topics `also`.

        Raises KafkaException, ReadError.
        """
        # Asked by the client that asks for offsets: of what it knows from before, nothing is left.
        known = self._consumer.list_topics(timeout=self._seconds).topics
        sizes = {name: len(known[name].partitions) for name in (known if topics is None else topics) if name in known}
        asked = self._related(frozenset(sizes)) if groups is None else list(groups)
        committed = self._places(asked, sizes)
        if groups is None:
            again = time.monotonic() + UNRELATED_SECONDS
            self._unrelated |= dict.fromkeys(set(asked) - {group for group, _topic, _partition in committed}, again)
        parts = {TopicAndPartition(topic, number) for _group, topic, number in committed}
        parts |= {
            TopicAndPartition(name, number) for name in also if name in known for number in known[name].partitions
        }
        starts, ends = self._offsets(sorted(parts), OFFSET_BEGINNING), self._offsets(sorted(parts), OFFSET_END)
        # A topic that was deleted leaves its groups' offsets behind for a while.
        bounds = {part: (starts[part], ends[part]) for part in parts if part in starts and part in ends}
        lags = [
            measure(group, topic, number, offset, *bounds[TopicAndPartition(topic, number)], owner)
            for (group, topic, number), (offset, owner) in committed.items()
            if (topic, number) in bounds
        ]
        return Look(self._counted(lags) if exact else lags, bounds)

    def close(self) -> None:
        """End the connections."""
        self._consumer.close()
        while self._group_consumers:
            self._group_consumers.popitem()[1].close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _related(self, topics: frozenset[str]) -> list[str]:
        """Return the groups to ask: all but those that had nothing of the topics a moment ago."""
        groups = self.groups()
        if topics != self._topics:
            self._topics, self._unrelated = topics, {}
        for group in self._group_consumers.keys() - set(groups):
            self._group_consumers.pop(group).close()
        now = time.monotonic()
        self._unrelated = {group: at for group, at in self._unrelated.items() if at > now and group in groups}
        return [group for group in groups if group not in self._unrelated]

    def _places(
        self, groups: Sequence[str], sizes: Mapping[str, int]
    ) -> dict[tuple[str, str, int], tuple[int | None, str]]:
        """Return the committed offset and the owner by (group, topic, partition).

        The offset is None where a group has not committed yet, the owner empty where no member has the partition.

        A group's topics are those it has committed on and those its members are assigned, each with all partitions.
        `sizes`: how many partitions each topic has; other topics are left out.
        """
        if not groups:
            return {}
        described = self._admin.describe_consumer_groups(list(groups), request_timeout=self._seconds)
        places: dict[tuple[str, str, int], tuple[int | None, str]] = {}
        for group in sorted(groups):
            offsets = self._committed(group, sizes)
            members = described[group].result(self._seconds).members
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
        consumer = self._group_consumers.pop(group, None) or self._consumer_of(group)
        try:
            answered = consumer.committed([TopicPartition(*part) for part in parts], self._seconds) if parts else []
        except BaseException:
            consumer.close()
            raise
        found = {TopicAndPartition(at.topic, at.partition): at.offset for at in answered if at.offset >= 0}
        if found and len(self._group_consumers) < MAX_KEPT:
            self._group_consumers[group] = consumer
        else:
            consumer.close()
        return found

    def _consumer_of(self, group: str | None) -> Consumer:
        # Looks at a few records here and there: small fetches, and an answer at once.
        small = {"max.partition.fetch.bytes": 1_048_576, "log_level": 0}
        return Consumer({**reader_config(self._settings, "lag", group), **small})

    def _offsets(self, parts: Sequence[TopicAndPartition], which: int) -> dict[TopicAndPartition, int]:
        """Return first or stable end offsets by partition; those of topics that are gone are left out.

        The client does not repeat what was asked of a broker that leads a partition no more, or not yet, and what it
        learns of partitions while a broker is away it believes for minutes, unless it asks for all topics again.
        """
        found: dict[TopicAndPartition, int] = {}
        deadline = time.monotonic() + self._seconds
        asked = list(parts)
        while asked:
            wanted = [TopicPartition(topic, partition, which) for topic, partition in asked]
            try:
                answers: list[Any] = self._consumer.offsets_for_times(wanted, self._seconds)
            except KafkaException as failure:  # all partitions of a request have the error
                if failure.args[0].code() not in _LEADER_CHANGES or time.monotonic() >= deadline:
                    raise
                self._refresh_leaders()
                continue
            asked = []
            for part in answers:
                code = part.error.code() if part.error is not None else None
                if code is None:
                    found[TopicAndPartition(part.topic, part.partition)] = part.offset
                elif code in _LEADER_CHANGES and time.monotonic() < deadline:
                    asked.append(TopicAndPartition(part.topic, part.partition))
                elif code != KafkaError.UNKNOWN_TOPIC_OR_PART:
                    raise KafkaException(part.error)
            if asked:
                self._refresh_leaders()
        return found

    def _refresh_leaders(self) -> None:
        time.sleep(AGAIN_SECONDS)
        self._consumer.list_topics(timeout=self._seconds)

    def _counted(self, lags: Sequence[PartitionLag]) -> list[PartitionLag]:
        """Return the lags with small ones counted by reading."""
        small = {_unread(lag) for lag in lags if not lag.exact and lag.lag <= self._look_within}
        counts = self._counts.of(self._consumer, small)
        return [
            replace(lag, lag=counts[unread], exact=True) if (unread := _unread(lag)) in counts else lag for lag in lags
        ]


def _unread(lag: PartitionLag) -> Range:
    return TopicAndPartition(lag.topic, lag.partition), max(lag.start, lag.committed or 0), lag.stable_end


_LEADER_CHANGES = frozenset(
    {
        KafkaError.NOT_LEADER_FOR_PARTITION,
        KafkaError.LEADER_NOT_AVAILABLE,
        # A broker that was away for some seconds leads again, and the client, or the broker, does not know it yet.
        KafkaError.FENCED_LEADER_EPOCH,
        KafkaError.UNKNOWN_LEADER_EPOCH,
        KafkaError._UNKNOWN_PARTITION,
    }
)
