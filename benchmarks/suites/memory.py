"""Suite `memory`: what the two workers hold after 300,000, 600,000 and 1,000,000 activities of 60,000 people, at rest.

Twelve partitions and the default settings; both workers at once, as in `make run`. Before the activities every person
enters an audience, and the export worker brings all of them to a list.
"""

import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path

from benchmarks.contest import Bench
from benchmarks.mail_events import mail_events
from benchmarks.results import Result
from benchmarks.services import Service, product
from benchmarks.suites.export_world import World, membership, world
from benchmarks.suites.waiting import until
from benchmarks.systems import OURS, python_versions
from benchmarks.topics import Message
from benchmarks.workloads import Workload

SUITE = "memory"
PARTITIONS = 12
PEOPLE = Workload("60,000 people", 60_000, "uniform")
STEPS = (300_000, 600_000, 1_000_000)
QUICK_STEPS = (100_000, 300_000)
CHECK_STEPS = (1_000, 2_000)
MAX_MB = 350.0
GROWTH_MB = 25.0
"""From the first step to the last; beyond it memory is not flat."""
REST_SECONDS = 10.0
"""After which a worker has given back what it does not need at rest."""
IN_FLIGHT = 4
APP_IDS = {"profiles": "cm-profiles", "export": "cm-export"}


def run(bench: Bench, *, extra: bool = False) -> list[Result]:
    """Return a row for each worker and step. More than MAX_MB, or growth by GROWTH_MB, is a failure."""
    steps = CHECK_STEPS if bench.check_only else QUICK_STEPS if bench.quick else STEPS
    people = replace(PEOPLE, users=200) if bench.check_only else PEOPLE
    rows: list[Result] = []
    with world(bench, "memory", book_limit=1_000, partitions=PARTITIONS) as here:
        here.job()
        names = here.kafka.names()
        events = mail_events(people, steps[-1], names["cm_user"], names["cm_activity"])
        with here.worker(IN_FLIGHT) as export, product(*_profiles(here)) as profiles:
            workers = {"profiles": profiles, "export": export}
            bench.topics.fill(_members(here.source, people.users))
            until(lambda: here.active() >= people.users, 120 + people.users / 500, "people on the list", every=0.5)
            done = 0
            for step in steps:
                bench.topics.fill(islice(events, step - done))
                done = step
                until(lambda: _settled(here), 120 + step / 1_000, f"{step:,} settled activities", every=1.0)
                time.sleep(REST_SECONDS)
                rows += [_row(bench, name, worker, step) for name, worker in workers.items()]
        peaks = {name: worker.peak_rss_mb for name, worker in workers.items()}
    rows = [replace(row, peak_rss_mb=round(peaks[row.workload.split(",")[0]], 1)) for row in rows]
    if not bench.check_only:
        bench.failures += failures(rows)
    return rows


def _profiles(here: World) -> tuple[list[str], Path, dict[str, str]]:
    return ["worker", "profiles"], here.directory, here.environment()


def _members(topic: str, people: int) -> Iterator[Message]:
    at = datetime.now(UTC)
    return (membership(topic, f"user{number}@example.com", "enter", at) for number in range(people))


def _settled(here: World) -> bool:
    names = here.kafka.names()
    return all(here.folded(names["cm_activity"], app_id) for app_id in APP_IDS.values())


def failures(rows: Sequence[Result]) -> list[str]:
    """Say which worker holds too much at rest, and which one's memory grows with the number of events."""
    found = []
    held: dict[str, list[float]] = {}
    for row in rows:
        held.setdefault(row.workload.split(",")[0], []).append(row.resident_mb or 0.0)
    for worker, sizes in held.items():
        if max(sizes) > MAX_MB:
            found.append(f"{SUITE}, {worker}: {max(sizes):.0f} MiB at rest, more than {MAX_MB:.0f}")
        if sizes[-1] - sizes[0] > GROWTH_MB:
            found.append(f"{SUITE}, {worker}: from {sizes[0]:.0f} to {sizes[-1]:.0f} MiB with the number of events")
    return found


def _row(bench: Bench, name: str, worker: Service, events: int) -> Result:
    row = Result(
        suite=SUITE,
        workload=f"{name}, {events:,} activities",
        system=OURS,
        events=events,
        resident_mb=round(worker.resident_mb, 1),
        versions=python_versions("faust-streaming", "aiokafka", "confluent-kafka", "rocksdict")(),
        note=f"{PARTITIONS} partitions, at rest",
        quick=bench.quick,
    )
    bench.report(f"{SUITE}, {row.workload}: {row.figures()}")
    return row
