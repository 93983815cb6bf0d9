"""Slots: nobody holds one while its account waits, and none of several accounts, jobs or chains is left behind."""

import asyncio
from math import inf

import pytest

from connectors.campaign_monitor.client.requests import Request
from connectors.importer.slots import SlotCaller, Slots

REQUEST = Request("GET", "/systemdate")


class Account:
    """Answers when it is allowed to; `waits` are the seconds that its limit asks for."""

    def __init__(self, order: list[str], name: str = "") -> None:
        self.waits = 0.0
        self.order = order
        self.name = name
        self.may_answer = asyncio.Event()
        self.may_answer.set()

    def wait(self) -> float:
        return self.waits

    async def call(self, _request: Request) -> bytes:
        self.order.append(self.name)
        await self.may_answer.wait()
        await asyncio.sleep(0)
        return b"{}"


def calls(slots: Slots, account: Account, count: int, job: str = "j", left: int = 1) -> list["asyncio.Task[bytes]"]:
    name = account.name
    return [asyncio.create_task(SlotCaller(account, slots, name, job, left).call(REQUEST)) for _number in range(count)]


async def test_a_throttled_account_holds_no_slot():
    order: list[str] = []
    slots, throttled, other = Slots(2), Account(order, "throttled"), Account(order, "other")
    throttled.waits = inf
    waiting = calls(slots, throttled, 50)
    await asyncio.sleep(0)
    await asyncio.wait_for(asyncio.gather(*calls(slots, other, 20)), 1)
    assert order == ["other"] * 20
    throttled.waits = 0.0
    await asyncio.gather(*calls(slots, other, 1))
    await asyncio.wait_for(asyncio.gather(*waiting), 1)


async def test_a_pause_that_ends_lets_its_account_go_on():
    order: list[str] = []
    slots, paused = Slots(1), Account(order, "paused")
    paused.waits = 0.02
    (waiting,) = calls(slots, paused, 1)
    await asyncio.sleep(0)
    assert not order
    paused.waits = 0.0
    await asyncio.wait_for(waiting, 1)


@pytest.mark.parametrize("slots", [1, 3])
async def test_accounts_take_turns_however_many_pages_one_has_left(slots):
    order: list[str] = []
    shared, large, small = Slots(slots), Account(order, "large"), Account(order, "small")
    running = calls(shared, large, 40, left=1000)
    await asyncio.sleep(0)
    running += calls(shared, small, 10)
    await asyncio.gather(*running)
    assert order.index("small") <= 2 * slots
    last = len(order) - order[::-1].index("small")
    assert last <= 20 + 4 * slots, "ten calls of each by then"


async def test_jobs_of_an_account_take_turns_and_the_longest_chain_of_a_job_is_first():
    order: list[str] = []
    slots = Slots(1)
    accounts = {name: Account(order, name) for name in ("short", "long", "other")}
    first = Account(order, "first")
    first.may_answer.clear()
    running = [asyncio.create_task(SlotCaller(first, slots, "a", "j", 1).call(REQUEST))]
    await asyncio.sleep(0)
    for name, job, left in (("short", "j", 2), ("long", "j", 9), ("other", "k", 1)):
        running.append(asyncio.create_task(SlotCaller(accounts[name], slots, "a", job, left).call(REQUEST)))
    await asyncio.sleep(0)
    first.may_answer.set()
    await asyncio.gather(*running)
    assert order == ["first", "other", "long", "short"]


async def test_a_call_that_is_cancelled_gives_its_slot_back():
    order: list[str] = []
    slots, slow = Slots(1), Account(order, "slow")
    slow.may_answer.clear()
    calling, waiting, last = calls(slots, slow, 3)
    await asyncio.sleep(0)
    waiting.cancel()
    calling.cancel()
    await asyncio.sleep(0)
    slow.may_answer.set()
    assert await asyncio.wait_for(last, 1) == b"{}"
