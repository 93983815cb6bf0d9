"""Topic `cm_authorizations`: who may act for whom. Secrets go in sealed and come out for those who have the key."""

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from types import TracebackType
from typing import Literal, Self

import structlog

from connectors.campaign_monitor.credentials import Tokens
from connectors.control.access import Access, from_secret, to_bytes
from connectors.control.seal import Sealed, Sealer, SealError
from connectors.control.table import ControlTable
from connectors.kafka.producer import AsyncProducer
from connectors.kafka.settings import KafkaSettings
from schemas.control import Authorization

log = structlog.get_logger(__name__)

Clock = Callable[[], datetime]
State = Literal["ready", "needs_attention"]


class UnknownAuthorizationError(LookupError):
    """There is no authorization with this id; says which there are."""


class Authorizations:
    """All authorizations, live.

    `on_change` is called with (id, authorization or None) for every change, this process's own included: a token that
    another process refreshed arrives so. Without a `sealer` secrets can be neither read nor written.
    """

    def __init__(
        self,
        settings: KafkaSettings,
        producer: AsyncProducer,
        sealer: Sealer | None = None,
        *,
        on_change: Callable[[str, Authorization | None], None] | None = None,
        clock: Clock = lambda: datetime.now(UTC),
    ) -> None:
        self._table = ControlTable(
            settings,
            settings.names()["cm_authorizations"],
            read=Authorization.from_bytes,
            producer=producer,
            on_change=on_change,
        )
        self._sealer = sealer
        self._clock = clock

    async def start(self) -> None:
        """Return when all authorizations are held. Raises ReadError."""
        await self._table.start()

    async def close(self) -> None:
        """Stop following."""
        await self._table.close()

    def get(self, authorization_id: str) -> Authorization | None:
        """Return an authorization, or None."""
        return self._table.get(authorization_id)

    def known(self, authorization_id: str) -> Authorization:
        """Return an authorization. Raises UnknownAuthorizationError."""
        found = self._table.get(authorization_id)
        if found is None:
            there = ", ".join(self._table.all()) or "none"
            raise UnknownAuthorizationError(f"There is no authorization {authorization_id}; there are: {there}")
        return found

    def all(self) -> dict[str, Authorization]:
        """Return all authorizations by id."""
        return self._table.all()

    def access(self, authorization_id: str) -> Access:
        """Return the API key or the tokens. Raises UnknownAuthorizationError, SealError."""
        found = self.known(authorization_id)
        plain = self._keys().open(Sealed(found.sealed, found.key_id), authorization_id)
        try:
            return from_secret(plain)
        except ValueError as fault:
            raise SealError(f"The secret of authorization {authorization_id} is {fault}: enter it again") from None

    async def put(self, authorization_id: str, access: Access, *, description: str | None = None) -> Authorization:
        """Add or replace an authorization; it is ready then. Without a description the old one stays.

        Raises:
            SealError: no key is configured.
            PublishError: the brokers did not take it; the old one stays.
        """
        before = self._table.get(authorization_id)
        sealed = self._keys().seal(to_bytes(access), authorization_id)
        told = description if description is not None else (before.description if before else "")
        return await self._write(
            Authorization(
                id=authorization_id,
                description=told,
                kind="oauth" if isinstance(access, Tokens) else "api_key",
                sealed=sealed.text,
                key_id=sealed.key_id,
                updated_at=self._clock(),
            )
        )

    async def set_state(self, authorization_id: str, state: State, problem: str | None = None) -> Authorization:
        """Say that an authorization works, or what a person has to do. Writes nothing when that is known already."""
        found = self.known(authorization_id)
        if (found.state, found.problem) == (state, problem):
            return found
        changed = found.model_copy(update={"state": state, "problem": problem, "updated_at": self._clock()})
        return await self._write(changed)

    async def remove(self, authorization_id: str) -> None:
        """Remove an authorization. Raises UnknownAuthorizationError."""
        self.known(authorization_id)
        await self._table.remove(authorization_id)
        log.info("authorization removed", authorization=authorization_id)

    async def seal_anew(self) -> list[str]:
        """Seal with the current key what an old one sealed; return the ids. After that the old key may go."""
        renewed = []
        for authorization_id, found in self._table.all().items():
            if found.key_id != self._keys().current_key_id:
                plain = self._keys().open(Sealed(found.sealed, found.key_id), authorization_id)
                text, key = self._keys().seal(plain.get_secret_value().encode(), authorization_id)
                update = {"sealed": text, "key_id": key, "updated_at": self._clock()}
                await self._write(found.model_copy(update=update))
                renewed.append(authorization_id)
        return renewed

    def store_tokens(self, authorization_id: str) -> Callable[[Tokens], Awaitable[None]]:
        """Return what keeps refreshed tokens durably (`auth.Store`); never brings back what was removed."""

        async def store(tokens: Tokens) -> None:
            self.known(authorization_id)
            await self.put(authorization_id, tokens)

        return store

    def load_tokens(self, authorization_id: str) -> Callable[[], Awaitable[Tokens | None]]:
        """Return what reads the tokens that are stored now (`auth.Load`)."""

        async def load() -> Tokens | None:
            if self._table.get(authorization_id) is None:
                return None
            access = self.access(authorization_id)
            return access if isinstance(access, Tokens) else None

        return load

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None:
        await self.close()

    def _keys(self) -> Sealer:
        if self._sealer is None:
            raise SealError("CONTROL_ENCRYPTION_KEY is not set: secrets can be neither read nor written")
        return self._sealer

    async def _write(self, authorization: Authorization) -> Authorization:
        value = authorization.to_bytes()
        await self._table.put(authorization.id, value)
        log.info("authorization written", authorization=authorization.id, kind=authorization.kind)
        # As everybody reads it: instants are cut to milliseconds on the wire.
        return Authorization.from_bytes(value)
