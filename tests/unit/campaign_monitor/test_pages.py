"""How many calls are under way together where pages or states are read. No time is measured: calls are counted."""

import asyncio
from types import SimpleNamespace
from typing import Any, cast

import pytest

from connectors.campaign_monitor.client.api import CampaignMonitor
from connectors.campaign_monitor.client.caller import pages, side_by_side
from connectors.campaign_monitor.client.entities import Page
from connectors.campaign_monitor.client.requests import Paging
from streams.export.recovery.reconcile import PAGES_AHEAD, subscribers

STATES = {"active": 3, "unconfirmed": 1, "unsubscribed": 2, "bounced": 1, "deleted": 1}
"""Pages of each state."""


class Pages:
    """Answers one call a round, the newest first; notes what is asked for, and how many calls were under way."""

    def __init__(self, count: int) -> None:
        self.count = count
        self.asked: list[int] = []
        self.waiting: list[asyncio.Event] = []
        self.most = 0

    async def fetch(self, paging: Paging) -> Page:
        self.asked.append(paging.page)
        answered = asyncio.Event()
        self.waiting.append(answered)
        self.most = max(self.most, len(self.waiting))
        asyncio.get_running_loop().call_soon(lambda: asyncio.get_running_loop().call_soon(self._answer))
        await answered.wait()
        return _page(paging.page, self.count)

    def _answer(self) -> None:
        self.waiting.pop().set()


def _page(number: int, count: int, rows: list[Any] | None = None) -> Page:
    return Page(rows or [{"number": number}], "date", "asc", number, 1, 1, count, count)


@pytest.mark.parametrize(("ahead", "most"), [(0, 1), (3, 3), (50, 6)])
async def test_pages_come_in_order_however_many_are_asked_for_ahead(ahead: int, most: int) -> None:
    source = Pages(7)
    numbers = [page.number async for page in pages(source.fetch, Paging(), ahead=ahead)]
    assert numbers == list(range(1, 8))
    assert source.asked == numbers, "each once, the first one alone: it says how many there are"
    assert source.most == most


async def test_a_call_that_fails_ends_the_others() -> None:
    ended: list[str] = []

    async def others() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.append("ended")

    async def failing(_paging: Paging) -> Page:
        await asyncio.sleep(0)
        raise ValueError("refused")

    async def read() -> None:
        async for _page in pages(failing, Paging(), ahead=3):
            raise AssertionError("no page")

    with pytest.raises(ValueError, match="refused"):
        await side_by_side(others(), read(), others())
    assert ended == ["ended"] * 2


async def test_a_lists_states_and_pages_are_read_side_by_side() -> None:
    """A call is answered once all calls are under way that can be: one for each state, then what is left of them."""
    rounds: list[int] = []
    waiting: list[asyncio.Future[None]] = []

    async def listed(_list_id: str, state: str, paging: Paging) -> Page:
        answer = asyncio.get_running_loop().create_future()
        waiting.append(answer)
        await answer
        row = {"EmailAddress": f"{state}{paging.page}@example.com", "Date": "2026-01-01", "CustomFields": []}
        return _page(paging.page, STATES[state], [row, {**row, "EmailAddress": "everywhere@example.com"}])

    async def answer_all_together() -> None:
        while True:
            for _ in range(20):
                await asyncio.sleep(0)
            rounds.append(len(waiting))
            for answer in reversed(waiting):
                answer.set_result(None)
            waiting.clear()

    assert max(STATES.values()) - 1 <= PAGES_AHEAD
    api = cast(CampaignMonitor, SimpleNamespace(lists=SimpleNamespace(subscribers=listed)))
    answering = asyncio.create_task(answer_all_together())
    found = await subscribers(api, "list")
    answering.cancel()
    assert [count for count in rounds if count] == [5, 3]
    assert len(found) == sum(STATES.values()) + 1
    assert found["everywhere@example.com"].state == "deleted", "of equal dates the later state, whoever answered first"
