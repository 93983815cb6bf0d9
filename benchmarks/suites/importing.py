"""Suite `import`: subscribers and activity out of a Campaign Monitor that takes 100 ms for each page, into Kafka.

The connector is the product's own process. The clock runs from the request of the first page with rows to the last
row's append; one page's time is added to the time between the first and the last row.
"""

import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import orjson
from confluent_kafka import Producer

from benchmarks.contest import Bench, WrongOutputError
from benchmarks.job import PARTITIONS, Job
from benchmarks.measure import RunFailedError
from benchmarks.measure import run as run_program
from benchmarks.results import Result
from benchmarks.services import API_KEY, Account, Meter, Service, product, simulator
from benchmarks.suites.waiting import until
from benchmarks.systems import (
    BUILD,
    OURS,
    TAP,
    PeerUnavailableError,
    prepare_tap,
    python_versions,
    tap_versions,
)
from connectors.kafka.admin import ensure_topics
from connectors.kafka.settings import KafkaSettings
from schemas.control import ImportJob

SUITE = "import"
LATENCY_MS = 100.0
PAGE_ROWS = 1_000
ZONE = "(GMT+01:00) Amsterdam, Berlin, Bern, Rome, Stockholm, Vienna"
STATES = ("active", "unconfirmed", "unsubscribed", "bounced", "deleted")
REPORTS = ("recipients", "opens", "clicks", "unsubscribes", "bounces", "spam")
GUARANTEE = "each row once, also over crashes and when a read is repeated (transactions, event ids)"
VERSIONS = python_versions("aiohttp", "aiokafka", "confluent-kafka", "orjson")


@dataclass(frozen=True, slots=True)
class Size:
    """Of an account: one list and one campaign. The recipients' report has one row for each subscriber or so."""

    subscribers: int
    opens: int
    clicks: int


USUAL = Size(40_000, 50_000, 12_000)
SMALL = Size(15_000, 15_000, 4_000)
LOOPS = Size(6_000, 6_000, 1_500)
"""For the peers, which would take minutes otherwise."""
LARGE = Size(1_000_000, 3_200_000, 800_000)
LARGE_LATENCY_MS = 10.0
"""Memory is the question there; the cores are the limit, not the latency."""
QUICK, CHECK = LOOPS, Size(1_500, 1_200, 300)


@dataclass(frozen=True, slots=True)
class Filled:
    """An account with data, and how many rows there are by its own totals."""

    account: Account
    client_id: str
    users: int
    activity: int


def run(bench: Bench, *, extra: bool = False) -> list[Result]:
    """Measure 1, 4 and 8 pages in flight, and the peers, one page after the other. `extra`: 6,000,000 rows."""
    cases = [(1, SMALL, ""), (4, USUAL, "")] + ([] if bench.quick else [(8, USUAL, "")])
    few = CHECK if bench.check_only else LOOPS
    results: list[Result] = []
    for in_flight, size, what in cases:
        size = CHECK if bench.check_only else QUICK if bench.quick else size
        _try(bench, results, lambda: ours(bench, in_flight, size, f"{in_flight} in flight{what}"))  # noqa: B023
        if in_flight == 1:
            _try(bench, results, lambda: loop(bench, few))
            if not bench.quick:  # its environment has to be made first
                _try(bench, results, lambda: tap(bench, few))
    if extra and not bench.check_only:
        _try(bench, results, lambda: ours(bench, 8, LARGE, "8 in flight, 1,000,000 subscribers", LARGE_LATENCY_MS))
    return results


def _try(bench: Bench, results: list[Result], measure: Callable[[], Result]) -> None:
    try:
        result = measure()
    except (RunFailedError, WrongOutputError, PeerUnavailableError, TimeoutError, OSError) as error:
        bench.failures.append(f"import: {error}")
        bench.report(bench.failures[-1])
    else:
        bench.report(f"import, {result.workload}: {result.system} {result.figures()}")
        results.append(result)


@contextmanager
def filled(directory: Path, size: Size, latency_ms: float = LATENCY_MS) -> Iterator[Filled]:
    """Start a simulator and fill it."""
    with simulator(directory, latency_ms=latency_ms) as account:
        client_id = account.do("add_client", name="Acme", zone_label=ZONE)
        list_id = account.do("add_list", client_id=client_id, title="Newsletter")
        account.do("add_field", list_id=list_id, name="City")
        account.do("seed_subscribers", list_id=list_id, count=size.subscribers)
        campaign_id = account.do(
            "add_campaign", list_ids=[list_id], name="Spring", opens=size.opens, clicks=size.clicks, bounces=100
        )
        users = [f"/lists/{list_id}/{state}.json?pagesize=10" for state in STATES]
        reports = [f"/campaigns/{campaign_id}/{report}.json?pagesize=10" for report in REPORTS]
        users.append(f"/clients/{client_id}/suppressionlist.json?pagesize=10")
        # Everybody who unsubscribed did so without a campaign: no report holds it, and the listing is published as
        # activity, too.
        reports.append(f"/lists/{list_id}/unsubscribed.json?pagesize=10")
        yield Filled(
            account,
            client_id,
            sum(account.get(path)["TotalNumberOfRecords"] for path in users),
            sum(account.get(path)["TotalNumberOfRecords"] for path in reports),
        )


