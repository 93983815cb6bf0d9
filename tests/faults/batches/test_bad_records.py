"""Poison and defects cost their own records and nothing else."""

from __future__ import annotations

import json
import random
from collections import Counter

from tests import kafka_io, oracle
from tests.faults.batches.farm import Farm

POISON: list[bytes | None] = [
    b"{",
    b"[]",
    b'"text"',
    b'{"i": "1", "v": 1}',
    b'{"v": 1}',
    b"",
    None,
    "naïve".encode("latin-1"),
    b"NaN",
    b'{"i": NaN, "v": 1}',
    b"[" * 10_000,
]


def test_one_percent_of_poison_of_every_kind(farm: Farm) -> None:
    dice, poison = random.Random(3), []
    log: list[tuple[bytes | None, bytes | None]] = []
    for at, record in enumerate(farm.events(20_000, 500)):
        log.append(record)
        if at % 100 == 0:
            bad = (b"user-%d" % dice.randrange(500), POISON[at // 100 % len(POISON)])
            if at % 1000 == 0:
                bad = (None, bad[1])
            poison.append(bad)
            log.append(bad)
    farm.produce(log)
    worker = farm.start("one", max_batch_records=1000)
    farm.drained()
    assert worker.process.exit_code is None
    letters = kafka_io.read_all(farm.bootstrap_servers, farm.dead_letters)
    assert Counter((r.key, r.value) for r in letters) == Counter(poison)
    verdict = farm.verdict()
    assert verdict.exact, str(verdict)
    assert verdict.obligations == 20_000


def test_a_defect_for_one_record_in_a_thousand_costs_these_records(farm: Farm) -> None:
    log = list(farm.events(10_000, 300))
    bugs = [(b"user-%d" % n, json.dumps({"i": 0, "v": 0, "bug": True, "n": n}).encode()) for n in range(10)]
    for n, bug in enumerate(bugs):
        log.insert(n * 1000 + 500, bug)
    farm.produce(log)
    worker = farm.start("one", max_batch_records=1000)
    farm.drained()
    assert worker.process.exit_code is None, "no restart"
    letters = kafka_io.read_all(farm.bootstrap_servers, farm.dead_letters)
    assert sorted(r.value for r in letters) == sorted(value for _, value in bugs)
    assert {dict(r.headers)["dlq.reason"] for r in letters} == {b"ZeroDivisionError: a defect of the job"}
    verdict = farm.verdict()
    assert verdict.exact, str(verdict)
    oracle.assert_not_void(verdict)


def test_twenty_thousand_poison_records_in_a_row_stop_nothing(farm: Farm) -> None:
    farm.produce([(b"user-%d" % (n % 500), b"poison %d" % n) for n in range(20_000)])
    farm.produce(farm.events(1000, 100))
    worker = farm.start("one", max_batch_records=2000)
    farm.drained()
    assert worker.process.exit_code is None
    assert len(farm.refused()) == 20_000
    assert farm.verdict(rebuild=False).exact
