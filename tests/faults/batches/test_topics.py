"""Topics that are not what is needed, or not what they were."""

from __future__ import annotations

import contextlib
from typing import Any

import pytest
from confluent_kafka import ConsumerGroupTopicPartitions, TopicPartition
from confluent_kafka.admin import AdminClient

from connectors.kafka.settings import KafkaSettings
from streams.batches import BatchSettings, ExitCode, FatalError, WrongTopic
from streams.batches.process.topics import Reset, reset
from tests import kafka_io, oracle
from tests.deadline import within
from tests.faults.batches.farm import PARTITIONS, Farm


def test_wrong_topics_end_the_process_with_78_and_one_sentence(farm: Farm, kafka_admin: AdminClient) -> None:
    def refused(sentence: str, **settings: Any) -> None:
        worker = farm.start("one", **settings)
        assert worker.process.wait(15) == ExitCode.CONFIGURATION, worker.output()[-2000:]
        (line,) = (line for line in worker.output().splitlines() if "process ends" in line)
        assert sentence in line
        (worker.directory / "output").unlink()

    refused(f"topic {farm.source}: found 4 partitions, wanted 8", partitions=8)
    refused(f"changelogs {farm.changelog}: not found, and create_topics is off", create_topics=False)
    kafka_io.create_topic(farm.bootstrap_servers, farm.changelog, PARTITIONS, {"cleanup.policy": "compact"})
    refused(f"changelog {farm.changelog}: found replication 1, wanted 2", replication_factor=2)
    remade(kafka_admin, farm.bootstrap_servers, farm.changelog, PARTITIONS, {"cleanup.policy": "delete"})
    refused("found cleanup.policy 'delete', wanted 'compact'")
    remade(kafka_admin, farm.bootstrap_servers, farm.changelog, 2, {"cleanup.policy": "compact"})
    refused(f"changelog {farm.changelog}: found 2 partitions, wanted 4")
    delete(kafka_admin, farm.source)
    refused(f"topic {farm.source}: not found, wanted with 4 partitions; create it first")


def delete(admin: AdminClient, topic: str) -> None:
    """Delete a topic."""
    admin.delete_topics([topic])[topic].result()
    within(20, lambda: topic not in admin.list_topics(timeout=10).topics)


def remade(admin: AdminClient, servers: str, topic: str, partitions: int, config: dict[str, str]) -> None:
    """Delete a topic and create it again."""
    delete(admin, topic)
    kafka_io.create_topic(servers, topic, partitions, config)


@pytest.mark.parametrize("sabotage", [(), ("trust-positions",)])
def test_a_source_created_again_is_refused_and_one_command_continues(
    farm: Farm, kafka_admin: AdminClient, sabotage: tuple[str, ...]
) -> None:
    farm.produce(farm.events(1200, 60))
    worker = farm.start("one", static=False)
    farm.drained()
    assert worker.stop() == 0
    before = kafka_io.committed(farm.bootstrap_servers, farm.group, farm.source, PARTITIONS)
    remade(kafka_admin, farm.bootstrap_servers, farm.source, PARTITIONS, {})
    farm.produce(farm.events(300, 60, seed=1))
    # The broker forgets the offsets with the topic; a mirror, a backup or a script puts them back.
    parts = [TopicPartition(farm.source, number, before[number]) for number in range(PARTITIONS)]
    kafka_admin.alter_consumer_group_offsets([ConsumerGroupTopicPartitions(farm.group, parts)])[farm.group].result()
    wanted = farm.expected()  # of what is in the topic now
    if sabotage:
        farm.start("one", static=False, sabotage=sabotage)
        farm.drained()
        assert skipped(farm, wanted), "records were skipped in silence"
        return
    settings = BatchSettings(
        app_id=farm.group,
        kafka=KafkaSettings(bootstrap_servers=farm.bootstrap_servers),
        data_dir="unused",
        partitions=PARTITIONS,
    )
    worker = farm.start("one", static=False)
    assert worker.process.wait(15) == ExitCode.CONFIGURATION, worker.output()[-2000:]
    assert farm.source in worker.output()
    assert "reset the group's offsets of this topic" in worker.output()
    done = within(20, lambda: reset_when_the_session_is_over(settings, farm.source))
    assert [(reset.before, reset.now) for reset in done] == [(offset, 0) for offset in before]
    (farm.workers["one"].directory / "output").unlink()
    running = farm.start("one", static=False)
    farm.drained()
    assert not skipped(farm, wanted)
    with pytest.raises(FatalError, match="while its processes run: stop them"):
        reset(settings, farm.source)
    with pytest.raises(WrongTopic, match="there is nothing to reset"):
        reset(settings, "no-such-topic")
    with pytest.raises(WrongTopic, match="group no-such-group: not found"):
        reset(settings.model_copy(update={"app_id": "no-such-group"}), farm.source)
    assert running.stop() == 0


def reset_when_the_session_is_over(settings: BatchSettings, topic: str) -> list[Reset]:
    """The process ended at once, without leaving the group."""
    with contextlib.suppress(FatalError):
        return reset(settings, topic)
    return []


def skipped(farm: Farm, wanted: dict[bytes, oracle.Expected]) -> set[bytes]:
    """Keys of which records in the topic are in no row."""
    rows = farm.published()
    return {key for key, want in wanted.items() if want.numbers - oracle.numbers_of(rows[key]["seen"])}
