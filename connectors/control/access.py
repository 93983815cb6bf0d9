"""What an authorization keeps secret, and its form before it is sealed (pure)."""

import orjson
from pydantic import SecretStr

from connectors.campaign_monitor.credentials import Tokens

Access = SecretStr | Tokens
"""An API key, or a pair of OAuth tokens."""


def to_bytes(access: Access) -> bytes:
    """Return the plain form. It goes nowhere but into a seal."""
    if isinstance(access, Tokens):
        return orjson.dumps(
            {
                "access_token": access.access_token.get_secret_value(),
                "refresh_token": access.refresh_token.get_secret_value(),
                "expires_at": access.expires_at,
            }
        )
    return orjson.dumps({"api_key": access.get_secret_value()})


def from_secret(plain: SecretStr) -> Access:
    """Return what `to_bytes` wrote. Raises ValueError when it is something else; the text tells nothing of it."""
    try:
        parts = orjson.loads(plain.get_secret_value())
        if "api_key" in parts:
            return SecretStr(parts["api_key"])
        return Tokens(SecretStr(parts["access_token"]), SecretStr(parts["refresh_token"]), float(parts["expires_at"]))
    except (KeyError, TypeError, ValueError):
        raise ValueError("neither an API key nor OAuth tokens") from None
