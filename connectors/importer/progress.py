"""Topic `cm_import_progress` as a table in memory: runs, chains and marks by job, whole in every process."""

import asyncio
from collections.abc import Callable
from types import TracebackType
from typing import Self

import structlog

from connectors.campaign_monitor.events import unpack
from connectors.importer.tasks import sources
from connectors.importer.tasks.page import ProgressRecord
from connectors.kafka.compacted import CompactedTopic
from connectors.kafka.records import ConsumedRecord
from connectors.kafka.settings import KafkaSettings
from schemas.import_task import ChainProgress, Claim, ImportProgress, Mark, RunProgress

log = structlog.get_logger(__name__)


class ProgressTable:
    """The latest record of every key. A tombstone removes it."""

    def __init__(self) -> None:
        self.runs: dict[str, RunProgress] = {}
        self.claims: dict[int, Claim] = {}
        self._chains: dict[str, dict[str, ChainProgress]] = {}
        self._waiting: dict[str, dict[str, ChainProgress]] = {}
        self._failed: dict[str, dict[str, ChainProgress]] = {}
        self._gaps: dict[str, dict[str, ChainProgress]] = {}
        self._marks: dict[str, dict[str, Mark]] = {}
        self._removed: dict[str, dict[str, Mark]] = {}

    def apply(self, key: bytes, value: bytes | None) -> ProgressRecord | None:
        """Merge a record and return it; None for a tombstone. Raises ValueError for what is no progress record."""
        if value is None:
            self._remove(key.decode())
            return None
        record = ImportProgress.from_bytes(value).root
        self.put(record)
        return record

    def put(self, record: ProgressRecord) -> None:
        """Keep a record as the latest of its key."""
        match record:
            case RunProgress():
                self.runs[record.job_id] = record
            case ChainProgress():
                self._chains.setdefault(record.job_id, {})[record.chain] = record
                waiting = self._waiting.setdefault(record.job_id, {})
                if record.state in ("open", "parked"):
                    waiting[record.chain] = record
                else:
                    waiting.pop(record.chain, None)
                failed = self._failed.setdefault(record.job_id, {})
                if record.state == "failed":
                    failed[record.chain] = record
                else:
                    failed.pop(record.chain, None)
                if record.chain.startswith("gap/"):
                    self._put_gap(record)
            case Mark():
                marks = self._removed if record.removed else self._marks
                marks.setdefault(record.job_id, {})[record.chain] = record
            case Claim():
                self.claims[record.partition] = record

    def chains(self, job_id: str) -> dict[str, ChainProgress]:
        """Return the job's chains by name, also those of earlier runs."""
        return self._chains.get(job_id, {})

    def waiting(self, job_id: str) -> dict[str, ChainProgress]:
        """Return the job's open and parked chains by name."""
        return self._waiting.get(job_id, {})

    def failed(self, job_id: str) -> dict[str, ChainProgress]:
        """Return the job's chains that failed in the last run that read them, by name."""
        return self._failed.get(job_id, {})

    def gaps(self, job_id: str) -> dict[str, ChainProgress]:
        """Return the job's gaps of webhooks that were not filled yet, or could not be, by the name of their chain."""
        return self._gaps.get(job_id, {})

    def jobs_with_gaps(self) -> list[str]:
        """Return the jobs that have such gaps."""
        return [job_id for job_id, gaps in self._gaps.items() if gaps]

    def mark(self, job_id: str, chain: str) -> Mark | None:
        """Return what the last finished read of a chain left."""
        return self._marks.get(job_id, {}).get(chain)

    def mark_of_any(self, job_id: str, chain: str) -> Mark | None:
        """Return the same, or what the last read of a job left that was removed."""
        return self.mark(job_id, chain) or self._removed.get(job_id, {}).get(chain)

    def marks_elsewhere(self, job_id: str, chain: str) -> list[Mark]:
        """Return what reads of a chain by other jobs left, and by jobs that were removed, also under this id.

        Of a chain whose rows imply activity, what any read left that implies the same, also one of this job.
        """
        kind, list_id, *rest = chain.split("/")
        if kind == "gap":
            return self._implied(list_id, rest[0])
        if kind == "unreported":
            own = self.unreported(job_id, list_id)  # of other stretches, or of this one, of which a part failed
            return [mark for mark in self._implied(list_id, "unsubscribed") if mark not in own]
        tables = [marks for other, marks in self._marks.items() if other != job_id] + list(self._removed.values())
        return [marks[chain] for marks in tables if chain in marks]

    def unreported(self, job_id: str, list_id: str) -> list[Mark]:
        """Return what a job's reads of unsubscribes that no report holds left of a list, each of a stretch of time."""
        return _stretches(self._marks.get(job_id, {}), list_id)

    def accounted(self, job_id: str, chain: str) -> int:
        """Return how many rows of a report were published or left out, by all runs."""
        mark = self.mark(job_id, chain)
        return 0 if mark is None else mark.accounted

    def reported_unsubscribes(self, job_id: str) -> set[bytes]:
        """Return the short ids of the unsubscribes that the job has published from reports."""
        marks = self._marks.get(job_id, {}).values()
        return {short for mark in marks if mark.acts for short in unpack(mark.acts)}

    def read_before(self, job_id: str) -> tuple[int, int, int]:
        """Return how many listings and reports a job has read to their end, and the rows of these reports."""
        marks = self._marks.get(job_id, {})
        listings = sum(name.startswith(("users/", "suppression/")) for name in marks)
        reports = [mark.accounted for name, mark in marks.items() if name.startswith(("report/", "journey-report/"))]
        return listings, len(reports), sum(reports)

    def jobs(self) -> set[str]:
        """Return the jobs of which anything is kept."""
        kept = {job_id for table in (self._chains, self._marks) for job_id, records in table.items() if records}
        return kept | set(self.runs)

    def keys(self, job_id: str) -> list[bytes]:
        """Return the keys of everything that is kept for a job, but not of its gaps: another job may take them over.

        Nor of the marks of one that was removed.
        """
        gaps = self.gaps(job_id)
        keys = [f"chain:{job_id}:{chain}" for chain in self.chains(job_id) if chain not in gaps]
        keys += [f"mark:{job_id}:{chain}" for chain in self._marks.get(job_id, {})]
        if job_id in self.runs:
            keys.append(f"run:{job_id}")
        return [key.encode() for key in keys]

    def removal(self, job_id: str) -> tuple[list[bytes], list[Mark]]:
        """Return the keys to delete when a job was removed, and what is kept: which rows it has published."""
        marks, before = self._marks.get(job_id, {}).values(), self._removed.get(job_id, {})
        kept = [
            Mark(
                job_id=job_id,
                run=mark.run,
                chain=mark.chain,
                known_from=mark.known_from,
                known=mark.known,
                lists=mark.lists,
                since=mark.since,
                earlier=sources.published_beyond(mark, before.get(mark.chain)),
                removed=True,
            )
            for mark in marks
            if not mark.chain.startswith(("campaign/", "journey/"))
        ]
        return self.keys(job_id), kept

    def _implied(self, list_id: str, state: str) -> list[Mark]:
        tables, chain = [*self._marks.values(), *self._removed.values()], f"gap/{list_id}/{state}"
        marks = [marks[chain] for marks in tables if chain in marks]
        if state == "unsubscribed":
            marks += [mark for marks_of_job in tables for mark in _stretches(marks_of_job, list_id)]
        return marks

    def _put_gap(self, chain: ChainProgress) -> None:
        gaps = self._gaps.setdefault(chain.job_id, {})
        if chain.state == "done":
            gaps.pop(chain.chain, None)
        else:
            gaps[chain.chain] = chain

    def _remove(self, key: str) -> None:
        kind, _, rest = key.partition(":")
        job_id, _, chain = rest.rpartition(":")  # a job's id may hold a colon, a chain's name holds none
        if kind == "run":
            self.runs.pop(rest, None)
        elif kind == "chain":
            self._chains.get(job_id, {}).pop(chain, None)
            self._waiting.get(job_id, {}).pop(chain, None)
            self._failed.get(job_id, {}).pop(chain, None)
            self._gaps.get(job_id, {}).pop(chain, None)
        elif kind == "mark":
            self._marks.get(job_id, {}).pop(chain, None)
        elif kind == "removed":
            self._removed.get(job_id, {}).pop(chain, None)


