"""Suite `profile`: a small profile for each person, updated by each event. The job of every peer."""

from functools import partial

from benchmarks.compare_profiles import canonical_bytes
from benchmarks.contest import Bench, Entry, Expected
from benchmarks.oracle import expected_profiles
from benchmarks.results import Result
from benchmarks.suites.latency import at_rest
from benchmarks.suites.samples import sampler
from benchmarks.systems import (
    FAUST,
    KAFKA_STREAMS,
    OURS,
    System,
    java,
    java_versions,
    prepare_java,
    prepare_quix,
    python,
    python_versions,
    quix,
    quix_versions,
)
from benchmarks.topics import PREFIX, Message
from benchmarks.workloads import MILLION, ROUND_ROBIN, TEN_MILLION, ZIPF, Workload, profile_events

SUITE = "profile"
EVENTS = {ROUND_ROBIN: 300_000, ZIPF: 300_000, MILLION: 400_000, TEN_MILLION: 10_000_000}
QUICK_EVENTS = 60_000

AT_LEAST_ONCE = "at least once; a replay counts twice"

ours = System(
    name=OURS,
    command=python("benchmarks.ours.profile_job"),
    guarantee="every event counted once, also over crashes; changelog acknowledged before the commit",
    versions=python_versions("faust-streaming", "aiokafka", "confluent-kafka", "rocksdict", "orjson"),
)
kafka_streams = System(
    name=KAFKA_STREAMS,
    command=java("profile"),
    guarantee=AT_LEAST_ONCE,
    versions=java_versions,
    prepare=prepare_java,
    java=True,
)
kafka_streams_others = (
    System(
        name="Kafka Streams, changelog only",
        command=java("profile", "api=changelog"),
        guarantee=AT_LEAST_ONCE,
        versions=java_versions,
        result_topic=lambda job: f"{job.app}-profiles-changelog",
        prepare=prepare_java,
        java=True,
    ),
    System(
        name="Kafka Streams, one output an event",
        command=java("profile", "api=processor"),
        guarantee=AT_LEAST_ONCE,
        versions=java_versions,
        prepare=prepare_java,
        java=True,
    ),
    System(
        name="Kafka Streams, exactly_once_v2",
        command=java("profile", "guarantee=exactly_once_v2"),
        guarantee="exactly once (transactions)",
        versions=java_versions,
        prepare=prepare_java,
        java=True,
    ),
)
faust = System(
    name=FAUST,
    command=python("benchmarks.peers.faust_table"),
    guarantee="none: an event that fails is committed, a replay counts twice, the changelog is not awaited",
    versions=python_versions("faust-streaming", "aiokafka", "rocksdict"),
    result_topic=lambda job: f"{job.app}-profiles-changelog",
    share=1 / 60,
)
quix_streams = System(
    name="Quix Streams",
    command=quix("benchmarks.peers.quix.profile_job"),
    guarantee=AT_LEAST_ONCE,
    versions=quix_versions,
    prepare=prepare_quix,
    share=1 / 10,
)
bare_dict = System(
    name="bare loop, dict",
    command=python("benchmarks.peers.bare_loop", "dict"),
    guarantee="none: the state is lost with the process",
    versions=python_versions("confluent-kafka", "orjson"),
)
bare_rocksdb = System(
    name="bare loop, RocksDB",
    command=python("benchmarks.peers.bare_loop", "rocksdb"),
    guarantee="a replay counts twice; the state is lost with the disk",
    versions=python_versions("confluent-kafka", "rocksdict", "orjson"),
    share=1 / 4,
)

SYSTEMS = (ours, kafka_streams, bare_dict, bare_rocksdb, quix_streams, faust)
SLOW = (bare_rocksdb, quix_streams, faust)
"""Run three times on the first workload, once on the others, in a quick run on the first only: time is limited."""
QUICK_SYSTEMS = (ours, bare_dict, bare_rocksdb, faust)


def run(bench: Bench, *, extra: bool = False) -> list[Result]:
    """Measure every system on every workload, and the latency at rest.

    `extra` adds the other ways to write the Kafka Streams peer, and ours with 10,000,000 people.
    """
    wanted = QUICK_SYSTEMS if bench.quick and not bench.check_only else SYSTEMS
    systems = bench.ready([*wanted, *(kafka_streams_others if extra else ())])
    results: list[Result] = []
    for workload in (ROUND_ROBIN, ZIPF, MILLION):
        results += measure(bench, workload, systems)
    if extra and not bench.check_only:
        results += measure(bench, TEN_MILLION, bench.ready([ours]))
    results += at_rest(bench, SUITE, [system for system in systems if system.name == OURS])
    return results


def measure(bench: Bench, workload: Workload, systems: list[System]) -> list[Result]:
    events = bench.scaled(EVENTS[workload], quick=QUICK_EVENTS)
    workload = bench.peopled(workload)
    is_sample = sampler(1 if workload.users <= ROUND_ROBIN.users else 20 if workload.users <= MILLION.users else 500)
    inputs: dict[int, str] = {}
    expectations: dict[int, Expected] = {}

    def expected(count: int) -> Expected:
        if count not in expectations:
            sample = (event for event in profile_events(workload, count) if is_sample(event[0]))
            expectations[count] = {key: canonical_bytes(value) for key, value in expected_profiles(sample).items()}
        return expectations[count]

    entries = []
    first = workload.spread == ROUND_ROBIN.spread
    for system in systems:
        if bench.quick and system in SLOW and not first:
            continue
        count = events if bench.check_only else int(events * system.share)
        if count not in inputs:
            inputs[count] = f"{PREFIX}-in-{workload.users}-{workload.spread.replace(' ', '-')}-{count}"
            bench.fill(inputs[count], (Message(inputs[count], *event) for event in profile_events(workload, count)))
        runs = 1 if system in SLOW and not first else None
        entries.append(Entry(system, (inputs[count],), count, partial(expected, count), is_sample, runs=runs))
    results = bench.contest(SUITE, workload.name, entries)
    bench.topics.delete(f"{PREFIX}-in-")
    return results
