"""Passwords: hashed with argon2id, a few at a time, and counted when they are wrong."""

import asyncio

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from streams.console.access.rules import MAX_PASSWORD, wait_seconds

HASHES_AT_A_TIME = 2
"""Each takes 64 MiB and tens of milliseconds of a core: strangers cannot take more of either."""
MAX_WAITING = 50
"""Passwords that are compared or wait for it, a second's work: more at once, and whoever floods the form keeps others
waiting for minutes, and has failures of so many names counted that those of the one that they guess are forgotten."""
MAX_NAMES = 10_000
"""Names with failures that are remembered; beyond it the oldest failure is forgotten."""

_hasher = PasswordHasher()


class TooManyFailuresError(RuntimeError):
    """A password was not looked at, because too many were wrong; `seconds` is how long to wait."""

    def __init__(self, seconds: float) -> None:
        super().__init__(f"Too many wrong passwords: try again in {max(1, round(seconds))} s")
        self.seconds = seconds


class Passwords:
    """Hashes and compares passwords; of each user name wrong ones are counted since the last right one."""

    def __init__(self) -> None:
        self._slots = asyncio.Semaphore(HASHES_AT_A_TIME)
        self._failures: dict[str, tuple[int, float]] = {}
        self._nobody: str | None = None
        self._waiting = 0

    async def hashed(self, password: str) -> str:
        """Return the hash to store."""
        async with self._slots:
            found: str = await asyncio.to_thread(_hasher.hash, password)
            return found

    async def is_right(self, name: str, stored: str | None, password: str, now: float) -> bool:
        """Return whether a password is right; it takes as long where there is no such user (`stored` is None).

        An attempt counts as a failure until it has succeeded, so that many at once are not looked at for free.
        Raises TooManyFailuresError.
        """
        if self._waiting >= MAX_WAITING:
            raise TooManyFailuresError(1.0)
        count, failed_at = self._failures.pop(name, (0, 0.0))
        wait = wait_seconds(count, failed_at, now)
        self._failures[name] = (count, failed_at) if wait else (count + 1, now)
        if len(self._failures) > MAX_NAMES:
            del self._failures[next(iter(self._failures))]
        if wait:
            raise TooManyFailuresError(wait)
        self._waiting += 1
        try:
            if self._nobody is None:
                self._nobody = await self.hashed("a password that nobody has")
            async with self._slots:
                matches = await asyncio.to_thread(_matches, stored or self._nobody, password[: MAX_PASSWORD + 1])
        finally:
            self._waiting -= 1
        if not matches or stored is None:
            return False
        self._failures.pop(name, None)
        return True


def _matches(stored: str, password: str) -> bool:
    try:
        _hasher.verify(stored, password)
    except (VerificationError, InvalidHashError):
        return False
    return True
