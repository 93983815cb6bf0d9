"""Who makes the call: an API key, or OAuth tokens that are refreshed once, stored, and only then used."""

import asyncio
import time
from base64 import b64encode
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager, nullcontext
from dataclasses import dataclass
from typing import Protocol

import structlog
from pydantic import Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict

from connectors.campaign_monitor.access import Reported, ReportProblem
from connectors.campaign_monitor.errors.exceptions import CampaignMonitorError, OAuthRefused, TokensNotStored
from connectors.campaign_monitor.errors.verdicts import Unauthorised

log = structlog.get_logger(__name__)

# A wrong scheme would look like a network that never comes back.
_URL = r"^https?://[^/\s]+(/\S*)?$"


class CampaignMonitorSettings(BaseSettings):
    """Settings of the Campaign Monitor client, from `CM_...` environment variables."""

    model_config = SettingsConfigDict(env_prefix="CM_", frozen=True)

    base_url: str = Field(
        default="https://api.createsend.com/api/v3.3", pattern=_URL, description="The API with its version."
    )
    oauth_url: str = Field(
        default="https://api.createsend.com/oauth",
        pattern=_URL,
        description="Where people authorise; `/token` below it gives tokens.",
    )
    api_key: SecretStr | None = Field(
        default=None, description="Key of an account or a client, for use without stored authorizations."
    )
    oauth_client_id: str | None = Field(default=None, description="Id of the registered OAuth application.")
    oauth_client_secret: SecretStr | None = Field(default=None, description="Secret of the OAuth application.")
    oauth_redirect_url: str = Field(
        default="http://127.0.0.1:8765/authorized",
        pattern=_URL,
        description="Where people come back to after they allowed access, as the application is registered with; "
        "`cm-streams auth login` listens there while it waits.",
    )
    connect_timeout_seconds: float = Field(default=10, gt=0, description="Time to open a connection.")
    read_timeout_seconds: float = Field(
        default=60, gt=0, description="Time for a whole answer; slow drips count too, it is not a time between bytes."
    )
    import_timeout_seconds: float = Field(
        default=150, ge=120, description="Time for an import of up to 1,000 people: 20 s and more are normal."
    )
    segment_timeout_seconds: float = Field(
        default=150, ge=120, description="Time for reading or changing a segment, the slowest calls that are known."
    )
    refresh_timeout_seconds: float = Field(default=30, gt=0, description="Time for one OAuth token request.")
    refresh_early_seconds: float = Field(
        default=86_400, ge=0, description="Refresh an access token that has less than this left."
    )
    requests_in_flight: int = Field(default=4, ge=1, description="Calls at the same time per account.")
    requests_in_flight_per_list: int = Field(default=4, ge=1, description="Calls at the same time per list.")
    max_response_bytes: int = Field(
        default=64 * 1024 * 1024, ge=1024, description="Longer answers are refused; a page of 1,000 rows stays below."
    )
    user_agent: str = Field(default="cm-streams", min_length=1, description="How we name ourselves.")
    zone_overrides: dict[str, str] = Field(
        default_factory=dict,
        description='Time-zone labels that this release does not know, as JSON: `{"(GMT+01:00) New": "Europe/Paris"}`.',
    )


@dataclass(frozen=True, slots=True)
class Tokens:
    """OAuth tokens; they are stored and replaced together. `expires_at` is a Unix time in seconds."""

    access_token: SecretStr
    refresh_token: SecretStr
    expires_at: float

    def same_as(self, other: "Tokens") -> bool:
        """Whether both give the same access."""
        return self.access_token == other.access_token

    def stale(self, now: float, early: float) -> bool:
        """Whether less than `early` seconds of life are left."""
        return self.expires_at - now < early


StoreTokens = Callable[[Tokens], Awaitable[None]]
"""Keeps both tokens durably before they are used. Raises when it could not."""

LoadTokens = Callable[[], Awaitable[Tokens | None]]
"""Reads the tokens that are stored now: another process may have refreshed them."""

RefreshTokens = Callable[[Tokens, float], Awaitable[Tokens]]
"""Asks Campaign Monitor for newer tokens, given the old ones and the Unix time (`oauth.refresh`)."""

# After a failed early refresh the old token still works for hours; without a pause every call would try again.
RETRY_EARLY_REFRESH_SECONDS = 60.0


class Credential(Protocol):
    """What `Account` needs of a credential."""

    async def header(self) -> SecretStr:
        """Return the value of the Authorization header; may refresh first."""
        ...

    async def renewed(self, refused: SecretStr, verdict: Unauthorised) -> bool:
        """Return True when the call may be replayed once, because the header is now another one than `refused`.

        Raises OAuthRefused when a person has to reconnect, TokensNotStored, or the error of the token call.
        """
        ...

    def secrets(self) -> tuple[SecretStr, ...]:
        """Return what must never be seen in a text."""
        ...

    def accepted(self) -> None:
        """Record that a call was answered."""
        ...

    def refused(self, verdict: Unauthorised) -> str:
        """Record that a call was refused for good; return what a person has to do, in a sentence."""
        ...


