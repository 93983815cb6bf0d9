"""OAuth codes and tokens: made from the seed, looking like Campaign Monitor's, `+`, `/` and `=` included."""

import base64
from collections.abc import Iterable
from hashlib import blake2b
from typing import Any

from connectors.simulator.credentials import SCOPES, Token
from connectors.simulator.entities import Account
from connectors.simulator.state import SimulatorState


def new_secret(state: SimulatorState, kind: str) -> str:
    """Return the next token text of a kind; each holds a `+`, because callers forget to encode it."""
    digest = blake2b(state.identifiers.new(kind).encode(), digest_size=31).digest()
    text = base64.b64encode(digest).decode()
    return text[:10] + "+" + text[10:]


def grant(
    state: SimulatorState,
    account: Account,
    app: str,
    scopes: Iterable[str] | None = None,
    expires_in: float | None = None,
    refresh_token: str | None = None,
) -> dict[str, Any]:
    """Make tokens and return the answer of the token endpoint."""
    seconds = state.settings.oauth_expires_in if expires_in is None else expires_in
    access = new_secret(state, "access token")
    refresh = refresh_token or new_secret(state, "refresh token")
    granted = frozenset(SCOPES if scopes is None else scopes)
    state.keyring.tokens[access] = Token(account, app, granted, refresh, state.clock.time() + seconds)
    state.keyring.refresh_tokens[refresh] = access
    return {"access_token": access, "expires_in": int(seconds), "refresh_token": refresh}
