"""SIGKILL at every named boundary between two effects, several times each."""

from __future__ import annotations

import signal
from collections.abc import Sequence

import pytest

from streams.batches.core import killpoints
from tests import kafka_io, oracle
from tests.faults.batches.farm import KILLS, PARTITIONS, Farm

TIMES = max(2, KILLS // 6)
IN_BATCHES = (
    "after-read",
    "after-dead-letters",
    "after-outputs",
    "before-changelog",
    "inside-changelog",
    "after-changelog",
    "after-store",
    "after-settle",
    "after-commit",
)
ONCE_A_LIFE = ("inside-recovery", "after-recovery", "before-close")


def test_every_boundary_is_named_here() -> None:
    assert set(IN_BATCHES) | set(ONCE_A_LIFE) == set(killpoints.POINTS)


@pytest.mark.slow
@pytest.mark.parametrize("points", [IN_BATCHES[:5], IN_BATCHES[5:] + ONCE_A_LIFE], ids=["before", "after"])
def test_a_kill_at_a_boundary_loses_nothing_and_counts_nothing_twice(farm: Farm, points: Sequence[str]) -> None:
    outputs = kafka_io.create_topic(farm.bootstrap_servers, f"{farm.source}.out", PARTITIONS)
    poison: set[bytes] = set()
    kills = 0
    for point in points:
        for time in range(1, TIMES + 1):
            bad = [b"poison %d %d" % (kills, n) for n in range(8)]
            poison.update(bad)
            farm.produce([(b"user-%d" % n, value) for n, value in enumerate(bad)])
            farm.produce(farm.events(200, 40, kills))
            if point == "inside-recovery":
                give_recovery_something_to_do(farm, wiped=time % 2 == 0)
            nth = 1 if point in ONCE_A_LIFE else 1 + time % 2 if point == "after-commit" else time  # few a second
            job = {"outputs": outputs, "wait_seconds": 0.1 if point == "after-commit" else 0}
            worker = farm.start("one", kill_at=f"{point}:{nth}", max_batch_records=15, job=job)
            if point == "before-close":
                worker.at_work()
                worker.process.signal(signal.SIGTERM)
            assert worker.ended() == -9, f"{point}:{nth}: {worker.output()[-2000:]}"
            kills += 1
    farm.start("one", job={"outputs": outputs})
    farm.drained()
    letters = kafka_io.read_all(farm.bootstrap_servers, farm.dead_letters)
    assert {letter.value for letter in letters} == poison
    passed_on = {(r.key, r.value) for r in kafka_io.read_all(farm.bootstrap_servers, outputs)}
    read = kafka_io.read_all(farm.bootstrap_servers, farm.source)
    assert passed_on == {(r.key, r.value) for r in read if oracle.parsed(r.value)}
    verdict = farm.verdict(job={"outputs": outputs})
    print(f"{kills} kills at {len(points)} boundaries, {verdict}")
    assert verdict.exact, str(verdict)
    oracle.assert_not_void(verdict)


def give_recovery_something_to_do(farm: Farm, *, wiped: bool) -> None:
    """A store that is behind its changelog: a life that ended before its first flush, or an empty disk."""
    if wiped:
        farm.wipe()
        return
    job = {"outputs": f"{farm.source}.out"}
    assert farm.start("one", kill_at="after-store:2", max_batch_records=15, job=job).ended() == -9