def ours(bench: Bench, in_flight: int, size: Size, workload: str, latency_ms: float = LATENCY_MS) -> Result:
    """Import everything once, and compare what is in Kafka with what Campaign Monitor's own totals require."""
    prefix, directory = bench.fresh(f"import{in_flight}")
    kafka = KafkaSettings(
        _env_file=None, bootstrap_servers=bench.topics.bootstrap, topic_prefix=prefix, partitions=PARTITIONS
    )
    names = kafka.names()
    ensure_topics(kafka, create=True)
    try:
        with filled(directory, size, latency_ms) as it:
            environment = it.account.environment() | {
                "KAFKA_BOOTSTRAP_SERVERS": kafka.bootstrap_servers,
                "KAFKA_TOPIC_PREFIX": prefix,
                "KAFKA_PARTITIONS": str(PARTITIONS),
                "IMPORT_PAGES_IN_FLIGHT": str(in_flight),
                "IMPORT_PAGE_SIZE": str(PAGE_ROWS),
            }
            with product(["connector"], directory, environment) as connector:
                meter = Meter(ours=connector, simulator=it.account.service)
                _start(kafka, it.client_id)
                expected = it.users + it.activity
                memory = Memory(bench, (names["cm_user"], names["cm_activity"]), expected, connector)
                with memory.watched():
                    until(lambda: _is_done(bench, names["cm_import_progress"]), 90 + expected / 1_500, "its end")
                cores, spent = meter.cores(), meter.seconds()
                memory.look()
            users = [record.timestamp()[1] for record in bench.topics.read(names["cm_user"])]
            times, ids = users, set()
            for record in bench.topics.read(names["cm_activity"]):
                times.append(record.timestamp()[1])
                ids.add(hash(orjson.loads(record.value() or b"{}")["event_id"]))
            found = (len(times) - len(ids), len(ids))
            if found != (it.users, it.activity):
                raise WrongOutputError(
                    f"{found[0]:,} users and {found[1]:,} different activities are in Kafka, not {it.users:,} and "
                    f"{it.activity:,}"
                )
            rate = expected / ((max(times) - min(times) + latency_ms) / 1000)
        return Result(
            suite=SUITE,
            workload=workload,
            system=OURS,
            guarantee=GUARANTEE,
            versions=VERSIONS(),
            events=expected,
            events_per_s=round(rate, 1),
            cpu_us_per_event=round(spent["ours"] / expected * 1e6, 1),
            peak_rss_mb=round(connector.peak_rss_mb, 1),
            limit_fraction=round(rate / (in_flight * PAGE_ROWS * 1000 / latency_ms), 3),
            checked="each row of Campaign Monitor's totals once",
            note=f"{cores}; {memory.summary()}" if size is LARGE else cores,
            quick=bench.quick,
        )
    finally:
        bench.topics.delete(prefix)


def loop(bench: Bench, size: Size) -> Result:
    """Return the row of a loop over the official client."""
    prefix, directory = bench.fresh("import-loop")
    topic = f"{prefix}rows"
    bench.topics.create(topic)
    try:
        with filled(directory, size) as it:
            events = it.users + it.activity
            options = (it.account.base_url, API_KEY, it.client_id)
            job = Job(bench.topics.bootstrap, prefix, (topic,), topic, events, directory, options)
            command = [sys.executable, "-m", "benchmarks.peers.official_import", *job.arguments()]
            sample = run_program(command, directory / "loop", timeout_seconds=90 + events / 500)
        if (found := bench.topics.records(topic)) != events:
            raise WrongOutputError(f"the loop published {found:,} rows, not {events:,}")
    finally:
        bench.topics.delete(prefix)
    return Result(
        suite=SUITE,
        workload="1 in flight",
        system="official client, loop",
        guarantee="none: a crash begins again, and rows come twice",
        versions=python_versions("createsend", "confluent-kafka")(),
        events=events,
        events_per_s=round(sample.events_per_s, 1),
        cpu_us_per_event=round(sample.cpu_us_per_event, 1),
        peak_rss_mb=round(sample.peak_rss_mb, 1),
        limit_fraction=round(sample.events_per_s / (PAGE_ROWS * 1000 / LATENCY_MS), 3),
        checked="as many rows as Campaign Monitor's totals require",
        quick=bench.quick,
    )


def tap(bench: Bench, size: Size) -> Result:
    """Return the row of the Singer tap. It writes lines to a file, not to Kafka, and knows no suppression list."""
    prepare_tap()
    _, directory = bench.fresh("import-tap")
    with filled(directory, size) as it:
        events = it.users + it.activity
        token = it.account.do("grant_token")["refresh_token"]
        program = str(Path(__file__).parent.parent / "peers" / "tap" / "import_rows.py")
        command = [str(BUILD / "tap" / "bin" / "python"), program, it.account.base_url, it.client_id, token]
        sample = run_program(command, directory / "tap", timeout_seconds=90 + events / 200)
    suppressed = events - sample.events
    if not 0 <= suppressed <= events // 10:
        raise WrongOutputError(f"the tap wrote {sample.events:,} rows of {events:,}")
    return Result(
        suite=SUITE,
        workload="1 in flight",
        system=TAP,
        guarantee="none: a crash begins again, and rows come twice; to a file, not to Kafka",
        versions=tap_versions(),
        events=sample.events,
        events_per_s=round(sample.events_per_s, 1),
        cpu_us_per_event=round(sample.cpu_us_per_event, 1),
        peak_rss_mb=round(sample.peak_rss_mb, 1),
        limit_fraction=round(sample.events_per_s / (PAGE_ROWS * 1000 / LATENCY_MS), 3),
        checked=f"{suppressed:,} rows of the suppression list are not read",
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
