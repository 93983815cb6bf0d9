"""Verbs that change how the simulator behaves: faults, clock, switches, credentials."""

from collections.abc import Mapping
from typing import Any

from connectors.simulator.errors import MESSAGES
from connectors.simulator.faults import Fault
from connectors.simulator.oauth_tokens import grant
from connectors.simulator.roster import fold
from connectors.simulator.state import SimulatorState


class Operations:
    """Verbs for whoever runs the tests."""

    state: SimulatorState

    def inject(self, **fault: Any) -> int:
        """Put a `Fault` in force, see its fields; return its number."""
        return self.state.faults.inject(Fault(**fault))

    def clear_faults(self, number: int | None = None) -> None:
        """Take one fault or all out of force, the refusals of rows too when all."""
        self.state.faults.clear(number)
        if number is None:
            self.state.row_refusals.clear()

    def faults(self) -> list[dict[str, Any]]:
        """Return the faults in force."""
        return self.state.faults.shown()

    def refuse_rows(self, rows: Mapping[str, int]) -> None:
        """Make imports refuse addresses with a code each (1, 204 to 208, 220 ...), until cleared."""
        unknown = set(rows.values()) - MESSAGES.keys()
        if unknown:
            raise ValueError(f"no such codes: {sorted(unknown)}")
        self.state.row_refusals.update({fold(email): code for email, code in rows.items()})

    def change_settings(self, **switches: Any) -> None:
        """Set switches of `SimulatorSettings`, by name."""
        for name, value in switches.items():
            setattr(self.state.settings, name, value)

    def clock(self, *, advance: float = 0, freeze: bool | None = None, at: float | None = None) -> float:
        """Move, freeze (`at` seconds since 1970) or release the clock; return its time."""
        if freeze is True or at is not None:
            self.state.clock.freeze(at)
        elif freeze is False:
            self.state.clock.resume()
        self.state.clock.advance(advance)
        self.state.settle()
        return self.state.clock.time()

    def answer_credential(self, credential: str, code: int | None) -> None:
        """Let an API key or token answer 60, 100, 102, 120, 121, 122 or 403 from now on; None ends it."""
        if code is None:
            self.state.keyring.override.pop(credential, None)
        else:
            self.state.keyring.override[credential] = code

    def grant_token(self, scopes: list[str] | None = None, expires_in: float | None = None) -> dict[str, Any]:
        """Make an access and a refresh token without the pages; all scopes when none are named."""
        return grant(self.state, self.state.account, self.state.settings.oauth_client_id, scopes, expires_in)

    def expire_tokens(self) -> int:
        """Let every access token expire; refreshing works. Return how many there are."""
        for token in self.state.keyring.tokens.values():
            token.expires_at = self.state.clock.time()
        return len(self.state.keyring.tokens)

    def revoke_tokens(self) -> int:
        """Revoke every token, as the account's owner can; refreshing fails too. Return how many there are."""
        for token in self.state.keyring.tokens.values():
            token.revoked = True
        self.state.keyring.refresh_tokens.clear()
        return len(self.state.keyring.tokens)

    def suppress(self, client_id: str, email: str, reason: str = "Reason Unavailable") -> None:
        """Put an address on a client's suppression list and nothing else."""
        self.state.clients[client_id].suppress(email, reason, self.state.clock.now())
