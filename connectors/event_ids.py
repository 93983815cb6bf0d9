"""Event ids that follow from the event: whoever tells it, and however often, it gets the same one.

Campaign Monitor gives its events no ids. An id here is a hash of what makes the event the one it is. Two sources that
tell of one event agree on it: an unsubscribe has the same id from a campaign report, from a journey and from a webhook.
Equal rows of a report are different events (two opens in one minute), so an ordinal counts them apart.
"""

from collections.abc import Iterable
from hashlib import blake2b

SHORT_BYTES = 6
"""Beginning of an id that is remembered. 48 bits: among 5,000 remembered rows a false match has a chance of 2e-11."""

_SEPARATOR = "\x1f"


def digest(base: str, ordinal: int = 0) -> bytes:
    """Return the 16 bytes behind an event id: the n-th event (from 0) among those that `base` describes equally."""
    text = f"{base}{_SEPARATOR}{ordinal}" if ordinal else base
    return blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).digest()


def report_row(kind: str, owner: str, list_id: str, email: str, date: str, url: str = "", ip: str = "") -> str:
    """Return the base of a report's row. `owner`: the campaign's or journey e-mail's id; `date`: as it was written."""
    return _SEPARATOR.join(("report", kind, owner, list_id, email, date, url, ip))


def list_change(event: str, status: str, list_id: str, email: str, date: str) -> str:
    """Return the base of a subscribe or a deactivate: one person, one list, one minute, whoever tells it.

    Seconds are cut: reports write whole minutes where a webhook may write seconds.
    """
    return _SEPARATOR.join(("list", event, status, list_id, email, date[:16]))


def webhook_update(list_id: str, email: str, date: str, content: bytes) -> str:
    """Return the base of an update: the same person may change twice in a minute, so the content decides."""
    return _SEPARATOR.join(("update", list_id, email, date, digest(content.decode("utf-8", "replace")).hex()))


def subscriber_state(owner: str, state: str, content: bytes) -> str:
    """Return the base of a subscriber as it was read: any change of state or field makes it another one."""
    return _SEPARATOR.join(("user", owner, state, content.decode("utf-8", "replace")))


def shorts(ids: Iterable[bytes]) -> set[bytes]:
    """Return the remembered beginnings of ids."""
    return {one[:SHORT_BYTES] for one in ids}