def _stretches(marks: dict[str, Mark], list_id: str) -> list[Mark]:
    first = f"unreported/{list_id}"
    return [mark for chain, mark in marks.items() if chain == first or chain.startswith(first + "/")]


class ProgressView:
    """Follows the topic. `on_change` is called with every record that was merged; with None for a tombstone."""

    def __init__(
        self, settings: KafkaSettings, on_change: Callable[[ProgressRecord | None], None] | None = None
    ) -> None:
        self.table = ProgressTable()
        self._on_change = on_change
        self._waiters: set[asyncio.Future[None]] = set()
        self._topic = CompactedTopic(settings, settings.names()["cm_import_progress"], on_change=self._merge)

    async def until(self, holds: Callable[[ProgressTable], bool], seconds: float = 60.0) -> None:
        """Return when `holds` is true of the table. Raises TimeoutError."""
        async with asyncio.timeout(seconds):
            while not holds(self.table):
                waiter = asyncio.get_running_loop().create_future()
                self._waiters.add(waiter)
                try:
                    await waiter
                finally:
                    self._waiters.discard(waiter)

    async def __aenter__(self) -> Self:
        await self._topic.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._topic.close()

    def _merge(self, record: ConsumedRecord) -> None:
        try:
            progress = self.table.apply(record.key or b"", record.value)
        except ValueError as reason:
            log.warning("progress record unreadable", offset=record.offset, reason=str(reason)[:200])
            return
        for waiter in self._waiters:
            if not waiter.done():
                waiter.set_result(None)
        if self._on_change is not None:
            self._on_change(progress)
