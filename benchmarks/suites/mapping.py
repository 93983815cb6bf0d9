"""Suite `mapping`: the full default mapping of cm_user and cm_activity, against the same mapping written in Java."""

from collections.abc import Iterator

from benchmarks.compare_profiles import canonical_bytes
from benchmarks.contest import Bench, Entry, Expected
from benchmarks.mail_events import mail_events
from benchmarks.mail_oracle import expected_mail_profiles
from benchmarks.results import Result
from benchmarks.suites.samples import sampler
from benchmarks.systems import (
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
from benchmarks.workloads import MILLION, ROUND_ROBIN, ZIPF, Workload

SUITE = "mapping"
EVENTS = {ROUND_ROBIN: 150_000, ZIPF: 150_000, MILLION: 200_000}
QUICK_EVENTS = 30_000
USERS, ACTIVITIES = f"{PREFIX}-in-cm_user", f"{PREFIX}-in-cm_activity"

ours = System(
    name=OURS,
    command=python("benchmarks.ours.mapping_job"),
    guarantee="every event counted once, also over crashes and when it comes again with its id",
    versions=python_versions("faust-streaming", "aiokafka", "confluent-kafka", "rocksdict", "orjson"),
)
kafka_streams = System(
    name=KAFKA_STREAMS,
    command=java("mapping"),
    guarantee="at least once; a replay counts twice, repeated event ids too",
    versions=java_versions,
    prepare=prepare_java,
    java=True,
)
SYSTEMS = (ours, kafka_streams)


def run(bench: Bench, *, extra: bool = False) -> list[Result]:
    """Measure, and compare both systems' profiles one by one with what they must be: so also with each other."""
    systems = bench.ready(SYSTEMS)
    results: list[Result] = []
    for workload in (ZIPF, MILLION) if bench.quick else (ROUND_ROBIN, ZIPF, MILLION):
        results += measure(bench, workload, systems)
    return results


def measure(bench: Bench, workload: Workload, systems: list[System]) -> list[Result]:
    events = bench.scaled(EVENTS[workload], quick=QUICK_EVENTS)
    workload = bench.peopled(workload)
    is_sample = sampler(1 if workload.users <= ROUND_ROBIN.users else 20)
    known: dict[str, bytes] = {}

    def messages() -> Iterator[Message]:
        return mail_events(workload, events, USERS, ACTIVITIES)

    def expected() -> Expected:
        if not known:
            sample = (message for message in messages() if is_sample(message.key))
            profiles = expected_mail_profiles(sample, USERS)
            known.update((key, canonical_bytes(value)) for key, value in profiles.items())
        return known

    bench.topics.create(USERS)
    bench.fill(ACTIVITIES, messages())
    entries = [Entry(system, (USERS, ACTIVITIES), events, expected, is_sample) for system in systems]
    results = bench.contest(SUITE, workload.name, entries)
    bench.topics.delete(f"{PREFIX}-in-")
    return results
