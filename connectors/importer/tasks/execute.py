"""Executes one task of a chain: request, then return what it leads to. A failure never blocks other chains."""

import asyncio
import random
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial

import structlog
from prometheus_client import Counter

from connectors.campaign_monitor.client.api import CampaignMonitor
from connectors.campaign_monitor.client.entities import Page
from connectors.campaign_monitor.client.requests import Paging
from connectors.campaign_monitor.dates import ClientDates, UnknownZone
from connectors.campaign_monitor.errors.backoff import retry_after
from connectors.campaign_monitor.errors.exceptions import CampaignMonitorError
from connectors.campaign_monitor.errors.verdicts import Forbidden, Misconfigured, NotFound, RowRefused, Unauthorised
from connectors.control.accounts import OpenApi
from connectors.importer.fetch import Fetcher
from connectors.importer.progress import ProgressView
from connectors.importer.readers import reader_for
from connectors.importer.settings import ImporterSettings
from connectors.importer.tasks import expand
from connectors.importer.tasks.page import TaskResult, process_page, progress_of
from connectors.importer.translate import RowTranslator
from schemas.control import ImportJob
from schemas.envelope import rfc3339
from schemas.import_task import ChainProgress, ImportTask, RunProgress

log = structlog.get_logger(__name__)

JOB_SECONDS = 10.0
"""For a new job to be known in every process; a task of a job that is not known is dropped, as the job was removed."""

UNAUTHORISED_SECONDS = 60.0
"""Until a task is tried again whose credential was refused: a person has to act, and the status shows it meanwhile."""

ODD_DATES = Counter("import_odd_dates_total", "Rows whose date could not be read.")
REPEATS = Counter("import_repeats_total", "Rows that were known and not published again.")
RESTARTS = Counter("import_restarts_total", "Pages read again because rows had moved while they were read.")
PARKED = Counter("import_parked_total", "Tasks put aside to be tried later.")
FAILED = Counter("import_failed_chains_total", "Chains abandoned in a run, because a retry cannot help.")


