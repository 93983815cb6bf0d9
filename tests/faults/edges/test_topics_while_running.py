"""Topics that change while workers run."""

from __future__ import annotations

import pytest
from confluent_kafka.admin import AdminClient, NewPartitions

from streams.batches import ExitCode, partition_of
from tests import kafka_io, oracle
from tests.faults.batches.farm import PARTITIONS, Farm
from tests.faults.batches.test_topics import remade


@pytest.mark.long_fault
def test_partitions_that_are_added_end_the_worker_with_a_sentence(farm: Farm, kafka_admin: AdminClient) -> None:
    """Records circled between partitions: 600 became 82,000 in half a minute, and the worker was ready."""
    farm.produce(farm.events(200, 50))
    worker = farm.start("one", static=False)
    farm.drained()
    kafka_admin.create_partitions([NewPartitions(farm.source, 2 * PARTITIONS)])[farm.source].result(10)
    keys = [b"user-%d" % number for number in range(50)]
    for key in keys:
        wrong = (partition_of(key, PARTITIONS) + 1) % PARTITIONS
        kafka_io.produce(farm.bootstrap_servers, farm.source, [(key, oracle.event(1000, 1))], partition=wrong)
    assert worker.ended(20) == ExitCode.CONFIGURATION, worker.output()[-2000:]
    assert f"topic {farm.source}: found 8 partitions, there were 4 at start" in worker.output()
    count = len(kafka_io.read_all(farm.bootstrap_servers, farm.source))
    assert count <= 200 + 2 * len(keys), "each is published again at most once"
    again = farm.start("one", static=False)
    assert again.ended(20) == ExitCode.CONFIGURATION
    assert f"topic {farm.source}: found 8 partitions, wanted 4" in again.output()
    assert all("stores copy" in ended.output() for ended in (worker, again)), "the way to more partitions is named"


@pytest.mark.long_fault
def test_a_topic_that_is_created_again_is_named(farm: Farm, kafka_admin: AdminClient) -> None:
    farm.produce(farm.events(200, 50))
    worker = farm.start("one", static=False)
    farm.drained()
    remade(kafka_admin, farm.bootstrap_servers, farm.changelog, PARTITIONS, {"cleanup.policy": "compact"})
    assert worker.ended(20) == ExitCode.CONFIGURATION, worker.output()[-2000:]
    assert f"topic {farm.changelog}: it was deleted" in worker.output()
