"""Tokens by which programs use the console's API: made once, shown once, kept as hashes.

A token is `cms_{id}_{secret}`. Its secret has 256 random bits, so a plain SHA-256 of it gives nothing away.
"""

import hashlib
import hmac
import secrets
from datetime import datetime, timedelta
from typing import NamedTuple

from connectors.control.users import Users
from schemas.control import ConsoleToken, Role

SECRET_BYTES = 32


class NewToken(NamedTuple):
    """A token as it is stored, and its text, which only its maker sees."""

    stored: ConsoleToken
    text: str


def new_token(description: str, role: Role, made_by: str, now: datetime, days: int | None = None) -> NewToken:
    """Return a token that ends after so many days; without them it has no end."""
    token_id, secret = secrets.token_hex(4), secrets.token_urlsafe(SECRET_BYTES)
    stored = ConsoleToken(
        id=token_id,
        description=description,
        role=role,
        secret_hash=_hash(secret),
        made_by=made_by,
        made_at=now,
        ends_at=None if days is None else now + timedelta(days=days),
    )
    return NewToken(stored, f"cms_{token_id}_{secret}")


async def make_token(
    users: Users, description: str, role: Role, made_by: str, now: datetime, days: int | None = None
) -> NewToken:
    """Make a token and store it. Raises PublishError, TimeoutError."""
    made = new_token(description, role, made_by, now, days)
    await users.put_token(made.stored)
    return made


def token_of(users: Users, text: str, now: datetime) -> ConsoleToken | None:
    """Return the token that a program sends; None where it is none, was revoked, or has ended.

    The secret is compared in constant time.
    """
    kind, _, rest = text.partition("_")
    token_id, _, secret = rest.partition("_")
    found = users.token(token_id) if kind == "cms" else None
    is_right = hmac.compare_digest(_hash(secret), "" if found is None else found.secret_hash)
    if found is None or not is_right or (found.ends_at is not None and now >= found.ends_at):
        return None
    return found


def _hash(secret: str) -> str:
    return hashlib.sha256(secret.encode(errors="replace")).hexdigest()
