"""What topics should look like, and the sentence for each way in which one does not."""

from dataclasses import replace

import pytest

from connectors.kafka.admin import FoundTopic, TopicShape, WantedTopic, faults, plan
from schemas.topics import TOPICS, TopicNames

SHAPE = TopicShape(partitions=12, replication_factor=None, min_insync_replicas=None, max_message_bytes=1_048_576)
WANTED = WantedTopic(
    "rows", 12, 3, {"cleanup.policy": "compact", "min.insync.replicas": "2", "max.message.bytes": "1048576"}
)
GOOD = FoundTopic(12, 3, WANTED.config)


def test_every_topic_of_the_table_is_planned_once_by_its_name_in_use() -> None:
    wanted = plan(TopicNames("p."), SHAPE, brokers=3)
    assert sorted(topic.name for topic in wanted) == sorted("p." + role for role in TOPICS)


def test_data_topics_share_one_number_of_partitions() -> None:
    wanted = {topic.name: topic for topic in plan(TopicNames(), SHAPE, brokers=1)}
    assert {topic.partitions for role, topic in wanted.items() if TOPICS[role].partitions is None} == {12}
    assert wanted["cm_jobs"].partitions == 1


@pytest.mark.parametrize(("brokers", "replicas", "in_sync"), [(1, 1, "1"), (2, 2, "1"), (3, 3, "2"), (9, 3, "2")])
def test_replicas_follow_the_brokers_unless_they_are_set(brokers: int, replicas: int, in_sync: str) -> None:
    topic = plan(TopicNames(), SHAPE, brokers)[0]
    assert (topic.replication_factor, topic.config["min.insync.replicas"]) == (replicas, in_sync)
    chosen = plan(TopicNames(), replace(SHAPE, replication_factor=5, min_insync_replicas=4), brokers)[0]
    assert (chosen.replication_factor, chosen.config["min.insync.replicas"]) == (5, "4")


def test_compacted_topics_never_expire() -> None:
    for topic in plan(TopicNames(), SHAPE, brokers=1):
        assert ("retention.ms" in topic.config) == (topic.config["cleanup.policy"] == "delete")


def test_what_is_as_wanted_has_no_fault() -> None:
    assert list(faults(WANTED, GOOD)) == []


def test_more_protection_than_wanted_is_no_fault() -> None:
    better = FoundTopic(12, 5, {**WANTED.config, "min.insync.replicas": "3", "max.message.bytes": "9999999"})
    assert list(faults(WANTED, better)) == []


@pytest.mark.parametrize("partitions", [6, 24])
def test_topics_with_other_partitions_are_not_to_be_created_again(partitions: int) -> None:
    """Their records would be lost."""
    (sentence,) = faults(WANTED, replace(GOOD, partitions=partitions))
    assert "create it again" not in sentence
    assert "KAFKA_PARTITIONS" in sentence
    assert "`cm-streams stores copy --help`" in sentence
    (other,) = faults(replace(WANTED, shared_partitions=False), replace(GOOD, partitions=partitions))
    assert "KAFKA_PARTITIONS" not in other, "it has nothing to do with topics whose number is always the same"
    assert "KAFKA_TOPICS" in other


@pytest.mark.parametrize(
    ("found", "beginning"),
    [
        (None, "Topic rows is missing"),
        (replace(GOOD, partitions=6), "Topic rows has 6 partitions and 12 are wanted"),
        (replace(GOOD, partitions=24), "Topic rows has 24 partitions and 12 are wanted"),
        (replace(GOOD, replication_factor=1), "Topic rows has replication factor 1 and 3 is wanted"),
        (
            replace(GOOD, config={**WANTED.config, "cleanup.policy": "delete"}),
            "Topic rows has cleanup.policy=delete and compact is wanted",
        ),
        (
            replace(GOOD, config={**WANTED.config, "cleanup.policy": "compact,delete"}),
            "Topic rows has cleanup.policy=compact,delete and compact is wanted",
        ),
        (
            replace(GOOD, config={**WANTED.config, "min.insync.replicas": "1"}),
            "Topic rows has min.insync.replicas=1 and 2 is wanted",
        ),
        (
            replace(GOOD, config={**WANTED.config, "max.message.bytes": "1000"}),
            "Topic rows has max.message.bytes=1000 and 1048576 is wanted",
        ),
    ],
)
def test_each_fault_is_one_sentence_with_topic_found_and_wanted(found: FoundTopic | None, beginning: str) -> None:
    (sentence,) = faults(WANTED, found)
    assert sentence.startswith(beginning)
