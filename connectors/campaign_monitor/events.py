"""What reports, listings and webhooks share about one event (pure): its id, its key and its custom fields.

Campaign Monitor gives its events no ids. An id here is a hash of what makes the event the one it is, so every source of
one event gives it the same id: an unsubscribe has one id in a campaign report, in a journey's and in a webhook post.
The instant counts, not the date as it is written: that changes for all rows when the client chooses another time zone.
Where `at` is named below, it is the instant in UTC (RFC 3339) as `ClientDates.id_instant` returns it, or the date as it
came where it is none.

Equal rows of a report are different events (two opens in one minute), so an ordinal counts them apart.
"""

from base64 import b64decode, b64encode
from collections.abc import Iterable, Mapping
from hashlib import blake2b
from typing import Any

from schemas.identity import normalise_email

SHORT_BYTES = 6
"""Beginning of an id that is remembered. 48 bits: among 5,000 remembered rows a false match has a chance of 2e-11."""

_SEPARATOR = "\x1f"


def digest(base: str, ordinal: int = 0) -> bytes:
    """Return the 16 bytes behind an event id: the n-th event (from 0) among those that `base` describes equally."""
    text = f"{base}{_SEPARATOR}{ordinal}" if ordinal else base
    return blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).digest()


def pack(shorts: Iterable[bytes]) -> str:
    """Return ids (six bytes each) as text."""
    joined = b"".join(shorts)
    return b64encode(joined).decode() if joined else ""


def unpack(text: str) -> set[bytes]:
    """Return the ids of a packed text."""
    if not text:
        return set()
    joined = b64decode(text)
    return {joined[start : start + SHORT_BYTES] for start in range(0, len(joined), SHORT_BYTES)}


def report_row(kind: str, owner: str, list_id: str, email: str, at: str, url: str = "", ip: str = "") -> str:
    """Return the base of a report's row. `owner`: the campaign's or journey e-mail's id; `at` as above."""
    return _SEPARATOR.join(("report", kind, owner, list_id, email, at, url, ip))


def list_change(event: str, status: str, list_id: str, email: str, at: str) -> str:
    """Return the base of a subscribe or a deactivate: one person, one list, one minute, from any source.

    Seconds are cut: reports write whole minutes where a webhook may write seconds.
    """
    return _SEPARATOR.join(("list", event, status, list_id, email, at[:16]))


def webhook_update(list_id: str, email: str, at: str, content: bytes) -> str:
    """Return the base of an update: the same person may change twice in a minute, so the content decides."""
    return _SEPARATOR.join(("update", list_id, email, at, digest(content.decode("utf-8", "replace")).hex()))


def subscriber_state(owner: str, state: str) -> bytes:
    """Return the beginning of a subscriber's base as bytes; its row as JSON follows: any change makes another one."""
    return _SEPARATOR.join(("user", owner, state, "")).encode()


def event_key(address: str) -> str:
    """Return the key of an address's records: normalised, or as it came where it is no address."""
    return normalise_email(address) or address


def custom_fields(row: Mapping[str, Any]) -> list[dict[str, str]]:
    """Return a row's or event's custom fields with bare keys; a select-many field repeats its key,
    also where its value comes as a list.

    What is no object is left out; a value that is no text becomes text.
    """
    entries = row.get("CustomFields")
    if not entries or not isinstance(entries, list):
        return []
    try:  # the usual case, without a look at each entry: only a text can be joined with a text
        return [{"key": entry["Key"].strip("[]"), "value": entry["Value"] + ""} for entry in entries]
    except (TypeError, KeyError, AttributeError):
        return [
            {"key": _text(entry.get("Key")).strip("[]"), "value": _text(value)}
            for entry in entries
            if isinstance(entry, dict)
            for value in _values(entry.get("Value"))
        ]


def _values(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def _text(value: Any) -> str:
    return value if isinstance(value, str) else "" if value is None else str(value)