class ApiKey(Reported):
    """An account's or a client's API key. It cannot be renewed: 100 means that a person has to give another one."""

    def __init__(self, key: SecretStr, authorization: str = "", report: ReportProblem = lambda _problem: None) -> None:
        super().__init__(authorization, report, oauth=False)
        self._key = key
        self._header = SecretStr("Basic " + b64encode(f"{key.get_secret_value()}:x".encode()).decode())

    async def header(self) -> SecretStr:
        """Return the Basic header, the key as user name."""
        return self._header

    async def renewed(self, refused: SecretStr, verdict: Unauthorised) -> bool:
        """Never."""
        return False

    def secrets(self) -> tuple[SecretStr, ...]:
        """Return the key, bare and encoded."""
        return (self._key, SecretStr(self._header.get_secret_value().removeprefix("Basic ")))


class OAuth(Reported):
    """OAuth tokens of one account.

    One refresh at a time, whoever asks; it runs to its end even when the call that asked is cancelled, because the
    old refresh token may be void once Campaign Monitor has answered. Within `exclusive`, which one process has at a
    time, `load` is asked first whether another one was faster. New tokens are used only after `store` returned.
    """

    def __init__(
        self,
        tokens: Tokens,
        *,
        refresh: RefreshTokens,
        store: StoreTokens,
        load: LoadTokens | None = None,
        exclusive: Callable[[], AbstractAsyncContextManager[None]] = nullcontext,
        authorization: str = "",
        report: ReportProblem = lambda _problem: None,
        refresh_early_seconds: float = 86_400,
        now: Callable[[], float] = time.time,
    ) -> None:
        super().__init__(authorization, report, oauth=True)
        self._exclusive = exclusive
        self._tokens = tokens
        self._refresh = refresh
        self._store = store
        self._load = load
        self._early = refresh_early_seconds
        self._now = now
        self._unstored: Tokens | None = None
        self._running: asyncio.Task[None] | None = None
        self._retry_early_at = 0.0

    def adopt(self, tokens: Tokens) -> None:
        """Use tokens that were stored elsewhere: by another process, or by a person who connected again."""
        self._tokens = tokens
        self._unstored = None

    async def header(self) -> SecretStr:
        """Return the Bearer header; refreshes early, and goes on with a token that is still good if that fails."""
        now = self._now()
        expired = self._tokens.stale(now, 0)
        if expired or (self._tokens.stale(now, self._early) and now >= self._retry_early_at):
            try:
                await self._renew()
            except CampaignMonitorError as error:
                if expired:
                    raise
                self._retry_early_at = now + RETRY_EARLY_REFRESH_SECONDS
                left = round(self._tokens.expires_at - now)
                log.warning("early token refresh failed", reason=str(error), left_seconds=left)
        return _bearer(self._tokens)

    async def renewed(self, refused: SecretStr, verdict: Unauthorised) -> bool:
        """Refresh after 121; after 120 and 122 only look whether newer tokens are stored."""
        if _bearer(self._tokens) != refused:
            return True  # somebody refreshed while this call was on its way
        if verdict.remedy == "refresh":
            await self._renew()
        elif verdict.remedy == "reconnect":
            await self._look()
        return _bearer(self._tokens) != refused

    def secrets(self) -> tuple[SecretStr, ...]:
        """Return every token that is held."""
        held = (self._tokens, self._unstored)
        return tuple(secret for pair in held if pair is not None for secret in (pair.access_token, pair.refresh_token))

    async def _renew(self) -> None:
        if self._running is None:
            self._running = asyncio.create_task(self._renew_once(), name="campaign-monitor-token-refresh")
            self._running.add_done_callback(self._finished)
        await asyncio.shield(self._running)

    def _finished(self, task: asyncio.Task[None]) -> None:
        self._running = None
        if not task.cancelled():
            task.exception()  # retrieved, also when nobody waits any more

    async def _renew_once(self) -> None:
        try:
            async with self._exclusive():
                if not await self._look():
                    await self._refresh_and_store()
        except CampaignMonitorError:
            raise
        except Exception as error:  # nothing was asked for, as nothing could be stored
            raise TokensNotStored(type(error).__name__) from None

    async def _refresh_and_store(self) -> None:
        before = self._tokens
        fresh = self._unstored
        if fresh is None:
            try:
                fresh = await self._refresh(before, self._now())
            except OAuthRefused:
                if self._tokens is not before:
                    return
                raise
            if self._tokens is not before:
                return  # a person connected again meanwhile: theirs are newer
            self._unstored = fresh
        try:
            await self._store(fresh)
        except Exception as error:
            raise TokensNotStored(type(error).__name__) from None
        if self._tokens is before:
            self._tokens = fresh
        self._unstored = None
        log.info("oauth token refreshed")

    async def _look(self) -> bool:
        stored = await self._load() if self._load is not None else None
        if stored is None or stored.same_as(self._tokens):
            return False
        self.adopt(stored)
        return True


def _bearer(tokens: Tokens) -> SecretStr:
    return SecretStr(f"Bearer {tokens.access_token.get_secret_value()}")
