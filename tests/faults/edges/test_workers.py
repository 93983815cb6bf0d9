"""Both workers as `make run` starts them: partitions are added to the topics that they read."""

from confluent_kafka.admin import NewPartitions

from connectors.devkit.ports import free_ports
from connectors.kafka.admin import ensure_topics
from connectors.kafka.settings import KafkaSettings
from streams.batches import ExitCode, partition_of
from tests import kafka_io
from tests.deadline import within
from tests.faults.edges.real_workers import PARTITIONS
from tests.unit.cli.test_no_broker import asked

WORKERS = {"profiles": "cm_activity", "export": "audience-membership"}
"""Worker -> an input of its own or shared; `cm_activity` is read by both."""
PEOPLE = [b"person%d@example.com" % number for number in range(20)]


def test_added_partitions_end_both_workers_with_a_sentence(start, bootstrap_servers, namespace, kafka_admin, tmp_path):
    """A profile went round in circles, an export left the new partitions unread, and both were ready."""
    kafka = KafkaSettings(
        _env_file=None, bootstrap_servers=bootstrap_servers, topic_prefix=namespace, partitions=PARTITIONS
    )
    ensure_topics(kafka, create=True)
    topics = {name: kafka.names()[role] for name, role in WORKERS.items()}
    ports = dict(zip(WORKERS, free_ports(len(WORKERS)), strict=True))
    workers = {name: start(name, ports[name]) for name in WORKERS}

    def ready(name):
        answer = asked(f"http://127.0.0.1:{ports[name]}/ready")
        return bool(answer) and answer[0] == 200

    within(60, lambda: all(map(ready, WORKERS)) or any(worker.poll() is not None for worker in workers.values()))
    for name in WORKERS:
        assert workers[name].poll() is None, (tmp_path / f"{name}.log").read_text()
    more = [NewPartitions(topic, 2 * PARTITIONS) for topic in topics.values()]
    for added in kafka_admin.create_partitions(more).values():
        added.result(10)
    for topic in topics.values():
        for key in PEOPLE:
            wrong = (partition_of(key, PARTITIONS) + 1) % PARTITIONS
            kafka_io.produce(bootstrap_servers, topic, [(key, b"{}")], partition=wrong)
    for name, topic in topics.items():
        assert workers[name].wait(20) == ExitCode.CONFIGURATION, (tmp_path / f"{name}.log").read_text()
        assert not ready(name)
        written = (tmp_path / f"{name}.log").read_text()
        assert f"topic {topic}: found 4 partitions, there were 2 at start" in written
        assert "stores copy" in written
        assert len(kafka_io.read_all(bootstrap_servers, topic)) <= 2 * len(PEOPLE) * len(WORKERS)
    again = {name: start(name, ports[name]) for name in WORKERS}
    for name, topic in topics.items():
        assert again[name].wait(20) == ExitCode.CONFIGURATION
        assert f"Topic {topic} has 4 partitions and 2 are wanted" in (tmp_path / f"{name}.log").read_text()
