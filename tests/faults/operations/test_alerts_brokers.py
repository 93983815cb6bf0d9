"""Brokers that refuse records: part of `make faults`."""

import pytest

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
