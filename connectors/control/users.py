"""Topic `cm_console_users`: who may log in to the console. Passwords reach it as hashes only."""

from collections.abc import Mapping

from connectors.control.table import Auditor, ControlTable, UnknownModelError
from connectors.kafka.exclusive import exclusive
from connectors.kafka.producer import AsyncProducer
from connectors.kafka.settings import KafkaSettings
from schemas.control import ConsoleUser


class UnknownUserError(UnknownModelError):
    """There is no user of this name."""


class UserChangeError(ValueError):
    """A change of the users that is not made; the text says why, in a sentence."""


class Users(ControlTable[ConsoleUser]):
    """All users, live. Without a `producer` they can only be read."""

    noun = "user"
    unknown = UnknownUserError

    def __init__(
        self, settings: KafkaSettings, producer: AsyncProducer | None = None, audit: Auditor | None = None
    ) -> None:
        topic = settings.names()["cm_console_users"]
        super().__init__(settings, topic, read=ConsoleUser.from_bytes, producer=producer, audit=audit)
        self._kafka = settings
        self._group = f"{settings.names().prefix}console-users"

    async def first(self, user: ConsoleUser) -> None:
        """Write the first user. Raises UserChangeError when there is one, and as `write`."""
        async with exclusive(self._kafka, self._group, self.topic):
            await self.catch_up()
            if self.all():
                raise UserChangeError("There are users already: log in as one of them")
            await self.write(user.name, user)

    async def put(self, user: ConsoleUser, *, new: bool) -> None:
        """Write a new user, or another role or password. Raises UserChangeError, UnknownUserError, and as `write`."""
        async with exclusive(self._kafka, self._group, self.topic):
            await self.catch_up()
            if new and self.get(user.name) is not None:
                raise UserChangeError(f"There is a user {user.name} already")
            if not new:
                self.known(user.name)
                _keep_an_admin({**self.all(), user.name: user})
            await self.write(user.name, user)

    async def take_away(self, name: str) -> None:
        """Remove a user. Raises UserChangeError for the last admin, UnknownUserError, and as `write`."""
        async with exclusive(self._kafka, self._group, self.topic):
            await self.catch_up()
            self.known(name)
            _keep_an_admin({other: user for other, user in self.all().items() if other != name})
            await self.remove(name)


def _keep_an_admin(users: Mapping[str, ConsoleUser]) -> None:
    if not any(user.role == "admin" for user in users.values()):
        raise UserChangeError("Nobody would be admin any more: make somebody else admin first")
