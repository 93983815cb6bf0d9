"""How far imports are, live: by list and campaign, with rate and time left; and their earlier runs."""

import time
from collections import defaultdict, deque
from collections.abc import Callable
from datetime import timedelta
from types import TracebackType
from typing import TYPE_CHECKING, NamedTuple, Self

from connectors.campaign_monitor.credentials import CampaignMonitorSettings
from connectors.importer.overview import Estimate, Overview, estimate, overview
from connectors.importer.progress import ProgressView
from connectors.importer.settings import ImporterSettings
from connectors.importer.tasks.page import ProgressRecord
from connectors.kafka.settings import KafkaSettings
from schemas.control import ImportJob
from schemas.import_task import ChainProgress, RunProgress

if TYPE_CHECKING:
    from connectors.campaign_monitor.client.api import CampaignMonitor

RATE_SECONDS = 60.0
"""Shorter, and pages that take long make it jump; longer, and it does not show what a limit of the account does."""
MAX_RUNS = 20


class RunView(NamedTuple):
    """The latest run of an import."""

    overview: Overview
    rows_per_second: float
    left: timedelta | None
    """None when the run has ended, or nothing is read."""


class ImportRuns:
    """Follows the imports' progress. Runs before the process began are there as far as the topic still has them."""

    def __init__(self, settings: KafkaSettings, clock: Callable[[], float] = time.monotonic) -> None:
        self._view = ProgressView(settings, self.merge)
        self._clock = clock
        self._follows_since: float | None = None
        self._chains: dict[tuple[str, str], tuple[int, int]] = {}
        """By job and chain: the run, and the rows that it had published when it was last seen."""
        self._recent: defaultdict[str, deque[tuple[float, int]]] = defaultdict(deque)
        self._runs: defaultdict[str, dict[int, RunProgress]] = defaultdict(dict)

    def of(self, job_id: str) -> RunView | None:
        """Return how far the latest run of an import is; None when there was none."""
        run = self._view.table.runs.get(job_id)
        if run is None:
            return None
        found = overview(run, self._view.table.chains(job_id).values())
        rate = self.rate(job_id)
        return RunView(found, rate, found.left(rate) if run.state == "open" else None)

    def rate(self, job_id: str) -> float:
        """Return the rows a second of the last minute, or since this process follows the topic."""
        now, recent = self._clock(), self._recent[job_id]
        while recent and now - recent[0][0] > RATE_SECONDS:
            recent.popleft()
        follows_since = now if self._follows_since is None else self._follows_since
        seconds = min(RATE_SECONDS, now - follows_since)
        return sum(rows for _at, rows in recent) / max(seconds, 1.0)

    def runs(self, job_id: str) -> list[RunProgress]:
        """Return the runs of an import, the newest first."""
        return [*reversed(self._runs[job_id].values())] if job_id in self._runs else []

    def merge(self, record: ProgressRecord | None) -> None:
        """Count what a chain has published since it was last seen; keep a run."""
        match record:
            case ChainProgress(job_id=job_id, chain=chain, run=run, tally=tally):
                before_run, before = self._chains.get((job_id, chain), (run, 0))
                self._chains[job_id, chain] = run, tally.rows
                rows = tally.rows - (before if before_run == run else 0)
                if self._follows_since is not None and rows > 0:
                    self._recent[job_id].append((self._clock(), rows))
            case RunProgress(job_id=job_id, run=run):
                runs = self._runs[job_id]
                runs.pop(run, None)
                runs[run] = record
                while len(runs) > MAX_RUNS:
                    del runs[min(runs)]

    async def __aenter__(self) -> Self:
        await self._view.__aenter__()
        self._follows_since = self._clock()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None:
        await self._view.__aexit__(kind, error, at)


async def import_estimate(
    api: "CampaignMonitor", job: ImportJob, campaign_monitor: CampaignMonitorSettings
) -> tuple[Estimate, int]:
    """Return what a full read of a job takes, and the pages that are read at once.

    Raises CampaignMonitorError, UnknownZone.
    """
    settings, zones = ImporterSettings(), dict(campaign_monitor.zone_overrides)
    return await estimate(api, job, settings.page_size, settings.pages_in_flight, zones), settings.pages_in_flight


def span_text(span: timedelta) -> str:
    """Return a time for people: `1 h 2 min`."""
    seconds = round(span.total_seconds())
    parts = ((seconds // 3600, "h"), (seconds % 3600 // 60, "min"), (seconds % 60, "s"))
    return " ".join(f"{count} {unit}" for count, unit in parts if count) or "0 s"
