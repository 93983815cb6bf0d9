"""From a stored authorization to calls: its credential, kept current as tokens are refreshed, and the open API."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from types import TracebackType
from typing import Self

import structlog

from connectors.campaign_monitor import oauth
from connectors.campaign_monitor.account import Account
from connectors.campaign_monitor.client.api import CampaignMonitor
from connectors.campaign_monitor.client.transport import Transport
from connectors.campaign_monitor.credentials import ApiKey, CampaignMonitorSettings, Credential, OAuth, Tokens
from connectors.campaign_monitor.limits.limiter import Limiter
from connectors.control.authorizations import Authorizations, AuthorizationSecret
from connectors.control.crypto import ControlSettings, Sealer, SealError
from connectors.control.table import Auditor
from connectors.kafka.producer import AsyncProducer
from connectors.kafka.settings import KafkaSettings
from schemas.control import Authorization

log = structlog.get_logger(__name__)

OpenApi = Callable[[str], Awaitable[CampaignMonitor]]
"""Authorization id -> the API. Raises LookupError with a sentence for people when it cannot be opened."""


class Credentials:
    """One credential for each authorization. Give `changed` to `Authorizations` as its `on_change`.

    Where an authorization is not stored, the API key in CM_API_KEY is used, if there is one.
    """

    def __init__(self, settings: CampaignMonitorSettings, transport: Transport) -> None:
        self._settings = settings
        self._transport = transport
        self._credentials: dict[str, tuple[Credential, AuthorizationSecret]] = {}
        self._reports: set[asyncio.Task[None]] = set()
        self._authorizations: Authorizations | None = None

    def read_from(self, authorizations: Authorizations) -> None:
        """Set where the stored authorizations are read."""
        self._authorizations = authorizations

    async def credential(self, authorization_id: str) -> Credential:
        """Return the credential of an authorization.

        Raises:
            LookupError: there is no such authorization, and no key in CM_API_KEY; the text names those there are.
            SealError: it was encrypted with a key that is not configured.
        """
        if authorization_id not in self._credentials:
            self._credentials[authorization_id] = self._create(authorization_id)
        return self._credentials[authorization_id][0]

    def changed(self, authorization_id: str, _authorization: Authorization | None) -> None:
        """Apply what another process or a person stored: newer tokens are used by the same credential.

        A changed key, a changed kind and a removal drop the credential; it is created again when it is asked for.
        """
        known = self._credentials.get(authorization_id)
        if known is None or self._authorizations is None:
            return
        credential, before = known
        try:
            secret = self._authorizations.secret(authorization_id)
        except (LookupError, SealError):
            secret = None
        if secret == before:
            return  # its description or its state
        if isinstance(credential, OAuth) and isinstance(secret, Tokens):
            credential.adopt(secret)
            self._credentials[authorization_id] = credential, secret
        else:
            del self._credentials[authorization_id]

    async def close(self) -> None:
        """Wait until what was reported is recorded."""
        await asyncio.gather(*self._reports)

    def _create(self, authorization_id: str) -> tuple[Credential, AuthorizationSecret]:
        if self._authorizations is None:
            raise LookupError("the authorizations have not been read yet")
        if self._authorizations.get(authorization_id) is None and self._settings.api_key is not None:
            return ApiKey(self._settings.api_key), self._settings.api_key
        authorizations, secret = self._authorizations, self._authorizations.secret(authorization_id)

        def report(problem: str | None) -> None:
            stored = authorizations.get(authorization_id)
            if stored is None:
                return
            recording = _record(authorizations, authorization_id, problem, stored.sealed)
            task = asyncio.create_task(recording, name="authorization-problem")
            self._reports.add(task)
            task.add_done_callback(self._reports.discard)

        if not isinstance(secret, Tokens):
            return ApiKey(secret, authorization_id, report), secret

        async def refresh(tokens: Tokens, now: float) -> Tokens:
            return await oauth.refresh(self._transport, self._settings, tokens, now)

        credential = OAuth(
            secret,
            refresh=refresh,
            store=authorizations.store_tokens(authorization_id),
            load=authorizations.load_tokens(authorization_id),
            exclusive=lambda: authorizations.exclusive(authorization_id),
            authorization=authorization_id,
            report=report,
            refresh_early_seconds=self._settings.refresh_early_seconds,
        )
        return credential, secret


async def _record(authorizations: Authorizations, authorization_id: str, problem: str | None, sealed: str) -> None:
    """Show with an authorization what a person has to do; calls neither wait for it nor fail with it."""
    try:
        await authorizations.set_problem(authorization_id, problem, sealed)
    except Exception as failure:
        log.warning("state of the authorization not recorded", id=authorization_id, reason=type(failure).__name__)


class AuthorizedApis:
    """The APIs that one process uses, by authorization: opened at first use, again when the credential changed.

    `on_access` is called when a key or tokens were stored or removed: what waits for them may go on.
    """

    def __init__(
        self,
        settings: CampaignMonitorSettings,
        authorizations: Authorizations,
        on_access: Callable[[], None] = lambda: None,
    ) -> None:
        self.authorizations = authorizations
        self._settings = settings
        self._on_access = on_access
        self._transport = Transport(settings)
        self._credentials = Credentials(settings, self._transport)
        self._credentials.read_from(authorizations)
        self._open: dict[str, tuple[CampaignMonitor, Credential]] = {}
        self._changed_at: dict[str, datetime] = {}
        self._sealed: dict[str, str | None] = {name: found.sealed for name, found in authorizations.all().items()}

    async def api(self, authorization_id: str) -> CampaignMonitor:
        """Return the API as this authorization may use it. Raises LookupError with a sentence for people."""
        try:
            credential = await self._credentials.credential(authorization_id)
        except SealError as fault:
            raise LookupError(str(fault)) from None
        known = self._open.get(authorization_id)
        if known is None or known[1] is not credential:
            account = Account(self._transport, credential, self._settings, Limiter.of(self._settings))
            known = self._open[authorization_id] = CampaignMonitor(account), credential
        return known[0]

    def changed(self, authorization_id: str, authorization: Authorization | None) -> None:
        """Apply a changed or removed authorization; give it to `Authorizations` as its `on_change`."""
        self._credentials.changed(authorization_id, authorization)
        sealed = None if authorization is None else authorization.sealed
        if self._sealed.get(authorization_id) != sealed:  # its state alone repairs nothing
            self._sealed[authorization_id] = sealed
            self._changed_at[authorization_id] = datetime.now(UTC)
            self._on_access()

    def changed_at(self, authorization_id: str) -> datetime | None:
        """Return when a change of an authorization was seen here last; None when none was since the start."""
        return self._changed_at.get(authorization_id)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._credentials.close()
        await self._transport.close()


@asynccontextmanager
async def authorized_apis(
    kafka: KafkaSettings,
    producer: AsyncProducer,
    control: ControlSettings,
    campaign_monitor: CampaignMonitorSettings,
    on_access: Callable[[], None] = lambda: None,
    audit: Auditor | None = None,
) -> AsyncIterator[AuthorizedApis]:
    """Follow the stored authorizations, and open APIs with them that stay current as authorizations change.

    Raises SealError when an encryption key is set and is none; ReadError when no broker answers.
    """
    opened: list[AuthorizedApis] = []

    def changed(authorization_id: str, authorization: Authorization | None) -> None:
        for apis in opened:  # none yet while the topic is read at the start: nothing is open then
            apis.changed(authorization_id, authorization)

    async with (
        Authorizations(
            kafka, producer, Sealer.if_configured(control), on_change=changed, audit=audit
        ) as authorizations,
        AuthorizedApis(campaign_monitor, authorizations, on_access) as apis,
    ):
        opened.append(apis)
        yield apis
