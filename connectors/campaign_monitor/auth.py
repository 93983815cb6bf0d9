"""Who makes the call: an API key, or OAuth tokens that are refreshed once, stored, and only then used."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Protocol

from pydantic import SecretStr

from connectors.campaign_monitor.verdicts import Unauthorised


class Credential(Protocol):
    """What `Account` needs of a credential."""

    async def header(self) -> SecretStr:
        """Return the value of the Authorization header; may refresh first."""
        ...

    async def renewed(self, refused: SecretStr, verdict: Unauthorised) -> bool:
        """Say whether the call may be replayed once, because the header would now be another one than `refused`.

        Raises OAuthRefused when a person has to reconnect, TokensNotStored, or a transient error of the token call.
        """
        ...

    def secrets(self) -> tuple[SecretStr, ...]:
        """Return what must never be seen in a text."""
        ...


@dataclass(frozen=True, slots=True)
class Tokens:
    """OAuth tokens. `expires_at` is a Unix time in seconds; equal tokens are equal values."""

    access_token: SecretStr
    refresh_token: SecretStr
    expires_at: float


Store = Callable[[Tokens], Awaitable[None]]
"""Keeps both tokens durably before they are used. Raises when it could not."""

Load = Callable[[], Awaitable[Tokens | None]]
"""Reads the tokens that are stored now: another process may have refreshed them."""
