"""Executes one task of a chain: request, then return what it leads to. A failure never blocks other chains."""

import asyncio
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TypeVar

import structlog

from connectors.campaign_monitor.client.api import CampaignMonitor
from connectors.campaign_monitor.client.entities import ListRef, Page
from connectors.campaign_monitor.client.requests import Paging
from connectors.campaign_monitor.dates import ClientDates, UnknownZone
from connectors.campaign_monitor.errors.backoff import retry_after
from connectors.campaign_monitor.errors.exceptions import CampaignMonitorError
from connectors.campaign_monitor.errors.verdicts import Forbidden, Misconfigured, NotFound, RowRefused, Unauthorised
from connectors.control.accounts import OpenApi
from connectors.importer.client_zones import ClientZones
from connectors.importer.fetch import ChainPages, PageBound, request_page
from connectors.importer.metrics import FAILED, ODD_DATES, PARKED, REPEATS, RESTARTS
from connectors.importer.progress import ProgressView
from connectors.importer.readers.reader import UNKNOWN_PAGES, PageQuery
from connectors.importer.settings import ImporterSettings
from connectors.importer.slots import SlotCaller, Slots
from connectors.importer.tasks import association, expand, sources
from connectors.importer.tasks.context import ExpansionContext
from connectors.importer.tasks.page import TaskResult, process_page, progress_of, read_page
from connectors.importer.translate import RowTranslator
from schemas.control import ImportJob
from schemas.envelope import rfc3339
from schemas.import_task import ChainProgress, ImportTask, Tally

log = structlog.get_logger(__name__)

CALLS_FIRST_SECONDS = 0.001

T = TypeVar("T")

UNAUTHORISED_SECONDS = 60.0
"""Until a task is tried again whose credential was refused: a person has to act, and the status shows it meanwhile."""


