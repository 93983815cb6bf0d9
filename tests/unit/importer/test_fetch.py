"""Prefetched pages: how many, which, and when one that was answered may be used."""

import asyncio
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest

from connectors.campaign_monitor.client.entities import Page
from connectors.campaign_monitor.dates import ClientDates
from connectors.importer.fetch import PREFETCHED_PER_SLOT, ChainPages, PageBound, date_filter
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


@pytest.mark.parametrize(
    ("resource", "anchor", "date"),
    [
        ("report", "2026-07-01T10:05", "2026-07-01 12:05"),
        ("users", "2026-07-01T22:05:00.000Z", "2026-07-01"),
        ("users", "2026-10-25T22:30", "2026-10-24"),
        ("report", "2026-10-25T00:40", "2026-10-25 01:59"),
        ("report", "2026-10-25T01:10", "2026-10-25 01:59"),
        ("report", "2026-10-25T02:00", "2026-10-25 03:00"),
        ("suppression", None, None),
    ],
)
def test_a_request_names_a_date_of_the_client_from_which_on_all_rows_since_an_instant_are(resource, anchor, date):
    source = Source(resource=resource, client_id="c", time_zone="")
    assert date_filter(source, anchor, ClientDates(ZoneInfo("Europe/Berlin"))) == date
