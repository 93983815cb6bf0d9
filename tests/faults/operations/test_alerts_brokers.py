"""Brokers that refuse records, or have removed them unread: part of `make faults`."""

import pytest
from confluent_kafka import OFFSET_END, TopicPartition
from confluent_kafka.admin import AdminClient

from tests.deadline import within
from tests.faults.operations.conftest import enters
from tests.faults.operations.running_system import PARTITIONS

pytestmark = [pytest.mark.slow, pytest.mark.long_fault, pytest.mark.timeout(600)]

MARKERS_ONLY = "90"
"""Of max.message.bytes: brokers refuse records. Less, and they cannot end a transaction: its marker takes 78 bytes."""


def test_brokers_that_refuse_what_a_worker_publishes(system):
    """Cured before the watchdog ends the worker, after 45 seconds without a commit; nothing starts it again here."""
    system.configure_topics(["audience-membership.dlq"], "max.message.bytes", MARKERS_ONLY)
    system.publish("audience-membership", [(b"person%d@example.com" % number, b"{not json") for number in range(20)])
    system.await_firing("CmStreamsBatchesRetried", "CmStreamsLagHigh")
    system.configure_topics(["audience-membership.dlq"], "max.message.bytes", None)
    system.await_clear("CmStreamsBatchesRetried", "CmStreamsLagHigh", "CmStreamsDeadLetters")


def test_brokers_that_refuse_what_an_import_publishes(system):
    within(60, lambda: between_runs(system.log_of("connector")), every=0.1)  # one that has begun is not overdue
    system.configure_topics(["cm_import_progress"], "max.message.bytes", MARKERS_ONLY)
    system.await_firing("CmStreamsImportOverdue", seconds=150)
    system.configure_topics(["cm_import_progress"], "max.message.bytes", None)
    system.await_clear("CmStreamsImportOverdue", "CmStreamsNotReady")


def test_records_that_retention_removed(system):
    system.stop("export-worker")
    topic, servers = "audience-membership", system.broker.bootstrap_servers
    system.publish(topic, enters(f"lost{number}@example.com" for number in range(20)))
    removed = [TopicPartition(topic, partition, OFFSET_END) for partition in range(PARTITIONS)]
    admin = AdminClient({"bootstrap.servers": servers})
    for done in admin.delete_records(removed).values():
        done.result(60)
    system.start("export-worker")
    assert system.wait("export-worker") == 78
    assert "STREAMS_ON_LOST_RECORDS=continue" in system.log_of("export-worker")
    system.start("export-worker", STREAMS_ON_LOST_RECORDS="continue")
    system.await_firing("CmStreamsRecordsLost")
    assert system.stop("export-worker") == 0
    system.start("export-worker")
    system.await_clear("CmStreamsRecordsLost", "CmStreamsProcessDown", "CmStreamsNotReady")


def between_runs(log):
    """Whether the import's last run has ended."""
    return log.rfind("import ends") > log.rfind("import begins")
