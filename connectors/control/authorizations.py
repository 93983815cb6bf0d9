"""Topic `cm_authorizations`: credentials. Secrets are encrypted in it and decrypted for processes that have the key."""

import re
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager, nullcontext
from datetime import UTC, datetime

import orjson
import structlog
from pydantic import SecretStr

from connectors.campaign_monitor.credentials import Tokens
from connectors.control.crypto import Sealed, Sealer, SealError
from connectors.control.jobs import Jobs
from connectors.control.table import Auditor, ControlTable, UnknownModelError
from connectors.kafka.exclusive import exclusive
from connectors.kafka.producer import AsyncProducer
from connectors.kafka.settings import KafkaSettings
from schemas.control import Authorization, Job

log = structlog.get_logger(__name__)

AuthorizationSecret = SecretStr | Tokens
"""What an authorization keeps secret: an API key, or a pair of OAuth tokens."""


class UnknownAuthorizationError(UnknownModelError):
    """There is no authorization with this id; the text names those that there are."""


class NoDescriptionError(ValueError):
    """An authorization has a description, by which people recognise it."""


class AuthorizationInUseError(RuntimeError):
    """Jobs use the authorization, so it is not removed; the text names them."""


def lock_group(kafka: KafkaSettings, authorization_id: str) -> str:
    """Return the group whose one active member may write this authorization."""
    return f"{kafka.topic_prefix}authorization-{authorization_id}"


class Authorizations(ControlTable[Authorization]):
    """All authorizations, live: a token that another process refreshed arrives through `on_change`.

    Without a `sealer` secrets can be neither read nor written.
    """

    noun = "authorization"
    unknown = UnknownAuthorizationError

    def __init__(
        self,
        settings: KafkaSettings,
        producer: AsyncProducer,
        sealer: Sealer | None = None,
        *,
        on_change: Callable[[str, Authorization | None], None] | None = None,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
        audit: Auditor | None = None,
    ) -> None:
        super().__init__(
            settings,
            settings.names()["cm_authorizations"],
            read=Authorization.from_bytes,
            producer=producer,
            on_change=on_change,
            audit=audit,
        )
        self._kafka = settings
        self._sealer = sealer
        self._expiries: dict[str, tuple[str, float | None]] = {}
        self._clock = clock

    @asynccontextmanager
    async def exclusive(self, authorization_id: str) -> AsyncIterator[None]:
        """Let nobody else write this authorization, in whatever process, and hold it as it is now.

        Every write here is within it, because a record holds both the secret and what else is known: a description or a
        state that was written beside a refresh would bring back tokens that are void. Raises TimeoutError,
        KafkaException.
        """
        group = lock_group(self._kafka, authorization_id)
        async with exclusive(self._kafka, group, self.topic):
            await self.catch_up()
            yield

    def secret(self, authorization_id: str) -> AuthorizationSecret:
        """Return the API key or the tokens. Raises UnknownAuthorizationError, SealError."""
        found = self.known(authorization_id)
        plain = self._keys().open(Sealed(found.sealed, found.key_id), authorization_id)
        try:
            return secret_from(plain)
        except ValueError as fault:
            raise SealError(f"The secret of authorization {authorization_id} is {fault}: enter it again") from None

    def expires_at(self, authorization_id: str) -> float | None:
        """Return the Unix time at which an access token ends; None: a key, or it cannot be decrypted here."""
        found = self.get(authorization_id)
        if found is None or found.kind != "oauth":
            return None
        known = self._expiries.get(authorization_id)
        if known is None or known[0] != found.sealed:
            try:
                secret = self.secret(authorization_id)
            except SealError:
                secret = None
            expires_at = secret.expires_at if isinstance(secret, Tokens) else None
            known = self._expiries[authorization_id] = found.sealed, expires_at
        return known[1]

    async def put(
        self, authorization_id: str, secret: AuthorizationSecret, *, description: str | None = None
    ) -> Authorization:
        """Add or replace an authorization; its state is `ready` then.

        Without a description the old one stays; a new authorization is described by its id then.

        Raises:
            SealError: no key is configured.
            PublishError: the brokers did not accept it; the old one stays.
        """
        async with self.exclusive(authorization_id):
            return await self._put(authorization_id, secret, description)

    async def _put(
        self,
        authorization_id: str,
        secret: AuthorizationSecret,
        description: str | None = None,
        *,
        audited: bool = True,
    ) -> Authorization:
        before = self.get(authorization_id)
        sealed = self._keys().seal(secret_bytes(secret), authorization_id)
        description = description or (before.description if before else "") or authorization_id
        return await self._write(
            Authorization(
                id=authorization_id,
                description=description,
                kind="oauth" if isinstance(secret, Tokens) else "api_key",
                sealed=sealed.text,
                key_id=sealed.key_id,
                updated_at=self._clock(),
            ),
            audited=audited,
        )

    async def set_problem(self, authorization_id: str, problem: str | None, sealed: str) -> None:
        """Record what a person has to do about an authorization, or None when it works.

        Nothing is written when that is known already, or when the secret is not the one any more that was `sealed`
        when the problem was met. Raises UnknownAuthorizationError, and as `exclusive` and `write`.
        """
        if self.known(authorization_id).problem == problem:
            return
        async with self.exclusive(authorization_id):
            found = self.known(authorization_id)
            if found.sealed == sealed and found.problem != problem:
                state = "ready" if problem is None else "needs_attention"
                update = {"state": state, "problem": problem, "updated_at": self._clock()}
                await self._write(found.model_copy(update=update), audited=False)

    async def rename(self, authorization_id: str, description: str) -> Authorization:
        """Give an authorization another description. Raises UnknownAuthorizationError, NoDescriptionError."""
        if not description.strip():
            raise NoDescriptionError(
                f"Authorization {authorization_id} needs a description that people recognise it by"
            )
        async with self.exclusive(authorization_id):
            update = {"description": description.strip(), "updated_at": self._clock()}
            return await self._write(self.known(authorization_id).model_copy(update=update))

    async def remove_unused(self, authorization_id: str, jobs: Jobs | None) -> None:
        """Remove an authorization that none of `jobs` uses; None: whatever uses it.

        Raises UnknownAuthorizationError, AuthorizationInUseError, and as `exclusive` and `write`.
        """
        self.known(authorization_id)
        _refuse_used(authorization_id, jobs)
        async with self.exclusive(authorization_id), jobs.alone() if jobs else nullcontext():
            _refuse_used(authorization_id, jobs)  # one may have been made since
            await self.remove(authorization_id)

    async def reseal(self) -> list[str]:
        """Encrypt with the current key what an old one encrypted; return the ids. After that the old key may go."""
        renewed = []
        old = [found.id for found in self.all().values() if found.key_id != self._keys().current_key_id]
        for authorization_id in old:
            async with self.exclusive(authorization_id):
                found = self.known(authorization_id)
                plain = self._keys().open(Sealed(found.sealed, found.key_id), authorization_id)
                text, key = self._keys().seal(plain.get_secret_value().encode(), authorization_id)
                update = {"sealed": text, "key_id": key, "updated_at": self._clock()}
                await self._write(found.model_copy(update=update))
                renewed.append(authorization_id)
        return renewed

    def store_tokens(self, authorization_id: str) -> Callable[[Tokens], Awaitable[None]]:
        """Return what keeps refreshed tokens durably, within `exclusive`; it never brings back what was removed."""

        async def store(tokens: Tokens) -> None:
            self.known(authorization_id)
            await self._put(authorization_id, tokens, audited=False)

        return store

    def load_tokens(self, authorization_id: str) -> Callable[[], Awaitable[Tokens | None]]:
        """Return what reads the tokens that are stored now."""

        async def load() -> Tokens | None:
            if self.get(authorization_id) is None:
                return None
            secret = self.secret(authorization_id)
            return secret if isinstance(secret, Tokens) else None

        return load

    def _keys(self) -> Sealer:
        if self._sealer is None:
            raise SealError("CONTROL_ENCRYPTION_KEY is not set: secrets can be neither read nor written")
        return self._sealer

    async def _write(self, authorization: Authorization, *, audited: bool = True) -> Authorization:
        written = await self.write(authorization.id, authorization, audited=audited)
        log.info("authorization written", authorization=authorization.id, kind=authorization.kind)
        return written


