"""What the import does, and how fresh it is: when each list and kind was read last, and whether a run is late."""

import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager

from prometheus_client import Counter, Histogram

from connectors.importer.tasks.page import ProgressRecord
from connectors.metrics import ScrapedGauge, ScrapedValues
from schemas.control import ImportJob
from schemas.import_task import ChainProgress, RunProgress

RECORDS = Counter(
    "cm_streams_import_records_total",
    "Records published from pages, by the topic's role. No page without progress: see the parked tasks.",
    ["topic"],
)
PUBLISH = Histogram(
    "cm_streams_import_publish_seconds",
    "Time of a transaction, repetitions included. Seconds: the brokers are slow, or transactions are aborted.",
)
TO_TOPIC = Histogram(
    "cm_streams_import_page_to_topic_seconds",
    "From the moment that a page was read to the commit of its records, of the oldest page of each transaction.",
    buckets=(0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60),
)
RUNS = Counter(
    "cm_streams_import_runs_total", "Runs that were begun, the catching up at the end of a full read included."
)
ODD_DATES = Counter(
    "cm_streams_import_odd_dates_total",
    "Rows whose date could not be read; they are published with the time of the import. Rising: the API has changed.",
)
REPEATS = Counter(
    "cm_streams_import_repeats_total",
    "Rows that were known and not published again: the overlap of reads. It costs calls, not correctness.",
)
RESTARTS = Counter(
    "cm_streams_import_restarts_total",
    "Pages read again because rows had moved while they were read. Many: the list changes faster than it is read.",
)
PARKED = Counter(
    "cm_streams_import_parked_total",
    "Tasks put aside to be tried later: Campaign Monitor did not answer, or a credential was refused. Rising steadily: "
    "imports do not move.",
)
FAILED = Counter(
    "cm_streams_import_failed_chains_total",
    "Listings and reports that a run could not read and a retry cannot help. Any: the job's page names what and why.",
)
LAST_READ = ScrapedGauge(
    "cm_streams_import_last_read_timestamp_seconds",
    "Unix time at which a job read a list's listings, or reports of a kind, to their end last; list_id is empty for "
    "reports, which are the client's. Older than the job's interval and a run: something is not read.",
    ("job", "list_id", "kind"),
    unite="max",
)
OVERDUE = ScrapedGauge(
    "cm_streams_import_overdue_seconds",
    "Seconds that have passed since a running job's next run was due, while none has begun; 0 while one runs or none "
    "is due. Above a minute: no connector works on it.",
    ("job",),
    unite="max",
)
CHAINS = ScrapedGauge(
    "cm_streams_import_waiting_chains",
    "Listings and reports that wait for a retry, by job. They go on by themselves unless they wait for a person.",
    ("job",),
    unite="max",
)


class Freshness:
    """What the progress topic shows, as far as metrics need it."""

    def __init__(self, jobs: Callable[[], Iterable[ImportJob]], clock: Callable[[], float] = time.time) -> None:
        self._jobs = jobs
        self._clock = clock
        self._read: dict[tuple[str, str, str], float] = {}
        self._runs: dict[str, RunProgress] = {}
        self._parked: dict[str, set[str]] = {}

    def merge(self, record: ProgressRecord | None) -> None:
        """Apply a record of the progress topic."""
        if isinstance(record, RunProgress):
            self._runs[record.job_id] = record
        if isinstance(record, ChainProgress):
            parked = self._parked.setdefault(record.job_id, set())
            (parked.add if record.state == "parked" else parked.discard)(record.chain)
            if record.state == "done":
                kind, _, rest = record.chain.partition("/")
                list_id = rest.partition("/")[0] if kind in ("users", "gap", "unreported") else ""
                key = record.job_id, list_id, kind
                self._read[key] = max(self._read.get(key, 0.0), record.updated_at.timestamp())

    @contextmanager
    def shown(self) -> Iterator[None]:
        """Show the numbers as metrics, within this context."""
        with ExitStack() as stack:
            for gauge, read in ((LAST_READ, self._last_read), (OVERDUE, self._overdue), (CHAINS, self._waiting)):
                stack.enter_context(gauge.of(read))
            yield

    def _last_read(self) -> ScrapedValues:
        jobs = {job.id for job in self._jobs()}
        return [(key, at) for key, at in self._read.items() if key[0] in jobs]

    def _overdue(self) -> ScrapedValues:
        now = self._clock()
        return [((job.id,), self._late(job.id, now)) for job in self._jobs() if job.state == "running"]

    def _late(self, job_id: str, now: float) -> float:
        run = self._runs.get(job_id)
        if run is None or run.state == "open" or run.next_at is None:
            return 0.0
        return max(0.0, now - run.next_at.timestamp())

    def _waiting(self) -> ScrapedValues:
        return [((job.id,), len(self._parked.get(job.id, ()))) for job in self._jobs()]
