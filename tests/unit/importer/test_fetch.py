"""Prefetched pages: how many, which, and when one that was answered may be used."""

import asyncio
from datetime import UTC, datetime

import pytest

from connectors.campaign_monitor.client.entities import Page
from connectors.importer import fetch
from connectors.importer.fetch import PREFETCHED_PER_SLOT, Fetcher
from connectors.importer.readers import reader_for
from connectors.importer.tasks.page import TaskResult, progress_of
from connectors.importer.translate import ImportedRecord
from schemas.import_task import Cursor, ImportTask, Source

NOW = datetime(2026, 3, 1, tzinfo=UTC)
CLICKS = Source(resource="report", client_id="c", time_zone="UTC", campaign_id="k", report="clicks")
RECIPIENTS = Source(resource="report", client_id="c", time_zone="UTC", campaign_id="k", report="recipients")
ACTIVE = Source(resource="users", client_id="c", time_zone="UTC", list_id="l", state="active")


def task(source: Source, page: int, chain: str = "a", **cursor: object) -> ImportTask:
    phase = "down" if source is ACTIVE else "forward"
    at = Cursor.model_validate({"phase": phase, "page": page, **cursor})
    return ImportTask(job_id="j", run=1, chain=chain, kind="read", started_at=NOW, source=source, cursor=at)


def page(number: int, pages: int = 50, total: int = 50_000) -> Page:
    return Page([], "date", "asc", number, 1000, 0, total, pages)


class FakeApi:
    """Answers every page at once, and records which were requested."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.requested: list[int] = []
        self.total = 50_000
        monkeypatch.setattr(fetch, "read", self._read)

    async def _read(self, _api: object, _source: Source, request: fetch.PageQuery) -> Page:
        self.requested.append(request.page)
        return page(request.page, total=self.total)


@pytest.fixture
def api(monkeypatch: pytest.MonkeyPatch) -> FakeApi:
    return FakeApi(monkeypatch)


async def answered() -> None:
    for _turn in range(5):
        await asyncio.sleep(0)


async def test_reports_are_prefetched_up_to_the_bound_and_each_page_once(api):
    fetcher = Fetcher(2)
    fetcher.prefetch(api, task(CLICKS, 1), page(1), 8)
    await answered()
    assert api.requested == [2, 3, 4, 5]
    assert len(api.requested) == 2 * PREFETCHED_PER_SLOT
    for number in (2, 3):
        step = task(CLICKS, number)
        assert fetcher.has_prefetched(step)
        found = await fetcher.page(api, step, CLICKS, reader_for(CLICKS).page_query(step.cursor, 1000))
        fetcher.prefetch(api, step, found, 8)
    await answered()
    assert api.requested == [2, 3, 4, 5, 6, 7]


async def test_every_chain_has_its_next_page_on_the_way_whatever_others_hold(api):
    fetcher = Fetcher(1)
    for chain in "abcd":
        fetcher.prefetch(api, task(CLICKS, 1, chain), page(1), 8)
    await answered()
    assert api.requested == [2, 3, 2, 2, 2]


async def test_of_a_listing_read_down_one_page_follows_the_other(api):
    fetcher = Fetcher(8)
    fetcher.prefetch(api, task(ACTIVE, 20), page(20), 8)
    await answered()
    assert api.requested == [19]


async def test_recipients_that_moved_are_requested_again_in_order(api):
    fetcher = Fetcher(1)
    fetcher.prefetch(api, task(RECIPIENTS, 1, total=50_000), page(1), 8)
    await answered()
    step = task(RECIPIENTS, 2, total=50_001)
    assert not fetcher.has_prefetched(step)
    api.total = 50_001
    found = await fetcher.page(api, step, RECIPIENTS, reader_for(RECIPIENTS).page_query(step.cursor, 1000))
    assert (found.total, api.requested) == (50_001, [2, 3, 2])


async def test_what_was_prefetched_before_partitions_were_revoked_is_not_used_after(api):
    fetcher = Fetcher(2)
    step = task(ACTIVE, 19)
    fetcher.prefetch(api, task(ACTIVE, 20), page(20), 8)
    await answered()
    assert fetcher.has_prefetched(step)
    fetcher.discard_all()
    assert not fetcher.has_prefetched(step)
    await fetcher.page(api, step, ACTIVE, reader_for(ACTIVE).page_query(step.cursor, 1000))
    assert api.requested == [19, 19]


async def test_a_prefetch_that_failed_is_not_used(api, monkeypatch):
    async def broken(*_args: object) -> Page:
        raise RuntimeError

    monkeypatch.setattr(fetch, "read", broken)
    fetcher = Fetcher(1)
    fetcher.prefetch(api, task(CLICKS, 1), page(1), 8)
    await answered()
    assert not fetcher.has_prefetched(task(CLICKS, 2))


def test_what_a_next_task_leads_to_replaces_it():
    first, second, third, other = (task(CLICKS, number) for number in (1, 2, 3, 1))
    other = other.model_copy(update={"chain": "b"})
    whole = TaskResult([ImportedRecord("cm_activity", b"k", b"1")], [], [other, second])
    whole.progress += [progress_of(other, {}), progress_of(second, {"step": 2})]
    assert whole.next_task(first.chain) is second
    whole.replace_next(
        TaskResult([ImportedRecord("cm_activity", b"k", b"2")], [progress_of(third, {"step": 3})], [third]), first.chain
    )
    assert [record.value for record in whole.records] == [b"1", b"2"]
    assert whole.tasks == [other, third]
    assert [(chain.chain, chain.step) for chain in whole.progress] == [("b", 0), ("a", 3)]
