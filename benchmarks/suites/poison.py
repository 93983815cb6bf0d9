"""Suite `poison`: what records that cannot be used cost, one in a hundred of each kind, beside clean input.

Membership events are read, activity is read and folded, as the agents do it; in this process, without a broker. Each
kind takes turns with clean input; CPU time, medians. A kind below 80 % of clean throughput is a failure.
"""

import gc
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median

import orjson

from benchmarks.contest import Bench
from benchmarks.results import Result
from benchmarks.systems import OURS, python_versions
from streams.batches import StoredRecord
from streams.export.intake.decode import UnreadableEvent, decode
from streams.mapping.catalog import load_catalog
from streams.profile.folding.events import UnusableRecord
from streams.profile.folding.fold import BatchEffects, ProfileFold, ProfileTopics

SUITE = "poison"
EVENTS, QUICK_EVENTS = 20_000, 6_000
ONE_IN = 100
SHARE_OF_CLEAN = 0.8
TURNS = 5
EVENTS_OF_A_PERSON = 10
ARRIVED = 1_790_000_000_000

NESTED = b"[" * 300 + b"]" * 300
AT = {"at": "2026-01-01T00:00:00Z", "email": "ann@example.com"}
MEMBERSHIP = {**AT, "change": "enter", "audience": {"id": "vip", "name": "VIP"}, "user": {"city": "Graz"}}
ACTIVITY = {**AT, "event": "open", "source": "campaign", "campaign_id": "c", "event_id": "e1"}


@dataclass(frozen=True, slots=True)
class Poison:
    """A record that cannot be used, and why not."""

    kind: str
    value: bytes | None
    headers: Sequence[tuple[str, bytes | None]] = ()


EVERYWHERE = (Poison("not JSON", b"{"), Poison("no value", None), Poison("only brackets", b"[" * 10_000))
MEMBERSHIP_POISON = (
    *EVERYWHERE,
    Poison("a list as change", orjson.dumps(MEMBERSHIP | {"change": []})),
    Poison("a list as audience", orjson.dumps(MEMBERSHIP | {"audience": [1]})),
    Poison("a header without a value", orjson.dumps(MEMBERSHIP), (("ce_specversion", None),)),
    Poison("nested 300 deep", orjson.dumps(MEMBERSHIP | {"user": {"city": "?"}}).replace(b'"?"', NESTED)),
)
ACTIVITY_POISON = (
    *EVERYWHERE,
    Poison("a list as event", orjson.dumps(ACTIVITY | {"event": []})),
    Poison("no address", orjson.dumps(ACTIVITY | {"email": "?"})),
    Poison("no time", orjson.dumps(ACTIVITY | {"at": "soon"})),
    Poison("nested 300 deep", orjson.dumps(ACTIVITY | {"campaign_id": "?"}).replace(b'"?"', NESTED)),
)

Work = Callable[[Sequence[StoredRecord]], int]
"""Reads records; returns how many cannot be used."""


def run(bench: Bench, *, extra: bool = False) -> list[Result]:
    """Measure the export's decoding, and profiles."""
    topics: Sequence[tuple[str, Work, Mapping[str, object], Sequence[Poison]]] = (
        ("audience-membership", read_memberships, MEMBERSHIP, MEMBERSHIP_POISON),
        ("cm_activity", activity_folder(), ACTIVITY, ACTIVITY_POISON),
    )
    count = bench.scaled(EVENTS, quick=QUICK_EVENTS)
    return [row for topic, *rest in topics for row in _rows(bench, topic, *rest, count)]


def read_memberships(records: Sequence[StoredRecord]) -> int:
    """Read membership events as the export's agent does."""
    events = (decode(record.value, record.headers, record.offset, record.timestamp, record.key) for record in records)
    return sum(isinstance(event, UnreadableEvent) for event in events)


def activity_folder() -> Work:
    """Return what folds activity into profiles of ten events, each encoded once, as the profiles' agent does."""
    fold = ProfileFold(load_catalog(), ProfileTopics("moves", "erasures"))
    stream = fold.streams["cm_activity"]

    def work(records: Sequence[StoredRecord]) -> int:
        unusable = 0
        for start in range(0, len(records), EVENTS_OF_A_PERSON):
            events = []
            for record in records[start : start + EVENTS_OF_A_PERSON]:
                try:
                    events.append(stream.reader.read(record)[1])
                except UnusableRecord:
                    unusable += 1
            profile = fold.codec.decode(b"ann@example.com", None, b"")
            fold.events(profile, "ann@example.com", stream, events, BatchEffects(0))
            fold.codec.encode(profile)
        return unusable

    return work


def _rows(
    bench: Bench, topic: str, work: Work, message: Mapping[str, object], kinds: Sequence[Poison], count: int
) -> list[Result]:
    clean = Poison("clean", orjson.dumps(message))
    plain = _records(clean, clean, count)
    rows = [_row(bench, topic, clean.kind, count, median(_seconds(work, plain)[0] for _ in range(TURNS)), "")]
    for kind in kinds:
        poisoned = _records(clean, kind, count)
        turns = [(_seconds(work, plain)[0], *_seconds(work, poisoned)) for _ in range(TURNS)]
        fraction = median(without / seconds for without, seconds, _ in turns)
        if turns[0][2] != count // ONE_IN:
            bench.failures.append(f"{SUITE}, {topic}, {kind.kind}: {turns[0][2]} of {count // ONE_IN} were refused")
        if fraction < SHARE_OF_CLEAN and not bench.check_only:
            bench.failures.append(f"{SUITE}, {topic}, {kind.kind}: {fraction:.0%} of the clean throughput")
        taken = median(seconds for _, seconds, _ in turns)
        rows.append(_row(bench, topic, kind.kind, count, taken, f"{fraction:.0%} of the clean throughput"))
    for row in rows:
        bench.report(f"{SUITE}, {row.workload}: {row.figures()}")
    return rows


def _seconds(work: Work, records: Sequence[StoredRecord]) -> tuple[float, int]:
    """CPU seconds of the work, and how many records could not be used."""
    gc.collect()
    began = time.process_time()
    unusable = work(records)
    return time.process_time() - began, unusable


def _records(clean: Poison, poison: Poison, count: int) -> list[StoredRecord]:
    kinds = (poison if number % ONE_IN == 0 else clean for number in range(count))
    return [
        StoredRecord(number, b"ann@example.com", kind.value, ARRIVED, tuple(kind.headers))
        for number, kind in enumerate(kinds)
    ]


def _row(bench: Bench, topic: str, kind: str, count: int, seconds: float, note: str) -> Result:
    return Result(
        suite=SUITE,
        workload=f"{topic}, 1 % {kind}" if kind != "clean" else f"{topic}, clean",
        system=OURS,
        events=count,
        events_per_s=round(count / seconds, 1),
        cpu_us_per_event=round(seconds / count * 1e6, 2),
        versions=python_versions("orjson", "msgspec")(),
        note=note,
        quick=bench.quick,
    )
