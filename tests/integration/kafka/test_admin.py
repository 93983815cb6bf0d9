"""Topics are created as the table wants, and a wrong one stops the start with a sentence and exit code 78."""

import socket

import pytest
from confluent_kafka.admin import AdminClient

from connectors.kafka.admin import BrokersUnreachableError, TopicsRefusedError, check_topics, describe, ensure_topics
from connectors.kafka.settings import KafkaSettings
from schemas.topics import TOPICS, TopicNames
from tests.kafka_io import create_topic


@pytest.fixture
def settings(bootstrap_servers: str, namespace: str) -> KafkaSettings:
    return KafkaSettings(bootstrap_servers=bootstrap_servers, topic_prefix=namespace, partitions=3)


def test_makes_every_topic_once_and_finds_nothing_wrong_with_it(
    settings: KafkaSettings, kafka_admin: AdminClient, topic_names: TopicNames
) -> None:
    reports = ensure_topics(settings, create=True)
    assert {report.wanted.name for report in reports} == {topic_names[role] for role in TOPICS}
    assert all(report.created for report in reports)
    assert not any(report.created for report in ensure_topics(settings, create=True))
    found = describe(kafka_admin, [topic_names["cm_profile"], topic_names["cm_user"], topic_names["cm_jobs"]])
    assert found[topic_names["cm_profile"]].config["cleanup.policy"] == "compact"
    assert found[topic_names["cm_profile"]].partitions == 3
    assert found[topic_names["cm_user"]].config["retention.ms"] == "-1"
    assert found[topic_names["cm_jobs"]].partitions == 1


def test_a_missing_topic_is_refused_and_not_made(settings: KafkaSettings, topic_names: TopicNames) -> None:
    with pytest.raises(TopicsRefusedError, match="is missing; create it with") as caught:
        ensure_topics(settings)
    assert caught.value.exit_code == 78
    assert len(caught.value.problems) == len(TOPICS)
    assert all(report.found is None for report in check_topics(settings))


@pytest.mark.parametrize(
    ("role", "partitions", "config", "beginning"),
    [
        ("audience-membership", 2, {}, "has 2 partitions and 3 are wanted"),
        ("cm_profile", 3, {"cleanup.policy": "delete"}, "has cleanup.policy=delete and compact is wanted"),
        ("cm_jobs", 1, {"cleanup.policy": "compact", "max.message.bytes": "5000"}, "has max.message.bytes=5000"),
    ],
)
def test_a_wrong_topic_is_one_sentence_with_topic_found_and_wanted(
    settings: KafkaSettings,
    topic_names: TopicNames,
    bootstrap_servers: str,
    role: str,
    partitions: int,
    config: dict[str, str],
    beginning: str,
) -> None:
    create_topic(bootstrap_servers, topic_names[role], partitions, {"max.message.bytes": "1048576", **config})
    with pytest.raises(TopicsRefusedError) as caught:
        ensure_topics(settings, create=True)
    assert caught.value.exit_code == 78
    (problem,) = caught.value.problems
    assert problem.startswith(f"Topic {topic_names[role]} {beginning}")


def test_replication_below_the_setting_is_refused(
    settings: KafkaSettings, topic_names: TopicNames, bootstrap_servers: str
) -> None:
    ensure_topics(settings, create=True)
    strict = settings.model_copy(update={"replication_factor": 3})
    with pytest.raises(TopicsRefusedError, match="has replication factor 1 and 3 is wanted"):
        ensure_topics(strict)


def test_more_replicas_than_brokers_is_a_sentence_per_topic(settings: KafkaSettings) -> None:
    impossible = settings.model_copy(update={"replication_factor": 3})
    with pytest.raises(TopicsRefusedError, match=r"could not be created: .*eplication"):
        ensure_topics(impossible, create=True)


def test_nobody_there_is_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("connectors.kafka.admin.REQUEST_SECONDS", 1.0)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = f"127.0.0.1:{silent.getsockname()[1]}"
        with pytest.raises(BrokersUnreachableError, match=f"No Kafka broker answered at {address}"):
            ensure_topics(KafkaSettings(bootstrap_servers=address))
