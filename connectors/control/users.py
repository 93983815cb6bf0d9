"""Topic `cm_console_users`: who may log in to the console, and the tokens of programs that use its API.

Passwords and tokens reach it as hashes only.
"""

from collections.abc import Mapping
from typing import Any

import structlog
from pydantic import ValidationError

from connectors.control.table import Auditor, ControlTable, UnknownModelError
from connectors.kafka.exclusive import exclusive
from connectors.kafka.producer import AsyncProducer
from connectors.kafka.records import ConsumedRecord
from connectors.kafka.settings import KafkaSettings
from schemas.control import ConsoleToken, ConsoleUser

log = structlog.get_logger(__name__)

TOKEN = "token:"  # noqa: S105  (how their keys begin)
"""No user's name has a colon."""


class UnknownUserError(UnknownModelError):
    """There is no user of this name."""


class UnknownTokenError(UnknownModelError):
    """There is no token with this id."""


class UserChangeError(ValueError):
    """A change of the users that is not made; the text says why, in a sentence."""


def lock_group(settings: KafkaSettings) -> str:
    """Return the group whose one active member may write users and tokens."""
    return f"{settings.topic_prefix}console-users"


class Users(ControlTable[ConsoleUser]):
    """All users, live. Without a `producer` they can only be read."""

    noun = "user"
    unknown = UnknownUserError
    key_field = "name"

    def __init__(
        self, settings: KafkaSettings, producer: AsyncProducer | None = None, audit: Auditor | None = None
    ) -> None:
        topic = settings.names()["cm_console_users"]
        super().__init__(settings, topic, read=ConsoleUser.from_bytes, producer=producer, audit=audit)
        self._kafka = settings
        self._tokens: dict[str, ConsoleToken] = {}
        self._group = lock_group(settings)

    async def first(self, user: ConsoleUser) -> None:
        """Write the first user. Raises UserChangeError when there is one, and as `write`."""
        async with exclusive(self._kafka, self._group, self.topic):
            await self.catch_up()
            if self.all():
                raise UserChangeError("There are users already: log in as one of them")
            await self.write(user.name, user)

    async def add(self, user: ConsoleUser) -> None:
        """Write a new user. Raises UserChangeError, and as `write`."""
        async with exclusive(self._kafka, self._group, self.topic):
            await self.catch_up()
            if self.get(user.name) is not None:
                raise UserChangeError(f"There is a user {user.name} already")
            await self.write(user.name, user)

    async def change(self, name: str, **fields: Any) -> ConsoleUser:
        """Give a user another role or password. Raises UserChangeError, UnknownUserError, PublishError."""
        async with exclusive(self._kafka, self._group, self.topic):
            await self.catch_up()
            changed = self.known(name).model_copy(update=fields)
            _keep_an_admin({**self.all(), name: changed})
            return await self.write(name, changed)

    async def take_away(self, name: str) -> None:
        """Remove a user. Raises UserChangeError for the last admin, UnknownUserError, and as `write`."""
        async with exclusive(self._kafka, self._group, self.topic):
            await self.catch_up()
            self.known(name)
            _keep_an_admin({other: user for other, user in self.all().items() if other != name})
            await self.remove(name)

    def tokens(self) -> dict[str, ConsoleToken]:
        """Return the tokens by id, as they are now."""
        return dict(sorted(self._tokens.items()))

    def token(self, token_id: str) -> ConsoleToken | None:
        """Return the token with this id, or None."""
        return self._tokens.get(token_id)

    async def put_token(self, token: ConsoleToken) -> None:
        """Write a token. Raises PublishError, TimeoutError."""
        await self._record_token(token.id, token)
        await self._write_token(token.id, token.to_bytes())

    async def revoke(self, token_id: str) -> None:
        """Remove a token. Raises UnknownTokenError, PublishError, TimeoutError."""
        if token_id not in self._tokens:
            present = ", ".join(sorted(self._tokens)) or "none"
            raise UnknownTokenError(f"There is no token {token_id}; there are: {present}")
        await self._record_token(token_id, None)
        await self._write_token(token_id, None)
        log.info("token revoked", token=token_id)

    async def _record_token(self, token_id: str, token: ConsoleToken | None) -> None:
        if self._audit is not None:
            await self._audit.record("token", token_id, self.token(token_id), token)

    async def _write_token(self, token_id: str, value: bytes | None) -> None:
        await self._view.wait_for(await self._writer().publish(self.topic, f"{TOKEN}{token_id}".encode(), value))

    def _merge(self, record: ConsumedRecord) -> None:
        key = (record.key or b"").decode(errors="replace")
        if not key.startswith(TOKEN):
            super()._merge(record)
            return
        token_id = key.removeprefix(TOKEN)
        try:
            token = None if record.value is None else ConsoleToken.from_bytes(record.value)
        except ValidationError:
            log.error("token unreadable", token=token_id, offset=record.offset)
            return
        if token is not None and token.id != token_id:
            log.error("token under another's key", token=token_id, offset=record.offset)
            return
        self._tokens.pop(token_id, None)
        if token is not None:
            self._tokens[token_id] = token


def _keep_an_admin(users: Mapping[str, ConsoleUser]) -> None:
    if not any(user.role == "admin" for user in users.values()):
        raise UserChangeError("Nobody would be admin any more: make somebody else admin first")
