"""Tokens: one refresh whoever asks, stored before use, and never lost by a cancelled call."""

import asyncio
from typing import Literal

import pytest
from pydantic import SecretStr

from connectors.campaign_monitor.access import access_problem
from connectors.campaign_monitor.credentials import ApiKey, OAuth, Tokens
from connectors.campaign_monitor.errors.exceptions import NotSent, OAuthRefused, TokensNotStored
from connectors.campaign_monitor.errors.verdicts import Transient, Unauthorised

DAY = 86_400.0
EXPIRED = Unauthorised(121, "refresh")
REVOKED = Unauthorised(122, "reconnect")


def tokens(name: str, expires_at: float = 14 * DAY) -> Tokens:
    return Tokens(SecretStr(f"access-{name}"), SecretStr(f"refresh-{name}"), expires_at)


class World:
    """The token endpoint and the store, with a log of what happened in which order."""

    def __init__(self, first: Tokens, now: float = 0.0) -> None:
        self.now = now
        self.log: list[str] = []
        self.stored: Tokens | None = first
        self.gate = asyncio.Event()
        self.gate.set()
        self.refresh_error: Exception | None = None
        self.store_error: Exception | None = None
        self.serial = 0
        self.oauth = OAuth(first, refresh=self.refresh, store=self.store, load=self.load, now=lambda: self.now)

    async def refresh(self, old: Tokens, now: float) -> Tokens:
        self.log.append(f"refresh {old.refresh_token.get_secret_value()}")
        await self.gate.wait()
        if self.refresh_error:
            raise self.refresh_error
        self.serial += 1
        return tokens(f"new{self.serial}", now + 14 * DAY)

    async def store(self, fresh: Tokens) -> None:
        self.log.append(f"store {fresh.refresh_token.get_secret_value()}")
        await asyncio.sleep(0)
        if self.store_error:
            raise self.store_error
        self.stored = fresh
        self.log.append("stored")

    async def load(self) -> Tokens | None:
        return self.stored

    async def header(self) -> str:
        return (await self.oauth.header()).get_secret_value()


async def test_an_api_key_is_a_basic_user_name() -> None:
    key = ApiKey(SecretStr("abc"))
    assert (await key.header()).get_secret_value() == "Basic YWJjOng="
    assert not await key.renewed(await key.header(), REVOKED)
    assert {secret.get_secret_value() for secret in key.secrets()} == {"abc", "YWJjOng="}


async def test_a_token_with_days_left_is_used_as_it_is() -> None:
    world = World(tokens("old"))
    assert await world.header() == "Bearer access-old"
    assert world.log == []


async def test_less_than_a_day_left_refreshes_early_and_stores_first() -> None:
    world = World(tokens("old", DAY - 1))
    assert await world.header() == "Bearer access-new1"
    assert world.log == ["refresh refresh-old", "store refresh-new1", "stored"]


async def test_an_early_refresh_that_fails_goes_on_with_the_old_token_and_is_not_tried_at_once() -> None:
    world = World(tokens("old", DAY - 1))
    world.refresh_error = NotSent("x", Transient("network"))
    assert await world.header() == await world.header() == "Bearer access-old"
    assert world.log == ["refresh refresh-old"]
    world.refresh_error = None
    world.now = 61
    assert await world.header() == "Bearer access-new1"


async def test_an_expired_token_must_be_refreshed() -> None:
    world = World(tokens("old", -1))
    world.refresh_error = NotSent("x", Transient("network"))
    with pytest.raises(NotSent):
        await world.header()


async def test_ten_calls_with_an_expired_token_make_one_refresh() -> None:
    world = World(tokens("old"))
    refused = await world.oauth.header()
    world.gate.clear()
    waiting = [asyncio.create_task(world.oauth.renewed(refused, EXPIRED)) for _ in range(10)]
    await asyncio.sleep(0)
    world.gate.set()
    assert await asyncio.gather(*waiting) == [True] * 10
    assert world.log.count("refresh refresh-old") == 1
    assert await world.oauth.renewed(refused, EXPIRED), "who comes later just replays"
    assert len(world.log) == 3


async def test_a_cancelled_call_does_not_stop_the_refresh() -> None:
    world = World(tokens("old"))
    world.gate.clear()
    call = asyncio.create_task(world.oauth.renewed(await world.oauth.header(), EXPIRED))
    await asyncio.sleep(0.01)
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    world.gate.set()
    for _ in range(10):
        await asyncio.sleep(0)
    assert world.stored is not None
    assert world.stored.same_as(tokens("new1"))
    assert await world.header() == "Bearer access-new1"


