"""Latency at rest: from the append of one event to its profile in the changelog, as a consumer of it sees it.

The system is started and left alone; then single events of new people are published, one every 20 ms. The clock runs
from the call that publishes the event to the moment a consumer holds the profile: three hops over the broker (event
in, event to the system, record out and acknowledged) and one more (record to the consumer), so the true time to the
acknowledgement is shorter. The row "no system" is the same with the event itself consumed: the floor of the probe.
"""

import contextlib
import subprocess
import time
from collections.abc import Iterator, Sequence
from statistics import quantiles

from confluent_kafka import OFFSET_END, Consumer, Producer, TopicPartition

from benchmarks.contest import Bench, Entry
from benchmarks.job import PARTITIONS
from benchmarks.measure import running
from benchmarks.results import Result
from benchmarks.systems import System
from benchmarks.topics import PREFIX

WORKLOAD = "latency at rest"
INTERVAL_SECONDS = 0.02
WARM_UP = 50
START_SECONDS = 60.0
"""Until the system has joined its group and answered the first event."""
LOST_SECONDS = 10.0


class LostEventError(RuntimeError):
    """An event of the probe got no answer."""


def at_rest(bench: Bench, suite: str, systems: Sequence[System]) -> list[Result]:
    """Return one row with p50 and p99 for the probe itself and one for each system."""
    events = bench.scaled(600, quick=200, check=50)
    results = []
    topic = f"{PREFIX}-in-latency"
    bench.topics.create(topic)
    floor = _probe(bench.topics.bootstrap, topic, topic, events)
    results.append(_row(suite, "no system", events, floor, bench.quick, "consumes the event itself"))
    for system in systems:
        entry = Entry(system, (topic,), events=1_000_000_000)
        job = bench.job(entry)
        try:
            with running(system.command(job), job.state.parent) as process:
                times = _probe(bench.topics.bootstrap, topic, system.result_topic(job), events, process)
        except LostEventError as error:
            bench.failures.append(f"{suite}, {WORKLOAD}, {system.name}: {error}")
            bench.report(bench.failures[-1])
        else:
            row = _row(suite, system.name, events, times, bench.quick, system.guarantee)
            results.append(row)
        finally:
            bench.tidy(job)
    bench.topics.delete(topic)
    for row in results:
        bench.report(f"{suite}, {WORKLOAD}: {row.system} p50 {row.p50_ms} ms, p99 {row.p99_ms} ms")
    return results


def _row(suite: str, system: str, events: int, times: Sequence[float], quick: bool, guarantee: str) -> Result:
    cuts = quantiles(times, n=100, method="inclusive")
    return Result(
        suite=suite,
        workload=WORKLOAD,
        system=system,
        events=events,
        p50_ms=round(cuts[49] * 1000, 2),
        p99_ms=round(cuts[98] * 1000, 2),
        guarantee=guarantee,
        checked="every event answered once",
        quick=quick,
    )


def _probe(
    bootstrap: str, into: str, out_of: str, events: int, process: subprocess.Popen[bytes] | None = None
) -> list[float]:
    """Publish single events and return the seconds until each one's record was read, without the warm-up."""
    producer = Producer({"bootstrap.servers": bootstrap, "linger.ms": 0, "partitioner": "murmur2_random"})
    with _reader(bootstrap, out_of) as consumer:
        _await_first(producer, consumer, into, process)
        times = []
        for number in range(WARM_UP + events):
            times.append(_one(producer, consumer, into, f"latency{number}@example.com".encode()))
            time.sleep(INTERVAL_SECONDS)
    producer.flush(10)
    return times[WARM_UP:]


@contextlib.contextmanager
def _reader(bootstrap: str, topic: str) -> Iterator[Consumer]:
    settings = {"bootstrap.servers": bootstrap, "group.id": f"{PREFIX}-probe", "enable.auto.commit": False}
    consumer = Consumer(settings | {"isolation.level": "read_committed", "fetch.error.backoff.ms": 10})
    try:
        consumer.assign([TopicPartition(topic, partition, OFFSET_END) for partition in range(PARTITIONS)])
        yield consumer
    finally:
        consumer.close()


def _await_first(producer: Producer, consumer: Consumer, topic: str, process: subprocess.Popen[bytes] | None) -> None:
    """Return when every partition answers: the system has joined, and all connections are open."""
    deadline = time.monotonic() + START_SECONDS
    answered: set[int] = set()
    number = 0
    while len(answered) < PARTITIONS:
        if process is not None and process.poll() is not None:
            raise LostEventError("it ended before it answered an event")
        if time.monotonic() > deadline:
            raise LostEventError(f"no answer in {START_SECONDS:.0f} s after the start")
        _publish(producer, topic, f"first{number}@example.com".encode())
        number += 1
        until = time.monotonic() + 0.5
        while time.monotonic() < until and len(answered) < PARTITIONS:
            record = consumer.poll(0.1)
            if record is not None and record.error() is None:
                answered.add(record.partition())
    while (record := consumer.poll(1.0)) is not None:
        pass


def _one(producer: Producer, consumer: Consumer, topic: str, key: bytes) -> float:
    started = time.perf_counter()
    _publish(producer, topic, key)
    while time.perf_counter() - started < LOST_SECONDS:
        record = consumer.poll(1.0)
        if record is not None and record.error() is None and record.key() == key:
            return time.perf_counter() - started
    raise LostEventError(f"no profile of {key.decode()} in {LOST_SECONDS:.0f} s")


def _publish(producer: Producer, topic: str, key: bytes) -> None:
    value = b'{"event":"open","email":"%s","epoch":1700000000,"campaign_id":"c1","list_id":"l1"}' % key
    producer.produce(topic, value, key)
    producer.poll(0)
