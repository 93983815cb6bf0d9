"""Suite `console`: what the overview costs with 200 jobs and 10,000 dead letters, and what 50 open live pages cost.

CPU time of the console's process. The collector, which reads the brokers for all pages, is part of every figure.
"""

import contextlib
import http.client
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime

from benchmarks.contest import Bench
from benchmarks.job import PARTITIONS
from benchmarks.results import Result
from benchmarks.services import Meter, Service, product
from benchmarks.suites.waiting import until
from benchmarks.systems import OURS, python_versions
from benchmarks.topics import Message
from connectors.devkit.ports import free_ports
from connectors.kafka.admin import ensure_topics
from connectors.kafka.settings import KafkaSettings
from schemas import dead_letter
from schemas.control import ExportJob, ImportJob, JobAttention, attention_key
from streams.console.live.collector import READ_SECONDS

SUITE = "console"
JOBS, LETTERS, PAGES = 200, 10_000, 50
REQUESTS = 200
READINGS = 6
"""That live pages are open for, or follow none."""
MAX_REQUEST_MS = 100.0
MAX_SHARE = 0.1
"""Of a core, for all open pages and the collector, which reads every READ_SECONDS."""
SECRET = "a-secret-of-the-proxy"
HEADERS = {"X-User": "ann", "X-Groups": "all", "X-Proxy-Secret": SECRET}
PROXY = {
    "CONSOLE_PROXY_USER_HEADER": "X-User",
    "CONSOLE_PROXY_GROUPS_HEADER": "X-Groups",
    "CONSOLE_PROXY_ROLES": "all=admin",
    "CONSOLE_PROXY_SECRET": SECRET,
}


def run(bench: Bench, *, extra: bool = False) -> list[Result]:
    """Return a row for requests, and one for live pages. More than the limits is a failure."""
    few = bench.check_only or bench.quick
    requests, readings = (20, 2) if few else (REQUESTS, READINGS)
    prefix, directory = bench.fresh(SUITE)
    kafka = KafkaSettings(
        _env_file=None, bootstrap_servers=bench.topics.bootstrap, topic_prefix=prefix, partitions=PARTITIONS
    )
    ensure_topics(kafka, create=True)
    (port,) = free_ports(1)
    environment = PROXY | {
        "KAFKA_BOOTSTRAP_SERVERS": kafka.bootstrap_servers,
        "KAFKA_TOPIC_PREFIX": prefix,
        "KAFKA_PARTITIONS": str(PARTITIONS),
        "CONSOLE_PORT": str(port),
    }
    try:
        bench.topics.fill(_jobs(kafka))
        bench.topics.fill(_letters(kafka))
        with product(["console"], directory, environment) as console:
            cookie = _logged_in(port)
            until(lambda: b"10,000 dead letters" in _page(port, cookie), 120, "counted dead letters", every=0.5)
            meter = Meter(console=console)
            for _ in range(requests):
                _page(port, cookie)
            request_ms = meter.seconds()["console"] / requests * 1_000
            with _live_pages(port, cookie) as sent:
                share = _share(sent, console, PAGES, readings)
            with _live_pages(port, cookie, pages=1) as sent:
                alone = _share(sent, console, 1, readings)
    finally:
        bench.topics.delete(prefix)
    if not few:
        bench.failures += failures(request_ms, share)
    return [
        _row(bench, f"overview, {JOBS} jobs, {LETTERS:,} dead letters", requests, request_ms * 1_000, ""),
        _row(
            bench,
            f"{PAGES} open live pages",
            readings,
            share * 1e6,
            f"us a second, {share:.1%} of a core; with one page {alone:.1%}",
        ),
    ]


def _share(sent: Callable[[], int], console: Service, pages: int, readings: int) -> float:
    """Return the share of a core that pages take which are sent a part after each of some readings.

    On a machine that is busy readings take longer: what they cost is divided by the time that they are apart otherwise.
    """
    until(lambda: sent() >= pages, 60, "open live pages")
    meter, before = Meter(console=console), sent()
    until(lambda: sent() - before >= pages * readings, 60 * readings, f"{readings} readings")
    return meter.seconds()["console"] * pages / (sent() - before) / READ_SECONDS