async def test_tokens_are_not_used_before_they_are_stored() -> None:
    world = World(tokens("old"))
    refused = await world.oauth.header()
    world.store_error = RuntimeError("the broker is away: access-new1")
    with pytest.raises(TokensNotStored) as caught:
        await world.oauth.renewed(refused, EXPIRED)
    assert "access" not in str(caught.value)
    assert await world.header() == "Bearer access-old"
    world.store_error = None
    assert await world.oauth.renewed(refused, EXPIRED)
    assert world.log.count("refresh refresh-old") == 1, "the tokens in hand are stored, not asked for again"
    assert await world.header() == "Bearer access-new1"


async def test_another_process_was_faster() -> None:
    world = World(tokens("old"))
    world.stored = tokens("theirs")
    world.refresh_error = OAuthRefused("invalid_grant", "Specified refresh_token was invalid or expired")
    assert await world.oauth.renewed(await world.oauth.header(), EXPIRED)
    assert await world.header() == "Bearer access-theirs"


async def test_a_refused_refresh_needs_a_person() -> None:
    world = World(tokens("old"))
    world.refresh_error = OAuthRefused("invalid_grant", "Specified refresh_token was invalid or expired")
    with pytest.raises(OAuthRefused) as caught:
        await world.oauth.renewed(await world.oauth.header(), EXPIRED)
    assert caught.value.verdict == Unauthorised(None, "reconnect")


async def test_a_revoked_token_is_not_refreshed_but_looked_up() -> None:
    world = World(tokens("old"))
    refused = await world.oauth.header()
    assert not await world.oauth.renewed(refused, REVOKED)
    world.stored = tokens("reconnected")
    assert await world.oauth.renewed(refused, REVOKED)
    assert world.log == []
    assert not await world.oauth.renewed(await world.oauth.header(), Unauthorised(60, "scope"))


async def test_a_person_who_connects_during_a_refresh_wins() -> None:
    world = World(tokens("old"))
    world.gate.clear()
    call = asyncio.create_task(world.oauth.renewed(await world.oauth.header(), EXPIRED))
    await asyncio.sleep(0.01)
    world.oauth.adopt(tokens("person"))
    world.gate.set()
    assert await call
    assert await world.header() == "Bearer access-person"
    assert "stored" not in world.log


async def test_secrets_are_all_held_tokens_and_no_repr_shows_them() -> None:
    world = World(tokens("old"))
    assert {secret.get_secret_value() for secret in world.oauth.secrets()} == {"access-old", "refresh-old"}
    assert "old" not in repr(tokens("old"))


@pytest.mark.parametrize(
    ("code", "remedy", "oauth", "words"),
    [
        (100, "reconnect", False, ("API key of main", "(code 100)", "`cm-streams auth add --id main`")),
        (60, "scope", True, ("lacks a permission", "`cm-streams auth login main`", "allow all")),
        (122, "reconnect", True, ("was revoked", "`cm-streams auth login main`")),
        (121, "refresh", True, ("has expired", "`cm-streams auth login main`")),
        (None, "reconnect", True, ("has expired", "`cm-streams auth login main`")),
        (120, "reconnect", True, ("does not know the token", "`cm-streams auth login main`")),
    ],
)
def test_a_refused_access_names_its_authorization_and_the_command_that_repairs_it(
    code: int | None, remedy: Literal["refresh", "reconnect", "scope"], oauth: bool, words: tuple[str, ...]
) -> None:
    sentence = access_problem("main", Unauthorised(code, remedy), oauth=oauth)
    assert all(word in sentence for word in words), sentence
    assert "CM_API_KEY" in access_problem("", Unauthorised(code, remedy), oauth=oauth)


def test_a_problem_is_reported_once_and_its_end_once_and_a_missing_permission_never() -> None:
    reports: list[str | None] = []
    key = ApiKey(SecretStr("k"), "main", reports.append)
    for _ in range(2):
        key.accepted()
    for _ in range(2):
        problem = key.refused(Unauthorised(100, "reconnect"))
    key.refused(Unauthorised(60, "scope"))
    key.accepted()
    assert reports == [None, problem, None]
