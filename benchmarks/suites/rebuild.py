"""Suite `rebuild`: how fast an empty disk gets its state back from a changelog of 1,000,000 rows."""

from collections.abc import Iterator

import orjson

from benchmarks.contest import Bench, Entry
from benchmarks.results import Result
from benchmarks.systems import (
    FAUST,
    KAFKA_STREAMS,
    OURS,
    System,
    java,
    java_versions,
    prepare_java,
    python,
    python_versions,
)
from benchmarks.topics import PREFIX, Message
from benchmarks.workloads import email_of
from streams.batches import STATE_HEADER, encode_hidden, topic_hash

SUITE = "rebuild"
APP = f"{PREFIX}-rebuild"
CHANGELOG = f"{APP}-profiles-changelog"
EVENTS = f"{APP}-events"

ours = System(
    name=OURS,
    command=python("benchmarks.ours.rebuild"),
    guarantee="whole store, flushed to disk",
    versions=python_versions("faust-streaming", "confluent-kafka", "rocksdict"),
)
kafka_streams = System(
    name=KAFKA_STREAMS,
    command=java("rebuild", "session=3000"),
    guarantee="whole store",
    versions=java_versions,
    prepare=prepare_java,
    java=True,
)
faust = System(
    name=FAUST,
    command=python("benchmarks.peers.faust_rebuild"),
    guarantee="partial: timed over the first keys only, a whole rebuild takes minutes",
    versions=python_versions("faust-streaming", "aiokafka", "rocksdict"),
    share=1 / 25,
)


def changelog_rows(keys: int) -> Iterator[Message]:
    """Yield one row for each person: a profile with 30 opens, 680 bytes, and our hidden state in a header."""
    headers = [(STATE_HEADER, encode_hidden({topic_hash(EVENTS): (1, 29)}, b""))]
    profile = {
        "cm_email_event": {"open": 30},
        "email": "",
        "email_domain": "example.com",
        "cm_campaign_ids": ["c1", "c2"],
        "cm_listids": ["l1"],
        "cm_openct": 30,
        "cm_lastopen_ts": 1_700_600_000,
        "cm_firstopen_ts": 1_700_000_000,
        "last_active_ts": 1_700_600_000,
        "cm_hourlyopen": {str(hour): 1 for hour in range(24)},
        "cm_hourofweek": {str(hour * 5): 1 for hour in range(30)},
        "cm_monthly": {"2311": 30},
    }
    for user in range(keys):
        profile["email"] = email_of(user)
        yield Message(CHANGELOG, email_of(user).encode(), orjson.dumps(profile), headers=headers)


def run(bench: Bench, *, extra: bool = False) -> list[Result]:
    """Measure keys/s (in the column events/s) from the first record asked for to the last one in the store."""
    keys = bench.scaled(1_000_000, quick=200_000)
    bench.topics.delete(APP)
    bench.topics.create(EVENTS)
    bench.topics.create(CHANGELOG, compact=True)
    count = bench.topics.fill(changelog_rows(keys))
    bench.report(f"changelog: {count:,} rows")
    entries = [
        Entry(system, (EVENTS, CHANGELOG), keys, app=APP)
        if system is kafka_streams
        else Entry(system, (EVENTS, CHANGELOG), int(keys * system.share), runs=1 if system is faust else None)
        for system in bench.ready([ours, kafka_streams, faust])
    ]
    results = bench.contest(SUITE, f"{keys:,} rows", entries)
    bench.topics.delete(APP)
    return results