@dataclass(slots=True)
class TaskExecutor:
    """Executes tasks. `job`: the job by id, None when there is none (any more)."""

    settings: ImporterSettings
    view: ProgressView
    open_api: OpenApi
    job: Callable[[str], ImportJob | None]
    zone_overrides: dict[str, str] = field(default_factory=dict)
    slots: Slots = field(init=False)
    _bound: PageBound = field(init=False)
    _dates: dict[str, ClientDates] = field(default_factory=dict)
    zones: ClientZones = field(default_factory=ClientZones)
    authorized_at: Callable[[str], datetime | None] = lambda _authorization: None
    """Authorization id -> when it was changed last, as far as this process has seen it."""

    def __post_init__(self) -> None:
        self.slots = Slots(self.settings.pages_in_flight)
        self._bound = PageBound(self.settings.pages_in_flight)

    def pages(self) -> ChainPages:
        """Return what a chain reads its pages with."""
        return ChainPages(self._request, self._bound, self.settings.max_chains)

    async def execute(self, task: ImportTask, pages: ChainPages) -> TaskResult:
        """Return what a task leads to: the next one, the end of its chain, or a wait.

        A failure of Campaign Monitor is retried `retry_attempts` times, then the chain is parked; one that a retry
        cannot help ends the chain. Nothing but the chain itself waits for a retry. A task of a removed job leads to
        nothing.
        """
        result = await self._attempts(task, pages)
        chains = (record for record in result.progress if isinstance(record, ChainProgress))
        FAILED.inc(sum(chain.state == "failed" for chain in chains))
        return result

    async def _attempts(self, task: ImportTask, pages: ChainPages) -> TaskResult:
        for attempt in range(1, self.settings.retry_attempts + 1):
            job = self.job(task.job_id)
            if job is None:
                return TaskResult()  # what is stored for it is dropped by its home
            if job.state == "stopped":
                return self._parked(task, None, None)
            try:
                return await self._execute(job, task, pages)
            except LookupError as missing:
                return self._parked(task, str(missing.args[0]), self.settings.park_seconds)
            except UnknownZone as unknown:
                return self._failed(task, str(unknown))
            except CampaignMonitorError as error:
                match error.verdict:
                    case Unauthorised():
                        return self._parked(task, str(error), UNAUTHORISED_SECONDS)
                    case NotFound() | Forbidden() | Misconfigured() | RowRefused():
                        return self._failed(task, f"cannot be read: {error}")
                    case verdict:
                        after = retry_after(verdict, attempt, random.random()) or 0.0
                if attempt == self.settings.retry_attempts or after > self.settings.park_seconds:
                    return self._parked(task, str(error), max(after, self.settings.park_seconds))
                log.info("page requested again", chain=task.chain, reason=str(error), after_seconds=round(after, 2))
                await asyncio.sleep(after)
            except Exception as fault:  # of one resource: others are not concerned
                log.exception("chain failed", job=task.job_id, chain=task.chain)
                return self._failed(task, f"it met an error of the connector: {type(fault).__name__}")
        raise AssertionError("the last attempt returns")

    async def _api(self, job: ImportJob, pages_left: int = UNKNOWN_PAGES) -> CampaignMonitor:
        """Return the API, whose calls go through this process's slots."""
        api = await self.open_api(job.authorization_id)
        return CampaignMonitor(SlotCaller(api.caller, self.slots, job.authorization_id, job.id, pages_left))

    async def _request(self, task: ImportTask, query: PageQuery, pages_left: int) -> Page:
        job = self.job(task.job_id)
        if job is None or task.source is None:
            raise LookupError(f"there is no job {task.job_id}")
        dates = self.dates(task.source.time_zone)
        return await request_page(await self._api(job, pages_left), task.source, query, dates)

    async def _in_zone(self, job: ImportJob, task: ImportTask, pages: ChainPages) -> ImportTask:
        """Return the task with the zone that the client has now; after a change nothing counts that was read ahead."""
        source = task.source
        if source is None:
            return task
        label = self.zones.known(source.client_id)
        if label is None:
            label = await self.zones.look_up(await self._api(job), source.client_id)
        if label == source.time_zone:
            return task
        pages.discard()
        moved = sources.in_zone(source, label, self.dates(source.time_zone), self.dates(label))
        return task.model_copy(update={"source": moved})

    async def _execute(self, job: ImportJob, task: ImportTask, pages: ChainPages) -> TaskResult:
        task = await self._in_zone(job, task, pages)
        match task.kind:
            case "read":
                return await self._page(job, task, pages)
            case "discover":
                return await self._discover(await self._api(job), job, task)
            case "campaign":
                return await self._campaign(await self._api(job), job, task)
            case "journey":
                api, source = await self._api(job), task.source
                details = await api.journeys.details((source and source.journey_id) or "")
                return expand.journey(self._context(job, task), details)
            case "gap":
                return await self._gap(await self._api(job), job, task)
            case "start":
                return TaskResult()

    async def _page(self, job: ImportJob, task: ImportTask, pages: ChainPages) -> TaskResult:
        if task.source is None or task.cursor is None:
            return self._failed(task, "the task has no source or cursor to read")
        page = await pages.page(task)
        # The call that got this page's slot is sent first: reading a page takes as long as many turns of the loop.
        await asyncio.sleep(CALLS_FIRST_SECONDS)
        reported: set[bytes] = set()
        if task.source.unreported_before is not None:
            reported = self.view.table.reported_unsubscribes(task.job_id)
        translator = RowTranslator(
            task.source, task.job_id, self.dates(task.source.time_zone), rfc3339(task.started_at), reported
        )
        read = read_page(task, page, translator, self.settings.max_chains)
        if association.names_lists(task.source):
            api = await self._api(job)
            await association.look_up(api, task.source.client_id, association.addresses(read), pages.lists_of)
            read = association.of_lists(read, task.source, pages.lists_of)
            pages.lists_of.clear()
        result = process_page(task, read, translator, datetime.now(UTC))
        self._count(task, result, translator)
        return result

    def _count(self, task: ImportTask, result: TaskResult, translator: RowTranslator) -> None:
        ODD_DATES.inc(translator.odd_dates)
        for progress in result.progress:
            if isinstance(progress, ChainProgress) and progress.chain == task.chain:
                REPEATS.inc(progress.tally.repeats - task.tally.repeats)
                RESTARTS.inc(progress.tally.restarts - task.tally.restarts)

    async def _discover(self, api: CampaignMonitor, job: ImportJob, task: ImportTask) -> TaskResult:
        client = await api.clients.details(job.client_id)
        self.zones.see(client)
        dates, first, part = self.dates(client.time_zone), task.page == 1, sources.part_of(task.chain)
        apart: list[ChainProgress] = []

        async def alone(name: str, call: Awaitable[T]) -> T | None:
            """Return the answer; None when there is none, which stops nothing else.

            A call that was refused for good is named; any other is tried again by a chain of its own.
            """
            try:
                return await call
            except CampaignMonitorError as error:
                if part:
                    raise
                refused = isinstance(error.verdict, Unauthorised | NotFound | Forbidden | Misconfigured | RowRefused)
                apart.append(self._refused(task, name, f"cannot be read: {error}") if refused else _apart(task, name))
                return None

        lists: list[ListRef] | None = []
        if first and part in ("", "lists", "journeys"):  # journeys name theirs
            lists = await alone("lists", api.clients.lists(job.client_id))
        campaigns, journeys = None, None
        if job.activities and not task.sweep:
            paging = Paging(page=task.page, direction="desc")
            if part in ("", "campaigns"):
                campaigns = await alone("campaigns", api.clients.campaigns(job.client_id, paging))
            if first and job.journeys and part in ("", "journeys"):
                if any(chain.state == "open" for chain in apart):  # what names their lists comes later
                    apart.append(_apart(task, "journeys"))
                else:
                    journeys = await alone("journeys", api.clients.journeys(job.client_id))
        result = TaskResult(progress=list(apart))
        found = expand.discover(self._context(job, task), client, dates, lists, campaigns, journeys or [])
        result.progress += found.progress
        result.deleted += found.deleted
        return result

    async def _campaign(self, api: CampaignMonitor, job: ImportJob, task: ImportTask) -> TaskResult:
        source = task.source
        if source is None or source.campaign_id is None:
            return self._failed(task, "the task names no campaign")
        mark = self.view.table.mark(job.id, task.chain)
        names = {} if task.full or mark is None else mark.list_names
        if not names:
            audience = await api.campaigns.lists_and_segments(source.campaign_id)
            lists = await api.clients.lists(job.client_id) if audience.segments else []
            names = sources.audience_names(audience.lists, audience.segments, lists)
        summary = await api.campaigns.summary(source.campaign_id)
        return expand.campaign(self._context(job, task), summary, names, self.dates(source.time_zone))

    async def _gap(self, api: CampaignMonitor, job: ImportJob, task: ImportTask) -> TaskResult:
        client = await api.clients.details(job.client_id)
        self.zones.see(client)
        lists = await api.clients.lists(job.client_id)
        since = datetime.fromisoformat(task.since) if task.since else task.started_at
        return expand.gap(self._context(job, task), client, self.dates(client.time_zone), lists, since)

    def dates(self, label: str) -> ClientDates:
        """Return the dates of a client's zone, which cache what they have converted. Raises UnknownZone."""
        known = self._dates.get(label)
        if known is None:
            known = self._dates[label] = ClientDates.of(label, self.zone_overrides)
        return known

    def _context(self, job: ImportJob, task: ImportTask) -> ExpansionContext:
        return ExpansionContext(job, task, self.view.table, self.settings, datetime.now(UTC))

    def _parked(self, task: ImportTask, problem: str | None, seconds: float | None) -> TaskResult:
        """Put the task aside, with its reason for people to see. Without a time it waits for the job's start."""
        PARKED.inc()
        now = datetime.now(UTC)
        retry_at = None if seconds is None else now + timedelta(seconds=seconds)
        waiting = task.model_copy(update={"attempt": task.attempt + (problem is not None)})
        if problem is not None:
            log.warning("task parked", job=task.job_id, chain=task.chain, reason=problem)
        change = {"state": "parked", "problem": problem, "retry_at": retry_at, "updated_at": now}
        return TaskResult(progress=[progress_of(waiting, change)])

    def _failed(self, task: ImportTask, problem: str) -> TaskResult:
        log.error("chain abandoned", job=task.job_id, chain=task.chain, reason=problem)
        failed = {"state": "failed", "problem": problem, "updated_at": datetime.now(UTC)}
        return TaskResult(progress=[progress_of(task, failed)])

    def _refused(self, task: ImportTask, name: str, problem: str) -> ChainProgress:
        """Return what people see of a part of the discovery that was refused."""
        log.error("part of the discovery refused", job=task.job_id, part=name, reason=problem)
        failed = {"state": "failed", "problem": problem, "updated_at": datetime.now(UTC), "task": None}
        change = {
            "chain": sources.part_chain(task.chain, name),
            "label": "",
            "group": f"the client's {name}",
            "tally": Tally(),
        }
        return progress_of(task, {**change, **failed})


def _apart(task: ImportTask, name: str) -> ChainProgress:
    """Return the chain that tries a part of the discovery again, while what was found otherwise is read."""
    change = {"chain": sources.part_chain(task.chain, name), "step": 0, "label": name, "tally": Tally()}
    return progress_of(task.model_copy(update=change), {})
