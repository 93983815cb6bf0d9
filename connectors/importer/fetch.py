"""Asking Campaign Monitor for pages: so many at a time, and the likely next one while this one is published."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

from connectors.campaign_monitor.client import CampaignMonitor
from connectors.campaign_monitor.entities import Page
from connectors.campaign_monitor.requests import Paging
from connectors.importer import metrics, reading
from connectors.importer.step import Wanted
from schemas.import_task import ImportTask, Source

T = TypeVar("T")

Chain = tuple[str, str]


class Fetcher:
    """Bounds what is in flight in this process. Pages asked for ahead are kept by chain until they are wanted."""

    def __init__(self, pages_in_flight: int) -> None:
        self._slots = asyncio.Semaphore(pages_in_flight)
        self._ahead: dict[Chain, tuple[Wanted, asyncio.Task[Page]]] = {}

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
        ahead = self._ahead.pop((task.job_id, task.chain), None)
        if ahead is not None:
            guess, running = ahead
            if guess == wanted:
                metrics.AHEAD.labels("used").inc()
                return await running
            running.cancel()
            metrics.AHEAD.labels("wrong").inc()
        return await self.call(lambda: read(api, source, wanted))

    def ask_ahead(self, api: CampaignMonitor, task: ImportTask, page: Page, size: int) -> None:
        """Ask for the page that will probably follow. It is asked for after this one was answered, so order holds."""
        if task.source is None or task.cursor is None:
            return
        guess = reading.likely_next(task.source, task.cursor, page, size)
        if guess is not None:
            source = task.source
            running = asyncio.create_task(self.call(lambda: read(api, source, guess)))
            running.add_done_callback(_seen)
            self._ahead[task.job_id, task.chain] = (guess, running)

    def forget(self, task: ImportTask) -> None:
        """Drop what was asked for ahead of a chain that is not going on here."""
        ahead = self._ahead.pop((task.job_id, task.chain), None)
        if ahead is not None:
            ahead[1].cancel()

    def close(self) -> None:
        """Drop everything that was asked for ahead."""
        for _guess, running in self._ahead.values():
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