def _refuse_used(authorization_id: str, jobs: Jobs | None) -> None:
    users = users_of(authorization_id, jobs.all().values()) if jobs else []
    if users:
        raise AuthorizationInUseError(
            f"Authorization {authorization_id} is used by {', '.join(users)}: remove these first"
        )


def users_of(authorization_id: str, jobs: Iterable[Job]) -> list[str]:
    """Return the ids of the jobs that use an authorization."""
    return sorted(job.id for job in jobs if job.authorization_id == authorization_id)


def made_up_id(description: str) -> str:
    """Return a new id that people recognise the description in."""
    readable = re.sub(r"[^a-z0-9]+", "-", description.lower()).strip("-")[:40]
    return "-".join(part for part in (readable, uuid.uuid4().hex[:6]) if part)


def secret_bytes(secret: AuthorizationSecret) -> bytes:
    """Return the plain form of a secret. It goes nowhere but into `Sealer.seal`."""
    if isinstance(secret, Tokens):
        return orjson.dumps(
            {
                "access_token": secret.access_token.get_secret_value(),
                "refresh_token": secret.refresh_token.get_secret_value(),
                "expires_at": secret.expires_at,
            }
        )
    return orjson.dumps({"api_key": secret.get_secret_value()})


def secret_from(plain: SecretStr) -> AuthorizationSecret:
    """Return what `secret_bytes` wrote. Raises ValueError when it is something else; its text quotes nothing of it."""
    try:
        parts = orjson.loads(plain.get_secret_value())
        if "api_key" in parts:
            return SecretStr(parts["api_key"])
        return Tokens(SecretStr(parts["access_token"]), SecretStr(parts["refresh_token"]), float(parts["expires_at"]))
    except (KeyError, TypeError, ValueError):
        raise ValueError("neither an API key nor OAuth tokens") from None
