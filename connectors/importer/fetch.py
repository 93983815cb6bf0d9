"""Requests pages of Campaign Monitor: a bounded number at a time, the likely next ones while one is published."""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from functools import partial
from typing import TypeVar

from prometheus_client import Counter, Gauge

from connectors.campaign_monitor.client.api import CampaignMonitor
from connectors.campaign_monitor.client.entities import Page
from connectors.campaign_monitor.client.requests import Paging
from connectors.importer.readers import reader_for
from connectors.importer.readers.reader import PageQuery
from schemas.import_task import ImportTask, Source

T = TypeVar("T")

ChainKey = tuple[str, str]
"""(job id, chain name)."""

IN_FLIGHT = Gauge("import_pages_in_flight", "Calls to Campaign Monitor that are not answered yet.")
PREFETCHED = Counter("import_pages_asked_ahead_total", "Pages that were requested before their task came.", ["outcome"])

PREFETCHED_PER_SLOT = 2
"""Pages held or on their way for each that may be in flight; a page is about a megabyte. One would leave a slot idle
while what has come is published; more would only take memory."""


class Fetcher:
    """Bounds what is in flight in this process. Prefetched pages are kept by chain until their task comes."""

    def __init__(self, pages_in_flight: int) -> None:
        self._slots = asyncio.Semaphore(pages_in_flight)
        self._max_prefetched = PREFETCHED_PER_SLOT * pages_in_flight
        self._prefetched: dict[ChainKey, deque[tuple[PageQuery, asyncio.Task[Page]]]] = {}

    async def call(self, request: Callable[[], Awaitable[T]]) -> T:
        """Make a call within the bound."""
        async with self._slots:
            IN_FLIGHT.inc()
            try:
                return await request()
            finally:
                IN_FLIGHT.dec()

    async def page(self, api: CampaignMonitor, task: ImportTask, source: Source, request: PageQuery) -> Page:
        """Return the page; the prefetched one if it is the one requested. Raises CampaignMonitorError."""
        ahead = self._prefetched.get((task.job_id, task.chain))
        if ahead:
            guess, running = ahead[0]
            if guess == request:
                ahead.popleft()
                if not ahead:
                    self.discard(task)
                page = await running
                if task.cursor is None or reader_for(source).in_order(task.cursor, page):
                    PREFETCHED.labels("used").inc()
                    return page
            PREFETCHED.labels("wrong").inc(max(1, len(ahead)))
            self.discard(task)
        return await self.call(lambda: read(api, source, request))

    def has_prefetched(self, task: ImportTask) -> bool:
        """Return whether the page that a task reads next was prefetched and has been answered."""
        ahead = self._prefetched.get((task.job_id, task.chain))
        if not ahead or task.source is None or task.cursor is None:
            return False
        guess, running = ahead[0]
        return (
            running.done()
            and not running.cancelled()
            and running.exception() is None
            and guess == reader_for(task.source).page_query(task.cursor, task.page_size)
            and reader_for(task.source).in_order(task.cursor, running.result())
        )

    def prefetch(self, api: CampaignMonitor, task: ImportTask, page: Page, max_chains: int) -> None:
        """Request the pages that will probably follow this one, which has been answered.

        The first always: so while a page is published its chain's next one is on its way. More of them while there
        is room, so that few chains keep as many pages in flight as many chains do.
        """
        if task.source is None or task.cursor is None:
            return
        source = task.source
        ahead = self._prefetched.get((task.job_id, task.chain), deque())
        for number, guess in enumerate(reader_for(source).likely_next(task.cursor, page, task.page_size, max_chains)):
            if number < len(ahead):
                if ahead[number][0] == guess:
                    continue
                return
            if number and sum(map(len, self._prefetched.values())) >= self._max_prefetched:
                return
            running = asyncio.create_task(self.call(partial(read, api, source, guess)))
            running.add_done_callback(_retrieve_exception)
            ahead.append((guess, running))
            self._prefetched[task.job_id, task.chain] = ahead

    def discard(self, task: ImportTask) -> None:
        """Drop what was prefetched of a chain that does not go on here."""
        for _guess, running in self._prefetched.pop((task.job_id, task.chain), ()):
            running.cancel()

    def discard_all(self) -> None:
        """Drop everything that was prefetched, whenever partitions are revoked.

        Should a chain come back, others have read on meanwhile, and a listing read backward must not go on with a page
        older than the one before.
        """
        for ahead in self._prefetched.values():
            for _guess, running in ahead:
                running.cancel()
        self._prefetched.clear()


def _retrieve_exception(running: "asyncio.Task[Page]") -> None:
    """Retrieve the exception, so that asyncio does not report the failure of a page that nobody awaited."""
    if not running.cancelled():
        running.exception()


async def read(api: CampaignMonitor, source: Source, request: PageQuery) -> Page:
    """Make the call for a page of a source."""
    paging = Paging(request.page, request.size, reader_for(source).order_field, "asc")
    match source.resource:
        case "users":
            return await api.lists.subscribers(
                source.list_id or "", source.state or "active", paging, date=request.anchor
            )
        case "suppression":
            return await api.clients.suppression_list(source.client_id, paging)
        case "report":
            return await api.campaigns.report(
                source.campaign_id or "", source.report or "opens", paging, date=request.anchor
            )
        case "journey_report":
            report = source.report or "opens"
            if report == "spam":
                raise ValueError("journeys have no report of complaints")
            return await api.journeys.email_report(source.email_id or "", report, paging, date=request.anchor)
