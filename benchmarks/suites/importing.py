"""Suite `import`: subscribers and activity out of a Campaign Monitor that takes 100 ms for each page, into Kafka.

The connector is the product's own process. The clock runs from the request of the first page with rows to the last
row's append; one page's time is added to the time between the first and the last row.
"""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import orjson
from confluent_kafka import Producer

from benchmarks.contest import Bench, WrongOutputError
from benchmarks.job import PARTITIONS
from benchmarks.measure import RunFailedError
from benchmarks.results import Result
from benchmarks.services import Meter, Service, product
from benchmarks.suites import import_peers
from benchmarks.suites.import_account import LATENCY_MS, PAGE_ROWS, SUITE, Filled, Size, calls_made, filled, read_pages
from benchmarks.suites.waiting import until
from benchmarks.systems import (
    OURS,
    PeerUnavailableError,
    python_versions,
)
from connectors.kafka.admin import ensure_topics
from connectors.kafka.settings import KafkaSettings
from schemas.control import ImportJob

GUARANTEE = "each row once, also over crashes and when a read is repeated (transactions, event ids)"
VERSIONS = python_versions("aiohttp", "aiokafka", "confluent-kafka", "orjson")
SIMULATOR = "the simulator alone"

# Pages in flight -> an account that lasts for 20 seconds at the limit.
USUAL = {1: Size(50_000, 80_000, 20_000), 4: Size(200_000, 340_000, 60_000), 8: Size(400_000, 680_000, 120_000)}
LOOPS = Size(6_000, 6_000, 1_500)
"""For the tap and a single loop, which would take minutes otherwise."""
LARGE = Size(1_000_000, 3_200_000, 800_000)
LARGE_LATENCY_MS = 10.0
"""Memory is the question there; the cores are the limit, not the latency."""
SLOW_LATENCY_MS = 400.0
"""With eight in flight two cores are enough then."""
QUICK, CHECK = LOOPS, Size(1_500, 1_200, 300)


def run(bench: Bench, *, extra: bool = False) -> list[Result]:
    """Measure 1, 4 and 8 pages in flight, and the peers, one page after the other. `extra`: 6,000,000 rows."""
    few = CHECK if bench.check_only else LOOPS
    results: list[Result] = []
    for in_flight, usual in USUAL.items():
        size = CHECK if bench.check_only else QUICK if bench.quick else usual
        if in_flight <= 4 or not bench.quick:
            _case(bench, results, in_flight, size, f"{in_flight} in flight", threads=in_flight == 4)
        if in_flight == 1:
            _try(bench, results, lambda: import_peers.loop(bench, few))
            if not bench.quick:  # its environment has to be made first
                _try(bench, results, lambda: import_peers.tap(bench, few))
    if not bench.quick and not bench.check_only:
        _case(bench, results, 8, USUAL[4], f"8 in flight, {SLOW_LATENCY_MS:.0f} ms", SLOW_LATENCY_MS)
    if extra and not bench.check_only:
        _case(bench, results, 8, LARGE, "8 in flight, 1,000,000 subscribers", LARGE_LATENCY_MS)
    return results


def _case(
    bench: Bench,
    results: list[Result],
    in_flight: int,
    size: Size,
    workload: str,
    latency_ms: float = LATENCY_MS,
    *,
    threads: bool = False,
) -> None:
    """Measure on one account: the simulator alone, ours, and the official client in as many threads."""
    _, directory = bench.fresh(f"import{in_flight}")
    try:
        # The largest account would take as much memory again for the rows that are kept.
        with filled(directory, size, latency_ms, keep=size is not LARGE) as it:
            _try(bench, results, lambda: apparatus(it, in_flight, workload, latency_ms))
            _try(bench, results, lambda: ours(bench, it, directory, in_flight, workload, latency_ms))
            if threads:
                _try(bench, results, lambda: import_peers.client_in_threads(bench, it, directory, in_flight, workload))
    except (RunFailedError, TimeoutError, OSError) as error:
        bench.failures.append(f"import: {error}")
        bench.report(bench.failures[-1])


def apparatus(it: Filled, in_flight: int, workload: str, latency_ms: float) -> Result:
    """Return what threads get that read pages and do nothing: more than that nobody can get."""
    pages = it.pages[: 50 * in_flight]
    seconds = read_pages(it, pages, in_flight)
    share = len(pages) * latency_ms / 1000 / in_flight / seconds
    return Result(
        suite=SUITE,
        workload=workload,
        system=SIMULATOR,
        events=len(pages) * PAGE_ROWS,
        events_per_s=round(len(pages) * PAGE_ROWS / seconds, 1),
        limit_fraction=round(share, 3),
        guarantee="none: pages are read and dropped",
    )


def _try(bench: Bench, results: list[Result], measure: Callable[[], Result]) -> None:
    try:
        result = measure()
    except (RunFailedError, WrongOutputError, PeerUnavailableError, TimeoutError, OSError) as error:
        bench.failures.append(f"import: {error}")
        bench.report(bench.failures[-1])
    else:
        bench.report(f"import, {result.workload}: {result.system} {result.figures()}")
        results.append(result)


