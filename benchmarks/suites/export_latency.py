"""From the append of a membership event to its acceptance, one change a second and two hundred.

Who leaves their last audience takes a call of their own (docs/export.md), so people who enter and people who leave are
rows of their own.
"""

import time
from collections import defaultdict, deque
from statistics import quantiles

from benchmarks.contest import Bench, WrongOutputError
from benchmarks.results import Result
from benchmarks.services import Meter
from benchmarks.suites.export_row import row
from benchmarks.suites.export_world import World, world

IN_FLIGHT = 4
# changes a second -> seconds: whole run, quick run, mere check
RATES = {1: (60, 12, 4), 200: (20, 8, 4)}


def rates(bench: Bench) -> list[Result]:
    """Return a row for each rate, from one worker."""
    found = []
    with world(bench, "latency") as here, here.worker(IN_FLIGHT) as worker:
        here.job()
        here.warm_up()
        for rate, (whole, quick, check) in RATES.items():
            people = rate * bench.scaled(whole, quick=quick, check=check) // 2
            for change, what in (("enter", "people enter"), ("exit", "people leave")):
                meter = Meter(ours=worker, simulator=here.account.service)
                times = at_rate(here, rate, people, change)
                cuts = quantiles(times, n=100, method="inclusive")
                found.append(
                    row(
                        bench,
                        f"{rate} change{'s' * (rate > 1)}/s, {what}, {IN_FLIGHT} in flight",
                        events=len(times),
                        cpu_us_per_event=round(meter.seconds()["ours"] / len(times) * 1e6, 1),
                        p50_ms=round(cuts[49] * 1000, 1),
                        p99_ms=round(cuts[98] * 1000, 1),
                        note=f"longest {max(times) * 1000:.0f} ms; {meter.cores()}",
                        checked="each change accepted once",
                    )
                )
    return found


def at_rate(here: World, rate: float, people: int, change: str) -> list[float]:
    """Append a change for each of the people, evenly, and return the seconds until each was accepted."""
    before = here.written()
    sent: defaultdict[str, deque[float]] = defaultdict(deque)
    started = time.monotonic()
    for number in range(people):
        time.sleep(max(0.0, started + number / rate - time.monotonic()))
        email = f"live{rate}-{number}@example.com"
        sent[email].append(here.send(email, change))
    here.producer.flush(10)
    here.await_writes(before + people, 60)
    accepted = [(write["email"], write["at"]) for write in here.account.do("writes", after=before)]
    times = [at - sent[email].popleft() for email, at in accepted if sent[email]]
    if len(times) != people:
        raise WrongOutputError(f"{len(times)} of {people} changes were accepted")
    return times
