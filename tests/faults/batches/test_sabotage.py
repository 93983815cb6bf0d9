"""Each protection, taken out on purpose, turns the oracle red; with it, the same run is exact."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests import oracle
from tests.faults.batches.farm import Farm
from tests.faults.batches.sabotage import SABOTAGES
from tests.faults.batches.test_pauses import (
    a_pause_with_newer_records_meanwhile,
    a_request_that_was_on_its_way_for_longer_than_the_session,
)
from tests.faults.batches.test_transactions import an_importer_dies_inside_its_transaction

Run = Callable[[Farm, tuple[str, ...]], oracle.Verdict]


def killed(at: str, *, users: int = 60, job: dict[str, Any] | None = None, **settings: Any) -> Run:
    """A worker is killed at a boundary and started again on the same disk."""

    def run(farm: Farm, sabotage: tuple[str, ...]) -> oracle.Verdict:
        farm.produce(farm.events(1200, users))
        worker = farm.start("one", kill_at=at, sabotage=sabotage, job=job, **settings)
        assert worker.process.wait(30) == -9, worker.output()[-2000:]
        farm.start("one", sabotage=sabotage, job=job, **settings)
        return finished(farm)

    return run


def undisturbed(farm: Farm, sabotage: tuple[str, ...]) -> oracle.Verdict:
    """Nothing happens but a request that fails, three times."""
    farm.produce(farm.events(1200, 60))
    farm.start("one", sabotage=sabotage, job={"transient_failures": 3})
    return finished(farm)


def finished(farm: Farm) -> oracle.Verdict:
    """What a rebuild would come to."""
    farm.drained()
    assert farm.stop() == [0]
    return farm.verdict(rebuild=False)


RUNS: dict[str, Run] = {
    "settle-first": killed("before-changelog:3"),
    "store-first": killed("before-changelog:7", users=100_000),  # a later record of the key would publish the row
    "no-offset-check": killed("after-changelog:5"),
    "commit-unfinished": killed("before-changelog:5", job={"wait_seconds": 0.3}),
    "changelog-not-awaited": killed(
        "after-commit:3",
        job={"wait_seconds": 0.05},
        max_batch_records=30,
        linger_milliseconds=300,
        commit_interval_seconds=0.05,
    ),
    "errors-acknowledge": undisturbed,
    "read-uncommitted": an_importer_dies_inside_its_transaction,
    "no-fence": a_pause_with_newer_records_meanwhile,
    "late-rows-taken": a_request_that_was_on_its_way_for_longer_than_the_session,
}


@pytest.mark.parametrize("sabotage", RUNS)
def test_the_oracle_turns_red_without_the_protection_and_is_green_with_it(farm: Farm, make_farm, sabotage: str) -> None:
    with_it = RUNS[sabotage](farm, ())
    assert with_it.exact, str(with_it)
    oracle.assert_not_void(with_it)
    without = RUNS[sabotage](make_farm(farm.bootstrap_servers), (sabotage,))
    print(f"without the protection against {sabotage}: {without}")
    assert not without.exact


@pytest.mark.parametrize("sabotage", [(), ("dead-letters-not-kept",)])
def test_dead_letters_are_missed_when_they_are_not_kept(farm: Farm, sabotage: tuple[str, ...]) -> None:
    farm.produce([(b"user-%d" % n, b"poison") for n in range(20)])
    farm.produce(farm.events(1000, 50))
    farm.start("one", sabotage=sabotage)
    farm.drained()
    assert len(farm.refused()) == (0 if sabotage else 20)
    assert farm.verdict(rebuild=False).exact


def test_every_sabotage_has_its_test() -> None:
    assert RUNS.keys() | {"dead-letters-not-kept", "trust-positions"} == SABOTAGES.keys()
