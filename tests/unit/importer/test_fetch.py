"""Prefetched pages: how many, which, and when one that was answered may be used."""

import asyncio
from datetime import UTC, datetime

import pytest

from connectors.campaign_monitor.client.entities import Page
from connectors.importer.fetch import PREFETCHED_PER_SLOT, ChainPages, PageBound
from connectors.importer.readers.reader import PageQuery
from schemas.import_task import Cursor, ImportTask, Source

NOW = datetime(2026, 3, 1, tzinfo=UTC)
CLICKS = Source(resource="report", client_id="c", time_zone="UTC", campaign_id="k", report="clicks")
RECIPIENTS = Source(resource="report", client_id="c", time_zone="UTC", campaign_id="k", report="recipients")
ACTIVE = Source(resource="users", client_id="c", time_zone="UTC", list_id="l", state="active")


def task(source: Source, page: int, **cursor: object) -> ImportTask:
    phase = "down" if source is ACTIVE else "forward"
    at = Cursor.model_validate({"phase": phase, "page": page, **cursor})
    return ImportTask(job_id="j", run=1, chain="a", kind="read", started_at=NOW, source=source, cursor=at)


class Server:
    """Answers every page at once, and records which were requested, and how many their chain had left."""

    def __init__(self) -> None:
        self.requested: list[int] = []
        self.left: list[int] = []
        self.total = 50_000
        self.failures: list[Exception] = []

    async def __call__(self, _task: ImportTask, query: PageQuery, pages_left: int) -> Page:
        self.requested.append(query.page)
        self.left.append(pages_left)
        await asyncio.sleep(0)
        if self.failures:
            raise self.failures.pop()
        return Page([], "date", "asc", query.page, 1000, 0, self.total, 50)


@pytest.fixture
def server() -> Server:
    return Server()


async def answered() -> None:
    for _turn in range(5):
        await asyncio.sleep(0)


async def test_reports_are_prefetched_up_to_the_bound_and_each_page_once(server):
    bound = PageBound(2)
    pages = ChainPages(server, bound, 8)
    for number in (1, 2, 3):
        assert (await pages.page(task(CLICKS, number))).number == number
        await answered()
        assert server.requested == list(range(1, number + 1 + 2 * PREFETCHED_PER_SLOT))
    assert server.left[1:4] == [49, 48, 47], "what is requested ahead names how much of its chain is left"
    pages.discard()
    assert bound.left == 2 * PREFETCHED_PER_SLOT


async def test_every_chain_has_its_next_page_on_the_way_whatever_others_hold(server):
    bound = PageBound(1)
    for _chain in range(4):
        await ChainPages(server, bound, 8).page(task(CLICKS, 1))
    await answered()
    assert server.requested.count(2) == 4
    assert server.requested.count(3) == 1


async def test_of_a_listing_read_down_one_page_follows_the_other(server):
    await ChainPages(server, PageBound(8), 8).page(task(ACTIVE, 20))
    await answered()
    assert server.requested == [20, 19]


async def test_recipients_that_moved_are_requested_again_in_order(server):
    pages = ChainPages(server, PageBound(1), 8)
    await pages.page(task(RECIPIENTS, 1))
    await answered()
    server.total = 50_001
    found = await pages.page(task(RECIPIENTS, 2, total=50_001))
    assert (found.total, server.requested[:4]) == (50_001, [1, 2, 3, 2])


async def test_a_prefetch_that_failed_is_requested_again(server):
    pages = ChainPages(server, PageBound(1), 8)
    await pages.page(task(ACTIVE, 20))
    server.failures.append(RuntimeError("broken"))
    await answered()
    with pytest.raises(RuntimeError):
        await pages.page(task(ACTIVE, 19))
    assert (await pages.page(task(ACTIVE, 19))).number == 19
    await answered()
    assert server.requested == [20, 19, 19, 18]


async def test_a_task_without_a_source_is_an_error(server):
    with pytest.raises(ValueError, match="has no source or cursor"):
        await ChainPages(server, PageBound(1), 8).page(task(CLICKS, 1).model_copy(update={"source": None}))
