"""Sources that are written in transactions: what is aborted is never folded, and rest is no lag."""

from __future__ import annotations

import time
from typing import Any

from confluent_kafka import Producer

from tests import oracle
from tests.deadline import within
from tests.faults.batches.farm import Farm

TRANSACTION_SECONDS = 2


def transactional(farm: Farm) -> Any:
    """A producer as the importer's."""
    producer = Producer(
        {
            "bootstrap.servers": farm.bootstrap_servers,
            "transactional.id": farm.group,
            "transaction.timeout.ms": TRANSACTION_SECONDS * 1000,
            "partitioner": "murmur2_random",
        }
    )
    producer.init_transactions(30)
    return producer


def an_importer_dies_inside_its_transaction(farm: Farm, sabotage: tuple[str, ...]) -> oracle.Verdict:
    """Its page is on the broker, and never committed: the transaction times out."""
    farm.produce(farm.events(1000, 50))
    worker = farm.start("one", sabotage=sabotage)
    worker.at_work()  # so the changelog is there
    importer = transactional(farm)
    importer.begin_transaction()
    for number in range(100):
        importer.produce(farm.source, oracle.event(10_000 + number, 1), b"user-%d" % (number % 50))
    importer.flush(10)
    del importer  # with its transaction open, as SIGKILL would leave it
    since = time.monotonic()
    farm.produce(farm.events(200, 50, seed=1))
    within(TRANSACTION_SECONDS + 15, lambda: farm_is_through(farm))
    assert time.monotonic() - since < TRANSACTION_SECONDS + 10
    farm.drained()
    assert worker.stop() == 0
    return farm.verdict(rebuild=False)


def farm_is_through(farm: Farm) -> bool:
    """Are the records behind the aborted ones folded?"""
    rows = farm.published()
    return sum(row["n"] for row in rows.values()) >= 1200


def test_a_transactional_topic_at_rest_has_no_lag_and_the_watchdog_is_silent(farm: Farm) -> None:
    producer = transactional(farm)
    for _ in range(5):
        producer.begin_transaction()
        for key, value in farm.events(300, 50):
            producer.produce(farm.source, value, key)
        producer.commit_transaction()
    worker = farm.start("one", stall_seconds=1.0)
    farm.drained()  # up to the end, the markers included
    until = time.monotonic() + 5
    while time.monotonic() < until:
        assert worker.process.exit_code is None, worker.output()[-2000:]
        time.sleep(0.1)
    verdict = farm.verdict()
    assert verdict.exact, str(verdict)
    oracle.assert_not_void(verdict)
