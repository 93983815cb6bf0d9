"""Who may do what, as functions of values: roles, form tokens, the end of a session, and waiting after failures."""

import hashlib
import hmac
import re

from yarl import URL

from schemas.control import Role

RANKS: dict[Role, int] = {"viewer": 0, "operator": 1, "admin": 2}
"""Everybody may also do what those below may."""

FREE_FAILURES = 5
"""Wrong passwords in a row without a wait: people mistype; a guess of the 10,000 usual ones takes weeks beyond it."""
MAX_WAIT_SECONDS = 900.0
"""Longer, and a stranger who fails on purpose locks somebody out for the day."""
MIN_PASSWORD, MAX_PASSWORD = 12, 1_024
"""Characters. Fewer can be guessed; more only costs time to hash."""
# No address: names are logged.
_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")


def may(role: Role, needed: Role) -> bool:
    """Return whether a role includes another one."""
    return RANKS[role] >= RANKS[needed]


def form_token(key: bytes, cookie: str) -> str:
    """Return what each form holds that is shown to the browser with this cookie: nobody else can know it."""
    return hmac.new(key, cookie.encode(), hashlib.sha256).hexdigest()


def is_form_token(key: bytes, cookie: str, given: str) -> bool:
    """Return whether a form was shown to the browser that sends it; compared in constant time."""
    return bool(cookie) and hmac.compare_digest(form_token(key, cookie).encode(), given.encode(errors="replace"))


def is_over(began_at: float, seen_at: float, now: float, *, session_seconds: float, idle_seconds: float) -> bool:
    """Return whether a session has ended, by its age or because nothing was done in it."""
    return now - began_at >= session_seconds or now - seen_at >= idle_seconds


def wait_seconds(failures: int, failed_at: float, now: float) -> float:
    """Return for how long a password is not looked at after failures in a row; twice as long after each of them."""
    if failures < FREE_FAILURES:
        return 0.0
    wait = min(2.0 ** min(failures - FREE_FAILURES, 20), MAX_WAIT_SECONDS)
    return max(0.0, failed_at + wait - now)


def is_ours(host: str, address: URL) -> bool:
    """Return whether a request's Host is the console's: a page elsewhere may let its own name lead to this machine."""
    names = {address.host} | ({"localhost", "127.0.0.1", "::1"} if _is_loopback(address) else set())
    try:
        asked = URL(f"{address.scheme}://{host}")
        return asked.host in names and asked.port == address.port
    except ValueError:  # also of a name that no IDNA decodes
        return False


def is_from_here(origin: str | None, address: URL) -> bool:
    """Return whether a form was sent by a page of the console, by a request's Origin; no browser leaves that out.

    A page at another port of the host has the same cookies, and may set some with a form token that it was shown
    itself: whoever logs in by its form would be logged in as somebody else.
    """
    scheme, _, host = (origin or "").partition("://")
    return origin is None or (scheme == address.scheme and is_ours(host, address))


def is_user_name(name: str) -> bool:
    """Return whether a text can be a user's name."""
    return _NAME.fullmatch(name) is not None


def user_fault(name: str, password: str) -> str | None:
    """Return what is wrong with a new user's name or password, as a sentence; None for nothing."""
    if not is_user_name(name):
        return "A user name has 1 to 64 of a-z, 0-9 and . _ -, and begins with a letter or a digit"
    return password_fault(name, password)


def password_fault(name: str, password: str) -> str | None:
    """Return what is wrong with a new password, as a sentence; None for nothing."""
    if not MIN_PASSWORD <= len(password) <= MAX_PASSWORD:
        return f"A password has {MIN_PASSWORD} characters at least, and {MAX_PASSWORD} at most"
    if name and name in password.lower():
        return "A password does not contain the user's name"
    if len(set(password)) < 5:
        return "A password has five different characters at least"
    return None


def _is_loopback(address: URL) -> bool:
    return address.host in ("localhost", "127.0.0.1", "::1")
