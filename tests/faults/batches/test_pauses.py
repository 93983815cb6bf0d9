"""A worker that is paused for longer than its session, while another one folds newer records of the same keys."""

from __future__ import annotations

import signal
import time
from pathlib import Path
from typing import Any

import pytest

from streams.batches import ExitCode
from tests import kafka_io, oracle
from tests.deadline import within
from tests.faults.batches.farm import Farm

SHORT: dict[str, Any] = {
    "static": False,
    "session_timeout_seconds": 2.0,
    "heartbeat_interval_seconds": 0.3,
    "allowed_pause_seconds": 1.2,
    "message_timeout_seconds": 1.2,
}


def stopped(pid: int) -> bool:
    """Does the process stand still (SIGSTOP)?"""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "T"


def a_pause_with_newer_records_meanwhile(
    farm: Farm, sabotage: tuple[str, ...], at: str = "before-changelog:6"
) -> oracle.Verdict:
    """Stopped with rows in hand; when it wakes, the other one has written newer rows of the same keys."""
    farm.produce(farm.events(600, 30))
    sleeper = farm.start("sleeper", sabotage=sabotage, job={"stop_at": at}, **SHORT)
    within(30, lambda: stopped(sleeper.process.pid))
    farm.produce(farm.events(600, 30, seed=1))
    farm.start("other", **SHORT)
    farm.drained()
    sleeper.process.signal(signal.SIGCONT)
    if sabotage:
        time.sleep(1)  # let it do its harm
    else:
        since = time.monotonic()
        assert sleeper.process.wait(10) == ExitCode.PAUSED
        assert time.monotonic() - since < 5
        assert "paused for" in sleeper.output()
    farm.kill()
    return farm.verdict(rebuild=False)


def a_request_that_was_on_its_way_for_longer_than_the_session(farm: Farm, sabotage: tuple[str, ...]) -> oracle.Verdict:
    """What a socket held back while its process stood still comes after another owner's newer rows.

    The rows are sent again by the test itself, as they were: the instant at which a real process must be stopped for
    that is a hundred microseconds long.
    """
    farm.produce(farm.events(600, 30))
    farm.start("one", sabotage=sabotage, **SHORT)
    farm.drained()
    late = kafka_io.read_all(farm.bootstrap_servers, farm.changelog)
    farm.produce(farm.events(600, 30, seed=1))
    farm.drained()
    time.sleep(SHORT["session_timeout_seconds"])
    refused = kafka_io.send_again(farm.bootstrap_servers, late)
    assert refused == (0 if sabotage else len(late))
    farm.kill()
    return farm.verdict(rebuild=False)


@pytest.mark.parametrize("at", ["after-read:3", "after-changelog:3", "after-settle:4"])
def test_a_worker_that_wakes_too_late_ends_and_the_newest_rows_stay(farm: Farm, at: str) -> None:
    verdict = a_pause_with_newer_records_meanwhile(farm, (), at)
    assert verdict.exact, str(verdict)
    oracle.assert_not_void(verdict)


@pytest.mark.slow
def test_pauses_at_random_instants_under_load(farm: Farm) -> None:
    farm.produce(farm.events(8000, 200))
    load = {**SHORT, "stretch": 4000, "max_batch_records": 40}
    for name in ("one", "two"):
        farm.start(name, **load)
    in_hand = 0
    for pause in range(2):
        worker = farm.workers["one" if pause % 2 else "two"]
        worker.at_work()
        worker.process.signal(signal.SIGSTOP)
        in_hand += worker.in_hand
        time.sleep(3.5)  # the session ends, and the other one has it all
        farm.produce(farm.events(500, 200, seed=pause + 1))
        worker.process.signal(signal.SIGCONT)
        assert worker.process.wait(5) == ExitCode.PAUSED
        farm.start(worker.name, **load)
    for worker in farm.running():
        worker.hurry()
    farm.drained()
    verdict = farm.verdict()
    assert verdict.exact, str(verdict)
    oracle.assert_not_void(verdict, 2, in_hand)
