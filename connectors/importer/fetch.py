"""Asking Campaign Monitor for pages: so many at a time, and the likely next ones while this one is published."""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from functools import partial
from typing import TypeVar

from connectors.campaign_monitor.client.api import CampaignMonitor
from connectors.campaign_monitor.client.entities import Page
from connectors.campaign_monitor.client.requests import Paging
from connectors.importer import metrics, reading
from connectors.importer.step import Wanted
from schemas.import_task import ImportTask, Source

T = TypeVar("T")

Chain = tuple[str, str]

AHEAD_PER_SLOT = 2
"""Pages held or on their way for each that may be in flight; a page is about a megabyte. One would leave a slot idle
while what has come is published; more would only be memory."""


class Fetcher:
    """Bounds what is in flight in this process. Pages asked for ahead are kept by chain until they are wanted."""

    def __init__(self, pages_in_flight: int) -> None:
        self._slots = asyncio.Semaphore(pages_in_flight)
        self._most_ahead = AHEAD_PER_SLOT * pages_in_flight
        self._ahead: dict[Chain, deque[tuple[Wanted, asyncio.Task[Page]]]] = {}

    async def call(self, ask: Callable[[], Awaitable[T]]) -> T:
        """Make a call within the bound."""
        async with self._slots:
            metrics.IN_FLIGHT.inc()
            try:
                return await ask()
            finally:
                metrics.IN_FLIGHT.dec()

    async def page(self, api: CampaignMonitor, task: ImportTask, source: Source, wanted: Wanted) -> Page:
        """Return the page; the one that was asked for ahead, if it is this one. Raises CampaignMonitorError."""
        ahead = self._ahead.get((task.job_id, task.chain))
        if ahead:
            guess, running = ahead[0]
            if guess == wanted:
                ahead.popleft()
                if not ahead:
                    self.forget(task)
                page = await running
                if task.cursor is None or reading.in_order(source, task.cursor, page):
                    metrics.AHEAD.labels("used").inc()
                    return page
            metrics.AHEAD.labels("wrong").inc(max(1, len(ahead)))
            self.forget(task)
        return await self.call(lambda: read(api, source, wanted))

    def is_here(self, task: ImportTask) -> bool:
        """Say whether the page that a step wants was asked for ahead and has been answered."""
        ahead = self._ahead.get((task.job_id, task.chain))
        if not ahead or task.source is None or task.cursor is None:
            return False
        guess, running = ahead[0]
        return (
            running.done()
            and not running.cancelled()
            and running.exception() is None
            and guess == reading.wanted(task.source, task.cursor, task.page_size)
            and reading.in_order(task.source, task.cursor, running.result())
        )

    def ask_ahead(self, api: CampaignMonitor, task: ImportTask, page: Page, most_parts: int) -> None:
        """Ask for the pages that will probably follow this one, which was answered before they are asked for.

        The first always: so while a page is published its chain's next one is on its way. More of them while there
        is room, so that few chains keep as many pages in flight as many chains do.
        """
        if task.source is None or task.cursor is None:
            return
        source = task.source
        ahead = self._ahead.get((task.job_id, task.chain), deque())
        for number, guess in enumerate(reading.likely_next(source, task.cursor, page, task.page_size, most_parts)):
            if number < len(ahead):
                if ahead[number][0] == guess:
                    continue
                return
            if number and sum(map(len, self._ahead.values())) >= self._most_ahead:
                return
            running = asyncio.create_task(self.call(partial(read, api, source, guess)))
            running.add_done_callback(_seen)
            ahead.append((guess, running))
            self._ahead[task.job_id, task.chain] = ahead

    def forget(self, task: ImportTask) -> None:
        """Drop what was asked for ahead of a chain that is not going on here."""
        for _guess, running in self._ahead.pop((task.job_id, task.chain), ()):
            running.cancel()

    def forget_all(self) -> None:
        """Drop everything that was asked for ahead.

        Whenever partitions go: should a chain come back, others have read on meanwhile, and a listing read backward
        must not go on with a page older than the one before.
        """
        for ahead in self._ahead.values():
            for _guess, running in ahead:
                running.cancel()
        self._ahead.clear()


def _seen(running: "asyncio.Task[Page]") -> None:
    """Look at the outcome, so that a failure nobody waited for is not reported as forgotten."""
    if not running.cancelled():
        running.exception()


async def read(api: CampaignMonitor, source: Source, wanted: Wanted) -> Page:
    """Make the call for a page of a source."""
    way = reading.way(source)
    paging = Paging(wanted.page, wanted.size, "email" if way == "by_email" else "date", "asc")
    match source.resource:
        case "users":
            return await api.lists.subscribers(
                source.list_id or "", source.state or "active", paging, date=wanted.anchor
            )
        case "suppression":
            return await api.clients.suppression_list(source.client_id, paging)
        case "report":
            return await api.campaigns.report(
                source.campaign_id or "", source.report or "opens", paging, date=wanted.anchor
            )
        case "journey_report":
            report = source.report or "opens"
            if report == "spam":
                raise ValueError("journeys have no report of complaints")
            return await api.journeys.email_report(source.email_id or "", report, paging, date=wanted.anchor)
