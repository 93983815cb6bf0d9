"""Processes that refresh the tokens of one authorization: one at a time, and nothing is used that is not stored."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager, nullcontext

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import SecretStr

from connectors.campaign_monitor.credentials import OAuth, Tokens
from connectors.campaign_monitor.errors.exceptions import NotSent, OAuthRefused, TokensNotStored
from connectors.campaign_monitor.errors.verdicts import Transient, Unauthorised

EXPIRED = Unauthorised(121, "refresh")


def tokens(number: int) -> Tokens:
    return Tokens(SecretStr(f"access-{number}"), SecretStr(f"refresh-{number}"), 4e12)


class CampaignMonitorAndStore:
    """A token endpoint that makes each refresh token void at its use, and the store that all processes share."""

    def __init__(self, failures: list[str], *, locked: bool) -> None:
        self.valid, self.number, self.refreshing, self.max_refreshing = "refresh-0", 0, 0, 0
        self.stored, self.ever_stored = tokens(0), {"access-0"}
        self.failures = failures
        self._lock = asyncio.Lock()
        self._locked = locked

    def process(self) -> OAuth:
        return OAuth(self.stored, refresh=self.refresh, store=self.store, load=self.load, exclusive=self.exclusive)

    def exclusive(self) -> AbstractAsyncContextManager[None]:
        return self._exclusive() if self._locked else nullcontext()

    @asynccontextmanager
    async def _exclusive(self) -> AsyncIterator[None]:
        async with self._lock:
            self.fail("lock", TimeoutError)
            yield

    def fail(self, step: str, error: Callable[[], Exception]) -> None:
        if self.failures and self.failures[0] == step:
            self.failures.pop(0)
            raise error()

    async def refresh(self, old: Tokens, _now: float) -> Tokens:
        self.refreshing += 1
        self.max_refreshing = max(self.max_refreshing, self.refreshing)
        try:
            await asyncio.sleep(0)
            self.fail("network", lambda: NotSent("x", Transient("network")))
            if old.refresh_token.get_secret_value() != self.valid:
                raise OAuthRefused("invalid_grant", "void")
            self.number += 1
            self.valid = f"refresh-{self.number}"
            await asyncio.sleep(0)
            return tokens(self.number)
        finally:
            self.refreshing -= 1

    async def store(self, fresh: Tokens) -> None:
        await asyncio.sleep(0)
        self.fail("store", RuntimeError)
        self.stored = fresh
        self.ever_stored.add(fresh.access_token.get_secret_value())
        await asyncio.sleep(0)

    async def load(self) -> Tokens:
        return self.stored


async def calls(world: CampaignMonitorAndStore, process: OAuth, plan: list[str]) -> None:
    """Make calls with expired tokens; `cancel` abandons one in the middle of a refresh."""
    for step in plan:
        header = await process.header()
        assert header.get_secret_value().removeprefix("Bearer ") in world.ever_stored
        renewal = asyncio.ensure_future(process.renewed(header, EXPIRED))
        if step == "cancel":
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            renewal.cancel()
        try:
            await renewal
        except (asyncio.CancelledError, NotSent, TokensNotStored):
            await asyncio.sleep(0)
        header = await process.header()
        assert header.get_secret_value().removeprefix("Bearer ") in world.ever_stored


async def story(plans: list[list[str]], failures: list[str], *, locked: bool) -> CampaignMonitorAndStore:
    world = CampaignMonitorAndStore(failures, locked=locked)
    processes = [world.process() for _ in plans]
    await asyncio.gather(*(calls(world, process, plan) for process, plan in zip(processes, plans, strict=True)))
    world.failures.clear()
    for process in processes:  # the failures are over: whoever has fresh tokens in hand stores them
        await process.renewed(await process.header(), EXPIRED)
    return world


STEPS = st.lists(st.sampled_from(["call", "cancel"]), min_size=1, max_size=4)
FAILURES = st.lists(st.sampled_from(["network", "lock"]), max_size=3)


@given(plans=st.lists(STEPS, min_size=1, max_size=4), failures=FAILURES)
@settings(max_examples=200, deadline=None)
def test_one_refresh_at_a_time_and_no_token_is_used_before_it_is_stored(
    plans: list[list[str]], failures: list[str]
) -> None:
    world = asyncio.run(story(plans, failures, locked=True))
    assert world.max_refreshing == 1
    assert world.valid == world.stored.refresh_token.get_secret_value(), "the newest is stored"


@given(plan=STEPS, failures=st.lists(st.sampled_from(["network", "lock", "store"]), max_size=4))
@settings(max_examples=100, deadline=None)
def test_tokens_that_could_not_be_stored_are_kept_and_stored_later(plan: list[str], failures: list[str]) -> None:
    world = asyncio.run(story([plan], failures, locked=True))
    assert world.valid == world.stored.refresh_token.get_secret_value()


def test_without_the_lock_two_processes_meet_at_the_token_endpoint() -> None:
    with pytest.raises(OAuthRefused):
        asyncio.run(story([["call"] * 3, ["call"] * 3], [], locked=False))
