"""A new job with everybody who is in the audience already, while live changes go on."""

import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from statistics import quantiles

from benchmarks.contest import Bench, WrongOutputError
from benchmarks.results import Result
from benchmarks.services import Meter
from benchmarks.suites.export_row import row
from benchmarks.suites.export_world import World, membership, world
from benchmarks.suites.waiting import until
from benchmarks.topics import Message

MEMBERS, EXTRA_MEMBERS = 100_000, 1_000_000
LIVE_RATE = 20
IN_FLIGHT = 4
BOOK_ENTRIES = 1_000
"""Kept by the simulator: a million entries would be memory that is not ours."""


def backfill(bench: Bench, *, extra: bool) -> Result:
    """Time the backfill to its last acceptance; the live changes' times are those of their receipts."""
    members = bench.scaled(EXTRA_MEMBERS if extra else MEMBERS, quick=10_000, check=3_000)

    def messages(topic: str) -> Iterator[Message]:
        at = datetime.now(UTC)
        for number in range(members):
            yield membership(topic, f"member{number}@example.com", "enter", at)

    with world(bench, "backfill", book_limit=BOOK_ENTRIES) as here:
        with here.worker(IN_FLIGHT) as worker:
            bench.topics.fill(messages(here.source))
            until(here.folded, 60 + members / 5_000, "folded members", every=0.5)
            resting = worker.resident_mb
            live = _Live(here)
            meter = Meter(ours=worker, simulator=here.account.service)
            started = time.monotonic()
            here.job(existing_users=True)
            until(lambda: here.active() >= 1, 60, "first member on the list", every=0.02)
            live.start()
            halfway = 0.0
            while (active := here.active()) < members:
                if time.monotonic() > started + 120 + members / 1_000:
                    raise WrongOutputError(f"{active:,} of {members:,} members are on the list")
                if not halfway and active > members // 2:
                    halfway = worker.resident_mb
                time.sleep(0.1)
            seconds = time.monotonic() - started
            sent = live.stop()
            cores, spent, end = meter.cores(), meter.seconds(), worker.resident_mb
            until(lambda: here.active() == members + sent, 30, f"{members + sent:,} people on the list")
            until(here.folded, 30, "folded changes")
        receipts = [receipt["latency_ms"] for receipt in here.receipts() if receipt["email"].startswith("live")]
        if len(receipts) != sent:
            raise WrongOutputError(f"{sent} live changes have {len(receipts)} receipts")
        cuts = quantiles(receipts, n=100, method="inclusive")
        return row(
            bench,
            f"backfill of {members:,} with {LIVE_RATE} live changes/s",
            events=members,
            events_per_s=round(members / seconds, 1),
            cpu_us_per_event=round(spent["ours"] / members * 1e6, 1),
            peak_rss_mb=round(worker.peak_rss_mb, 1),
            p50_ms=round(cuts[49], 1),
            p99_ms=round(cuts[98], 1),
            note=f"ms are those of {sent} live changes; MiB before, halfway and after: "
            f"{resting:.0f}, {halfway:.0f}, {end:.0f}; {cores}",
            checked="every member Active, one receipt for each live change",
        )


class _Live(threading.Thread):
    """New people enter, evenly, until stopped."""

    def __init__(self, here: World) -> None:
        super().__init__(daemon=True)
        self._here = here
        self._over = threading.Event()
        self._sent = 0

    def run(self) -> None:
        while not self._over.wait(1 / LIVE_RATE):
            self._here.send(f"live{self._sent}@example.com", "enter")
            self._sent += 1

    def stop(self) -> int:
        """End it and return how many have entered."""
        while self._sent < 2 and self.is_alive():
            time.sleep(0.01)
        self._over.set()
        self.join()
        self._here.producer.flush(10)
        return self._sent