def failures(request_ms: float, share: float) -> list[str]:
    """Say what costs more than it may."""
    found = []
    if request_ms >= MAX_REQUEST_MS:
        found.append(f"{SUITE}: the overview takes {request_ms:.0f} ms of CPU, {MAX_REQUEST_MS:.0f} at most are meant")
    if share >= MAX_SHARE:
        found.append(f"{SUITE}: {PAGES} live pages take {share:.2f} of a core, {MAX_SHARE} at most are meant")
    return found


def _row(bench: Bench, workload: str, events: int, cpu_us: float, note: str) -> Result:
    row = Result(
        suite=SUITE,
        workload=workload,
        system=OURS,
        events=events,
        cpu_us_per_event=round(cpu_us, 1),
        versions=python_versions("aiohttp", "jinja2", "confluent-kafka")(),
        note=note,
        quick=bench.quick,
    )
    bench.report(f"{SUITE}, {row.workload}: {row.figures()}")
    return row


def _jobs(kafka: KafkaSettings) -> Iterator[Message]:
    """Yield exports and imports in turn; one in ten asks for a person."""
    topic, now = kafka.names()["cm_jobs"], datetime.now(UTC)
    common = {"authorization_id": "a", "client_id": "c", "created_at": now, "updated_at": now}
    for number in range(JOBS):
        job: ExportJob | ImportJob
        if number % 2:
            job = ImportJob(id=f"import-{number}", name=f"Import {number}", **common)
        else:
            job = ExportJob(id=f"export-{number}", name=f"Export {number}", list_id="l", started_at=now, **common)
        yield Message(topic, job.id.encode(), job.to_bytes())
        if number % 10 == 0:
            asked = JobAttention(job_id=job.id, by="export", text="the list is not there any more: choose another list")
            yield Message(topic, attention_key("export", job.id).encode(), asked.to_bytes())


def _letters(kafka: KafkaSettings) -> Iterator[Message]:
    topic = kafka.names()["audience-membership"]
    for number in range(LETTERS):
        key, value, headers = dead_letter.letter(
            f"user{number}@example.com".encode(),
            b'{"email": "user@example.com"}',
            [],
            reason=f"field{number % 7}: missing",
            stage=dead_letter.Stage.SCHEMA,
            origin=dead_letter.Origin(topic, number % PARTITIONS, number),
            at="2026-01-02T00:00:00.000Z",
            max_bytes=kafka.max_produced_bytes,
        )
        yield Message(f"{topic}.dlq", key or b"", value or b"", headers=headers)


def _logged_in(port: int) -> str:
    """Return the cookie of somebody who was logged in by a proxy."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    connection.request("GET", "/overview", headers=HEADERS)
    answer = connection.getresponse()
    answer.read()
    connection.close()
    return answer.headers["Set-Cookie"].partition(";")[0]


def _page(port: int, cookie: str) -> bytes:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    with contextlib.closing(connection):
        connection.request("GET", "/overview", headers={**HEADERS, "Cookie": cookie})
        answer = connection.getresponse()
        if answer.status != http.HTTPStatus.OK:
            raise RuntimeError(f"the overview answers {answer.status}")
        return answer.read()


@contextlib.contextmanager
def _live_pages(port: int, cookie: str, pages: int = PAGES) -> Iterator[Callable[[], int]]:
    """Keep live pages open; yields how many parts they were sent."""
    counts = [0] * pages
    connections = [http.client.HTTPConnection("127.0.0.1", port, timeout=60) for _ in range(pages)]

    def read(number: int) -> None:
        with contextlib.suppress(OSError, http.client.HTTPException, ValueError, AttributeError):
            connections[number].request("GET", "/overview/live", headers={**HEADERS, "Cookie": cookie})
            for line in connections[number].getresponse():
                counts[number] += line == b"\n"

    threads = [threading.Thread(target=read, args=(number,), daemon=True) for number in range(pages)]
    for thread in threads:
        thread.start()
    try:
        yield lambda: sum(counts)
    finally:
        for connection in connections:
            connection.close()
