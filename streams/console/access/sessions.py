"""Who is logged in: sessions in memory, found by the hash of their cookie, ended with the user or the password."""

import hashlib
import re
import secrets
from collections.abc import Callable
from dataclasses import dataclass

from connectors.campaign_monitor.credentials import Tokens
from connectors.control.login import PendingLogin
from schemas.control import ConsoleUser
from streams.console.access.rules import is_over

COOKIE_BYTES = 32
_COOKIE = re.compile(r"[A-Za-z0-9_-]{43}")
MAX_SESSIONS = 10_000
"""Each needs a password to begin; beyond it the one that was seen longest ago ends."""


@dataclass(slots=True)
class Session:
    """Somebody who is logged in."""

    user: str
    password_hash: str
    """Of the password that it began with: another one ends it."""
    began_at: float
    """Unix time in seconds, as the others."""
    seen_at: float
    login: PendingLogin | None = None
    """A log-in at Campaign Monitor that this person has begun; the newest one."""
    by_proxy: bool = False
    """It is found only in requests that a trusted proxy makes for the same user."""
    allowed: tuple[Tokens, float] | None = None
    """What they allowed there and have not described yet, and until when it is kept."""


class Sessions:
    """The sessions of one process; its end ends all of them. `user_of`: name -> the user as they are now, or None."""

    def __init__(
        self,
        user_of: Callable[[str], ConsoleUser | None],
        *,
        session_seconds: float,
        idle_seconds: float,
    ) -> None:
        self._user_of = user_of
        self._session_seconds = session_seconds
        self._idle_seconds = idle_seconds
        self._sessions: dict[bytes, Session] = {}
        """The one seen longest ago is the first."""

    def begin(self, user: ConsoleUser, now: float, *, by_proxy: bool = False) -> str:
        """Return the cookie of a new session."""
        while len(self._sessions) >= MAX_SESSIONS:
            del self._sessions[next(iter(self._sessions))]
        cookie = new_cookie()
        self._sessions[_digest(cookie)] = Session(user.name, user.password_hash, now, now, by_proxy=by_proxy)
        return cookie

    def find(self, cookie: str, now: float, given: ConsoleUser | None = None) -> tuple[Session, ConsoleUser] | None:
        """Return the session of a cookie and its user, who was seen now; None when there is none, or it has ended.

        `given`: who a trusted proxy has logged in. Their role counts, and only a session that began so is theirs.
        """
        key = _digest(cookie)
        session = self._sessions.pop(key, None)
        user = self._open_user(session, now, given)
        if session is None or user is None:
            return None
        session.seen_at = now
        self._sessions[key] = session
        return session, user

    def is_open(self, cookie: str, now: float) -> bool:
        """Return whether a session has not ended: a page that is only left open is nothing that somebody does."""
        session = self._sessions.get(_digest(cookie))
        if session is not None and session.by_proxy:
            return not self._is_over(session, now)
        return self._open_user(session, now, None) is not None

    def _open_user(self, session: Session | None, now: float, given: ConsoleUser | None) -> ConsoleUser | None:
        """Return the user of a session that has not ended."""
        if session is None or self._is_over(session, now):
            return None
        if session.by_proxy or given is not None:
            return given if given is not None and session.by_proxy and given.name == session.user else None
        user = self._user_of(session.user)
        return None if user is None or user.password_hash != session.password_hash else user

    def _is_over(self, session: Session, now: float) -> bool:
        return is_over(
            session.began_at,
            session.seen_at,
            now,
            session_seconds=self._session_seconds,
            idle_seconds=self._idle_seconds,
        )

    def end(self, cookie: str) -> None:
        """End the session of a cookie."""
        self._sessions.pop(_digest(cookie), None)


def new_cookie() -> str:
    """Return a value that nobody can guess."""
    return secrets.token_urlsafe(COOKIE_BYTES)


def cookie_text(sent: str) -> str:
    """Return a cookie as it was sent; empty for what `new_cookie` never returns, which may be no text at all."""
    return sent if _COOKIE.fullmatch(sent) else ""


def _digest(cookie: str) -> bytes:
    """What is kept of a cookie: a memory dump lets nobody in, and looking it up takes no hint from its bytes."""
    return hashlib.sha256(cookie.encode()).digest()
