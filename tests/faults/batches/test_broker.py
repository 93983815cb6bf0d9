"""The broker restarts, dies, or hangs while workers work."""

from __future__ import annotations

import time

import pytest

from connectors.devkit.embedded_kafka.broker import EmbeddedKafka
from tests import oracle
from tests.faults.batches.farm import FULL, FULL_EVENTS, Farm

EVENTS, ROUNDS = (FULL_EVENTS, 4) if FULL else (12_000, 1)
LOAD = {"stretch": 2000, "max_batch_records": 50}
BACK_SECONDS = 20.0


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_restarts_and_deaths_and_pauses_of_the_broker_cost_nothing(make_farm, own_broker: EmbeddedKafka) -> None:
    farm: Farm = make_farm(own_broker.bootstrap_servers)
    share, began, slowest = EVENTS // (ROUNDS * 3 + 1), time.monotonic(), 0.0
    farm.produce(farm.events(EVENTS - share * ROUNDS * 3, 500))
    for name in ("one", "two"):
        farm.start(name, **LOAD)
    faults = (own_broker.restart, died(own_broker), stood_still(own_broker, farm)) * ROUNDS
    for number, fault in enumerate(faults):
        for worker in farm.running():
            worker.at_work()
        fault()
        since = time.monotonic()
        before = {worker.name: worker.batches for worker in farm.running()}
        farm.produce(farm.events(share, 500, seed=number + 1))
        while all(worker.batches == before[worker.name] for worker in farm.running()):
            assert time.monotonic() - since < BACK_SECONDS, "not going again"
            time.sleep(0.05)
        slowest = max(slowest, time.monotonic() - since)
        assert len(farm.running()) == 2, "no process had to be started again"
    for worker in farm.running():
        worker.hurry()
    farm.drained(180)
    verdict = farm.verdict(max_batch_records=2000)
    print(
        f"{len(faults)} faults of the broker, {verdict}; going again after at most {slowest:.1f} s, "
        f"{time.monotonic() - began:.0f} s in all"
    )
    assert verdict.exact, str(verdict)
    assert verdict.obligations == EVENTS
    oracle.assert_not_void(verdict)


def died(broker: EmbeddedKafka):
    """SIGKILL, and a start on the same data."""

    def fault() -> None:
        broker.kill()
        broker.start()

    return fault


def stood_still(broker: EmbeddedKafka, farm: Farm):
    """SIGSTOP for longer than messages wait, with a worker killed inside: what was not acknowledged must come again."""

    def fault() -> None:
        broker.pause()
        time.sleep(1)
        farm.workers["one"].kill()
        time.sleep(5)
        broker.resume()
        farm.start("one", **LOAD)

    return fault