@dataclass(slots=True)
class TaskExecutor:
    """Executes tasks. `job`: the job by id, None when there is none (any more)."""

    settings: ImporterSettings
    view: ProgressView
    fetcher: Fetcher
    open_api: OpenApi
    job: Callable[[str], ImportJob | None]
    zone_overrides: dict[str, str] = field(default_factory=dict)
    _dates: dict[str, ClientDates] = field(default_factory=dict)
    _converting: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(1, thread_name_prefix="rows"))
    """One thread: with more they would only contend for the interpreter."""

    async def execute(self, task: ImportTask) -> TaskResult:
        """Return what a task leads to: the next one, the end of its chain, or a wait.

        A failure of Campaign Monitor is retried `retry_attempts` times, then the chain is parked; one that a retry
        cannot help ends the chain. A task of a removed job leads to nothing. Raises TimeoutError when the progress
        topic does not come as far as the run.
        """
        job = await self._wait_for_job(task.job_id)
        if job is None:
            self.fetcher.discard(task)
            return TaskResult()
        if task.kind == "start":
            return self._mark_requested(task)
        if job.state == "stopped":
            return self._parked(task, None, None)
        # What earlier runs left must be known here before it is built upon; the record that began this run is younger.
        await self.view.until(lambda table: _run_of(table.runs.get(task.job_id)) >= task.run)
        for attempt in range(1, self.settings.retry_attempts + 1):
            try:
                return await self._execute(job, task)
            except LookupError as missing:
                return self._parked(task, str(missing.args[0]), self.settings.park_seconds)
            except UnknownZone as unknown:
                return self._failed(task, str(unknown))
            except CampaignMonitorError as error:
                match error.verdict:
                    case Unauthorised():
                        return self._parked(task, f"Campaign Monitor refuses the access: {error}", UNAUTHORISED_SECONDS)
                    case NotFound() | Forbidden() | Misconfigured() | RowRefused():
                        return self._failed(task, f"cannot be read: {error}")
                    case verdict:
                        after = retry_after(verdict, attempt, random.random()) or 0.0
                if attempt == self.settings.retry_attempts or after > self.settings.park_seconds:
                    return self._parked(task, str(error), max(after, self.settings.park_seconds))
                log.info("page requested again", chain=task.chain, reason=str(error), after_seconds=round(after, 2))
                await asyncio.sleep(after)
        raise AssertionError("the last attempt returns")

    def prefetched_next(self, result: TaskResult, task: ImportTask) -> ImportTask | None:
        """Return the chain's next task when its page was prefetched and has been answered, else None."""
        following = result.next_task(task.chain)
        return following if following is not None and self.fetcher.has_prefetched(following) else None

    async def _execute(self, job: ImportJob, task: ImportTask) -> TaskResult:
        api = await self.open_api(job.authorization_id)
        match task.kind:
            case "read":
                return await self._page(api, task)
            case "discover":
                return await self._discover(api, job, task)
            case "campaign":
                return await self._campaign(api, job, task)
            case "journey":
                source = task.source
                details = await self.fetcher.call(lambda: api.journeys.details((source and source.journey_id) or ""))
                return expand.journey(self._context(job, task), details)
            case "gap":
                return await self._gap(api, job, task)
            case "start":
                return TaskResult()

    async def _page(self, api: CampaignMonitor, task: ImportTask) -> TaskResult:
        source, cursor = task.source, task.cursor
        if source is None or cursor is None:
            return self._failed(task, "the task has no source or cursor to read")
        # The size that the chain began with: a setting that was changed meanwhile would move every page.
        request = reader_for(source).page_query(cursor, task.page_size)
        page = await self.fetcher.page(api, task, source, request)
        self.fetcher.prefetch(api, task, page, self.settings.chains_per_read)
        dates = self.dates(source.time_zone)
        translator = RowTranslator(source, task.job_id, dates, rfc3339(task.started_at))
        convert = partial(process_page, task, page, translator, datetime.now(UTC), self.settings.chains_per_read)
        # Some 20 ms for a thousand rows: on the loop, answers that come meanwhile would wait and keep their slots.
        result = await asyncio.get_running_loop().run_in_executor(self._converting, convert)
        self._count(task, result, translator)
        return result

    def _count(self, task: ImportTask, result: TaskResult, translator: RowTranslator) -> None:
        ODD_DATES.inc(translator.odd_dates)
        for progress in result.progress:
            if isinstance(progress, ChainProgress) and progress.chain == task.chain:
                REPEATS.inc(progress.tally.repeats - task.tally.repeats)
                RESTARTS.inc(progress.tally.restarts - task.tally.restarts)

    async def _discover(self, api: CampaignMonitor, job: ImportJob, task: ImportTask) -> TaskResult:
        call = self.fetcher.call
        client = await call(lambda: api.clients.details(job.client_id))
        lists = await call(lambda: api.clients.lists(job.client_id)) if task.page == 1 else []
        campaigns: Page | None = None
        if not task.sweep and job.activities:
            paging = Paging(page=task.page, direction="desc")
            campaigns = await call(lambda: api.clients.campaigns(job.client_id, paging))
        journeys = []
        if task.page == 1 and job.journeys and job.activities and not task.sweep:
            journeys = await call(lambda: api.clients.journeys(job.client_id))
        context = self._context(job, task)
        return expand.discover(context, client, self.dates(client.time_zone), lists, campaigns, journeys)

    async def _campaign(self, api: CampaignMonitor, job: ImportJob, task: ImportTask) -> TaskResult:
        source = task.source
        if source is None or source.campaign_id is None:
            return self._failed(task, "the task names no campaign")
        campaign_id = source.campaign_id
        mark = self.view.table.mark(job.id, task.chain)
        names = {} if task.full or mark is None else mark.list_names
        if not names:
            audience = await self.fetcher.call(lambda: api.campaigns.lists_and_segments(campaign_id))
            names = {ref.list_id: ref.name for ref in audience.lists}
            # A campaign to segments only names no list: the segments name theirs.
            names |= {ref.list_id: "" for ref in audience.segments if ref.list_id not in names}
        summary = await self.fetcher.call(lambda: api.campaigns.summary(campaign_id))
        return expand.campaign(self._context(job, task), summary, names, self.dates(source.time_zone))

    async def _gap(self, api: CampaignMonitor, job: ImportJob, task: ImportTask) -> TaskResult:
        client = await self.fetcher.call(lambda: api.clients.details(job.client_id))
        lists = await self.fetcher.call(lambda: api.clients.lists(job.client_id))
        since = datetime.fromisoformat(task.since) if task.since else task.started_at
        return expand.gap(self._context(job, task), client, self.dates(client.time_zone), lists, since)

    async def _wait_for_job(self, job_id: str) -> ImportJob | None:
        """Return the job; None when it was removed. One that was made a moment ago may not be known here yet."""
        deadline = time.monotonic() + JOB_SECONDS
        while (job := self.job(job_id)) is None and time.monotonic() < deadline:  # noqa: ASYNC110 - a table without events
            await asyncio.sleep(0.1)
        return job

    def dates(self, label: str) -> ClientDates:
        """Return the dates of a client's zone, which cache what they have converted. Raises UnknownZone."""
        known = self._dates.get(label)
        if known is None:
            known = self._dates[label] = ClientDates.of(label, self.zone_overrides)
        return known

    def _context(self, job: ImportJob, task: ImportTask) -> expand.ExpansionContext:
        return expand.ExpansionContext(job, task, self.view.table, self.settings, datetime.now(UTC))

    def _mark_requested(self, task: ImportTask) -> TaskResult:
        run = self.view.table.runs.get(task.job_id)
        if run is None or run.state == "open" or run.requested:
            return TaskResult()  # it begins by itself, or is under way
        return TaskResult(progress=[run.model_copy(update={"requested": True})])

    def _parked(self, task: ImportTask, problem: str | None, seconds: float | None) -> TaskResult:
        """Put the task aside, so that others on its partition go on. Without a time it waits for the job's start."""
        self.fetcher.discard(task)
        PARKED.inc()
        now = datetime.now(UTC)
        retry_at = None if seconds is None else now + timedelta(seconds=seconds)
        waiting = task.model_copy(update={"attempt": task.attempt + (problem is not None)})
        if problem is not None:
            log.warning("task parked", job=task.job_id, chain=task.chain, reason=problem)
        change = {"state": "parked", "problem": problem, "retry_at": retry_at, "task": waiting, "updated_at": now}
        return TaskResult(progress=[progress_of(waiting, change)])

    def _failed(self, task: ImportTask, problem: str) -> TaskResult:
        self.fetcher.discard(task)
        FAILED.inc()
        log.error("chain abandoned", job=task.job_id, chain=task.chain, reason=problem)
        failed = {"state": "failed", "problem": problem, "updated_at": datetime.now(UTC)}
        return TaskResult(progress=[progress_of(task, failed)])


def _run_of(run: RunProgress | None) -> int:
    return 0 if run is None else run.run