def ours(bench: Bench, it: Filled, directory: Path, in_flight: int, workload: str, latency_ms: float) -> Result:
    """Import everything once, and compare what is in Kafka with what Campaign Monitor's own totals require."""
    prefix, _ = bench.fresh(f"import{in_flight}-ours")
    kafka = KafkaSettings(
        _env_file=None, bootstrap_servers=bench.topics.bootstrap, topic_prefix=prefix, partitions=PARTITIONS
    )
    names = kafka.names()
    ensure_topics(kafka, create=True)
    try:
        environment = it.account.environment() | {
            "KAFKA_BOOTSTRAP_SERVERS": kafka.bootstrap_servers,
            "KAFKA_TOPIC_PREFIX": prefix,
            "KAFKA_PARTITIONS": str(PARTITIONS),
            "IMPORT_PAGES_IN_FLIGHT": str(in_flight),
            "IMPORT_PAGE_SIZE": str(PAGE_ROWS),
        }
        before = calls_made(it.account)
        with product(["connector"], directory, environment) as connector:
            meter = Meter(ours=connector, simulator=it.account.service)
            _start(kafka, it.client_id)
            memory = Memory(bench, (names["cm_user"], names["cm_activity"]), it.records, connector)
            with memory.watched():
                until(lambda: _is_done(bench, names["cm_import_progress"]), 90 + it.records / 1_500, "its end")
            cores, spent = meter.cores(), meter.seconds()
            memory.look()
        calls = calls_made(it.account) - before
        users = [record.timestamp()[1] for record in bench.topics.read(names["cm_user"])]
        times, ids = users, set()
        for record in bench.topics.read(names["cm_activity"]):
            times.append(record.timestamp()[1])
            ids.add(hash(orjson.loads(record.value() or b"{}")["event_id"]))
        found = (len(times) - len(ids), len(ids))
        if found != (sum(it.users.values()), it.activity):
            raise WrongOutputError(
                f"{found[0]:,} users and {found[1]:,} different activities are in Kafka, not "
                f"{sum(it.users.values()):,} and {it.activity:,}"
            )
    finally:
        bench.topics.delete(prefix)
    seconds = (max(times) - min(times) + latency_ms) / 1000
    needed = len(it.pages)
    share, more = needed * latency_ms / 1000 / in_flight / seconds, calls / needed - 1
    return Result(
        suite=SUITE,
        workload=workload,
        system=OURS,
        guarantee=GUARANTEE,
        versions=VERSIONS(),
        events=it.records,
        events_per_s=round(it.records / seconds, 1),
        cpu_us_per_event=round(spent["ours"] / it.records * 1e6, 1),
        peak_rss_mb=round(connector.peak_rss_mb, 1),
        limit_fraction=round(it.records / seconds / (in_flight * PAGE_ROWS * 1000 / latency_ms), 3),
        checked="each row of Campaign Monitor's totals once",
        note=f"{share:.0%} of the calls needed; {more:.1%} more calls; {cores}; {memory.summary()}",
        quick=bench.quick,
    )


def _start(kafka: KafkaSettings, client_id: str) -> None:
    now = datetime.now(UTC)
    job = ImportJob(
        id="bench", authorization_id="bench", client_id=client_id, journeys=False, created_at=now, updated_at=now
    )
    producer = Producer({"bootstrap.servers": kafka.bootstrap_servers})
    producer.produce(kafka.names()["cm_jobs"], job.to_bytes(), job.id.encode())
    producer.flush(10)


class Memory:
    """Resident memory of a process when a tenth, a half and all of the rows are in Kafka."""

    def __init__(self, bench: Bench, topics: tuple[str, ...], expected: int, process: Service) -> None:
        self._bench, self._topics, self._expected, self._process = bench, topics, expected, process
        self._seen: dict[int, float] = {}
        self._over = threading.Event()

    @contextmanager
    def watched(self) -> Iterator[None]:
        """Look every second until the block is left."""
        watching = threading.Thread(target=self._watch, name="memory")
        watching.start()
        try:
            yield
        finally:
            self._over.set()
            watching.join()

    def _watch(self) -> None:
        while not self._over.wait(1.0):
            self.look()

    def look(self) -> None:
        """Note the memory if another mark was passed."""
        share = sum(self._bench.topics.records(topic) for topic in self._topics) / self._expected * 100
        for mark in (10, 50, 100):
            if share >= mark and mark not in self._seen:
                self._seen[mark] = self._process.resident_mb

    def summary(self) -> str:
        """Return what was recorded, in a line."""
        return "resident " + ", ".join(f"{mb:.0f} MiB at {mark} %" for mark, mb in self._seen.items())


def _is_done(bench: Bench, topic: str) -> bool:
    time.sleep(0.3)
    value = bench.topics.latest(topic, wanted=lambda key: key == b"run:bench").get(b"run:bench")
    return value is not None and orjson.loads(value)["state"] == "done"
