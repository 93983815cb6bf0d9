"""Requests pages of Campaign Monitor: of each chain the likely next ones, while those before are read and published."""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta

from prometheus_client import Counter

from connectors.campaign_monitor.client.api import CampaignMonitor
from connectors.campaign_monitor.client.entities import Page
from connectors.campaign_monitor.client.requests import Paging
from connectors.campaign_monitor.dates import ClientDates
from connectors.importer.readers import reader_for
from connectors.importer.readers.reader import PageQuery, instant_of
from schemas.import_task import ImportTask, Source

PREFETCHED = Counter(
    "cm_streams_import_pages_asked_ahead_total",
    "Pages that were requested before they were due: used, or wrong and asked for in vain. Many wrong ones cost calls.",
    ["outcome"],
)

PREFETCHED_PER_SLOT = 2
"""Pages held or on their way for each that may be in flight; a page is about a megabyte. One would leave a slot idle
while what has come is read; more would only take memory."""

RequestPage = Callable[[ImportTask, PageQuery, int], Awaitable[Page]]
"""(task, page, pages that its chain has left) -> the page. Raises CampaignMonitorError."""


class PageBound:
    """How many pages all chains of this process may hold or have on their way."""

    def __init__(self, pages_in_flight: int) -> None:
        self.left = PREFETCHED_PER_SLOT * pages_in_flight


class ChainPages:
    """The pages of one chain, in order. Those that were requested ahead are kept until they are due."""

    def __init__(self, request: RequestPage, bound: PageBound, max_chains: int) -> None:
        self._request = request
        self._bound = bound
        self._max_chains = max_chains
        self.lists_of: dict[str, set[str]] = {}
        """Lists of addresses of the page that is read: they are not asked for again when one of the calls failed."""
        self._ahead: deque[tuple[PageQuery, asyncio.Future[Page]]] = deque()

    async def page(self, task: ImportTask) -> Page:
        """Return the page that the task reads, and request those that probably follow it.

        Raises CampaignMonitorError; ValueError when the task has no source or cursor.
        """
        if task.source is None or task.cursor is None:
            raise ValueError(f"the task of chain {task.chain} has no source or cursor to read")
        reader = reader_for(task.source)
        # The size that the chain began with: a setting that was changed meanwhile would move every page.
        wanted = reader.page_query(task.cursor, task.page_size)
        page = await self._prefetched(wanted)
        if page is None or not reader.in_order(task.cursor, page):
            self.discard()
            page = await self._request(task, wanted, reader.pages_left(task.cursor, None))
        self._prefetch(task, page)
        return page

    async def _prefetched(self, wanted: PageQuery) -> Page | None:
        if not self._ahead:
            return None
        guess, requested = self._ahead[0]
        if guess != wanted:
            PREFETCHED.labels("wrong").inc(len(self._ahead))
            return None
        self._ahead.popleft()
        self._bound.left += 1
        page = await requested
        PREFETCHED.labels("used").inc()
        return page

    def _prefetch(self, task: ImportTask, page: Page) -> None:
        """Request what probably follows: the next page always, more while there is room."""
        if task.source is None or task.cursor is None:
            return
        reader = reader_for(task.source)
        left = reader.pages_left(task.cursor, page)
        guesses = reader.likely_next(task.cursor, page, task.page_size, self._max_chains)
        for number, guess in enumerate(guesses):
            if number < len(self._ahead):
                if self._ahead[number][0] == guess:
                    continue
                return
            if number and self._bound.left <= 0:
                return
            requested = asyncio.ensure_future(self._request(task, guess, left - number))
            requested.add_done_callback(_retrieve_exception)
            self._ahead.append((guess, requested))
            self._bound.left -= 1

    def discard(self) -> None:
        """Drop what was requested ahead. A listing must not be continued with a page older than the one before."""
        self._bound.left += len(self._ahead)
        for _guess, requested in self._ahead:
            requested.cancel()
        self._ahead.clear()


def _retrieve_exception(requested: "asyncio.Future[Page]") -> None:
    """Retrieve the exception, so that asyncio does not report the failure of a page that nobody awaited."""
    if not requested.cancelled():
        requested.exception()


def date_filter(source: Source, anchor: str | None, dates: ClientDates) -> str | None:
    """Return the `date` of a request for rows since an instant, in the client's zone; None when it asks for all.

    Of a listing it is a day without a time, one early: whether the day itself is included is not documented. In the
    hour that clocks repeat it is the minute before, as a date within means either pass.
    """
    if anchor is None:
        return None
    instant = instant_of(anchor)
    if source.resource == "users":
        return f"{dates.local(instant) - timedelta(days=1):%Y-%m-%d}"
    date = dates.minute_filter(instant)
    early = timedelta(minutes=dates.repeated(date) is not None)
    return f"{datetime.fromisoformat(date) - early:%Y-%m-%d %H:%M}"


async def request_page(api: CampaignMonitor, source: Source, request: PageQuery, dates: ClientDates) -> Page:
    """Make the call for a page of a source."""
    date = date_filter(source, request.anchor, dates)
    paging = Paging(request.page, request.size, reader_for(source).order_field, "asc")
    match source.resource:
        case "users":
            return await api.lists.subscribers(source.list_id or "", source.state or "active", paging, date=date)
        case "suppression":
            return await api.clients.suppression_list(source.client_id, paging)
        case "report":
            return await api.campaigns.report(source.campaign_id or "", source.report or "opens", paging, date=date)
        case "journey_report":
            report = source.report or "opens"
            if report == "spam":
                raise ValueError("journeys have no report of complaints")
            return await api.journeys.email_report(source.email_id or "", report, paging, date=date)
