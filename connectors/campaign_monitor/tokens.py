"""A pair of OAuth tokens."""

from dataclasses import dataclass

from pydantic import SecretStr


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
