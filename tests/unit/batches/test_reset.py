"""Offsets are set for a group that the broker knows, and no group is made by that."""

from types import SimpleNamespace
from typing import Any, Literal

import pytest
from confluent_kafka import KafkaError, KafkaException, TopicPartition

from connectors.kafka.settings import KafkaSettings
from streams.batches import reset
from streams.batches.consume.offsets import topic_metadata
from streams.batches.core.errors import FatalError, WrongTopic
from streams.batches.core.settings import BatchSettings
from streams.batches.process import topics
from streams.batches.process.topics import TopicFacts


class Broker:
    """An admin client and a consumer of a broker that knows one group; setting offsets is noted."""

    def __init__(self) -> None:
        self.changed: list[TopicPartition] = []
        self.members = False

    def list_consumer_groups(self, **_: Any) -> Any:
        """The groups that there are."""
        return SimpleNamespace(result=lambda: SimpleNamespace(valid=[SimpleNamespace(group_id="known")]))

    def committed(self, parts: list[TopicPartition], _timeout: float) -> list[TopicPartition]:
        """An offset of the second partition alone."""
        return [TopicPartition(part.topic, part.partition, (-1001, 3)[part.partition]) for part in parts]

    def get_watermark_offsets(self, _part: TopicPartition, _timeout: float) -> tuple[int, int]:
        """Every partition begins at 7, and ends at 9."""
        return 7, 9

    def commit(self, offsets: list[TopicPartition], asynchronous: bool) -> list[TopicPartition]:
        """Set what is asked for; a group with members takes offsets from them alone."""
        assert not asynchronous
        if self.members:
            raise KafkaException(KafkaError(KafkaError.UNKNOWN_MEMBER_ID))
        self.changed += offsets
        return offsets

    def close(self) -> None:
        """Nothing is kept."""


@pytest.fixture
def broker(monkeypatch: pytest.MonkeyPatch) -> Broker:
    found = Broker()
    monkeypatch.setattr(topics, "admin_client", lambda settings: found)
    monkeypatch.setattr(topics, "group_consumer", lambda settings: found)
    monkeypatch.setattr(topics, "describe", lambda admin, names: {name: TopicFacts(name, 1, 2, 1) for name in names})
    return found


def _settings(group: str) -> BatchSettings:
    return BatchSettings(app_id=group, kafka=KafkaSettings(), data_dir="unused")


def test_a_group_that_there_is_not_is_refused_and_not_made(broker: Broker) -> None:
    with pytest.raises(WrongTopic, match="group unknown: not found; there is nothing to reset"):
        reset(_settings("unknown"), "events")
    assert broker.changed == []


@pytest.mark.parametrize(("begin", "now"), [("earliest", 7), ("latest", 9)])
def test_a_group_without_offsets_of_a_partition_gets_them(
    broker: Broker, begin: Literal["earliest", "latest"], now: int
) -> None:
    assert reset(_settings("known"), "events", begin) == [(0, None, now), (1, 3, now)]
    assert [(part.partition, part.offset) for part in broker.changed] == [(0, now), (1, now)]
    assert {part.metadata for part in broker.changed} == {topic_metadata(1)}


def test_offsets_of_a_group_whose_processes_run_are_not_set(broker: Broker) -> None:
    broker.members = True
    with pytest.raises(FatalError, match="the offsets of group known cannot be set while its processes run"):
        reset(_settings("known"), "events")
