"""Two hours in which Campaign Monitor answers nothing but 503, as a backlog of events with their times."""

import random
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

from benchmarks.contest import Bench, WrongOutputError
from benchmarks.results import Result
from benchmarks.suites.export_row import row
from benchmarks.suites.export_world import CALL_ROWS, World, membership, world
from benchmarks.suites.waiting import until
from benchmarks.topics import Message
from benchmarks.workloads import SEED

SECONDS = 7_200
IN_FLIGHT = 4
LONGEST_SECONDS = 120.0
QUIET_SECONDS = 3.0
"""Without a write: nothing more comes."""


def outage(bench: Bench) -> Result:
    """Half of the people are in the audience before; afterwards only those who changed sides are written.

    A call that failed may have been carried out for all we know, so the people of the last attempts are written again:
    no more than the calls that were open when the outage began, and one probe.
    """
    events = bench.scaled(60_000, quick=10_000, check=3_000)
    people = events // 12
    chance = random.Random(SEED)
    before = set(range(0, people, 2))
    now = set(before)

    def messages(topic: str) -> Iterator[Message]:
        start = datetime.now(UTC) - timedelta(seconds=SECONDS)
        for number in range(events):
            person = chance.randrange(people)
            entered = chance.random() < 0.5
            (now.add if entered else now.discard)(person)
            at = start + timedelta(seconds=SECONDS * number / events)
            yield membership(topic, f"person{person}@example.com", "enter" if entered else "exit", at)

    with world(bench, "outage") as here, here.worker(IN_FLIGHT):
        here.job()
        longer_ago = datetime.now(UTC) - timedelta(seconds=SECONDS + 600)
        bench.topics.fill(
            membership(here.source, f"person{person}@example.com", "enter", longer_ago) for person in before
        )
        until(lambda: here.active() == len(before), 60, "people on the list before")
        time.sleep(1.5)
        here.account.do("inject", kind="status", status=503, count=None)
        earlier = here.written()
        here.send("probe@example.com", "enter")
        until(lambda: here.account.do("summary")["faults"].get("status", 0) > 0, 30, "failed call")
        bench.topics.fill(messages(here.source))
        until(here.folded, 60, "folded events", every=0.3)
        if here.written() != earlier:
            raise WrongOutputError("something was written during the outage")
        here.account.do("clear_faults")
        ended = time.monotonic()
        net = before ^ now
        wanted = {f"person{person}@example.com" for person in net} | {"probe@example.com"}
        written: set[str] = set()
        while not wanted <= written and time.monotonic() < ended + LONGEST_SECONDS:
            time.sleep(0.25)
            if here.written() >= earlier + len(wanted):
                written = {write["email"] for write in here.account.do("writes", after=earlier)}
        seconds = time.monotonic() - ended
        _await_quiet(here)
        written = {write["email"] for write in here.account.do("writes", after=earlier)}
        again = len(written - wanted)
        if not wanted <= written or here.written() - earlier != len(written):
            raise WrongOutputError(
                f"{len(wanted - written):,} net changes are missing, {here.written() - earlier - len(written):,} "
                "people were written twice"
            )
        if again > IN_FLIGHT * CALL_ROWS:
            raise WrongOutputError(f"{again:,} people were written whose membership did not change")
        return row(
            bench,
            "outage of two hours",
            events=events,
            events_per_s=round(events / seconds, 1),
            note=f"{events:,} events of {people:,} people, {len(net):,} net changes, {len(written):,} people written "
            f"({again:,} of them as their failed call may have arrived), {seconds:.1f} s after the outage",
            checked="every net change written once",
        )


def _await_quiet(here: World) -> None:
    """Wait until nothing was written for a while."""
    known, since = here.written(), time.monotonic()
    while time.monotonic() < since + QUIET_SECONDS:
        time.sleep(0.25)
        if (found := here.written()) != known:
            known, since = found, time.monotonic()
