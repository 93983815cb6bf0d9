"""The functions of the mapping language: one dict from name to function.

A function sees message fields as they are and returns a value or None, which is "no value". What it yields is known
beforehand, so that the compiler converts only where something has to be converted.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum, auto
from functools import lru_cache
from typing import Any

from siphash24 import siphash24

from schemas.envelope import EpochMillis
from schemas.identity import domain_of, email_of
from streams.mapping.conditions import first, has_value
from streams.mapping.dates import hour_of_day, hour_of_week, year_and_month
from streams.mapping.kinds import to_int, to_number, to_text

_REMEMBERED, _LONGEST_REMEMBERED = 1024, 512
"""Texts whose host and path, and whose hash, are kept: many people click on few links."""

HASH_KEY = bytes(8) + b"\x01" + bytes(7)
"""Words 0 and 1, little-endian: the key in use where the stored hashes come from."""


_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*):")
_BAD_ESCAPE = re.compile(r"%(?![0-9A-Fa-f]{2})")
_ESCAPE = re.compile(rb"%([0-9A-Fa-f]{2})")
_HOST = re.compile(r"[A-Za-z0-9\-._~!$&'()*+,;=:\[\]<>\"\u0080-\U0010ffff]*")
_PORT = re.compile(r":[0-9]*")
_USER = re.compile(r"[A-Za-z0-9\-._:~!$&'()*+,;=%@]*")


def host_and_path(url: str) -> str | None:
    """Return host plus decoded path as Go's `net/url.Parse` reads them: existing hashes of URLs were made that way.

    None when the text is no URL, or a URL without either (`mailto:`).

    A path that decodes to bytes that are not UTF-8 comes with surrogate escapes; see `text_bytes`.
    """
    if _CONTROL.search(url):
        return None
    rest, _, fragment = url.partition("#")
    if _BAD_ESCAPE.search(fragment):
        return None
    if rest.startswith(":"):
        return None
    scheme = _SCHEME.match(rest)
    rest = (rest[scheme.end() :] if scheme else rest).partition("?")[0]
    if not rest.startswith("/") and (scheme or ":" in rest.partition("/")[0]):
        return None
    host = ""
    if rest.startswith("//") and (scheme or not rest.startswith("///")):
        authority, slash, path = rest[2:].partition("/")
        rest = slash + path
        found = _host(authority)
        if found is None:
            return None
        host = found
    if _BAD_ESCAPE.search(rest):
        return None
    return host + _unescape(rest) or None


def _host(authority: str) -> str | None:
    user, at, host = authority.rpartition("@")
    if at and (not _USER.fullmatch(user) or _BAD_ESCAPE.search(user)):
        return None
    if not _HOST.fullmatch(host):
        return None
    if host.startswith("["):
        literal, bracket, port = host.rpartition("]")
        host_ends = bool(bracket) and bool(literal)
    else:
        _, colon, port = host.rpartition(":")
        port, host_ends = colon + port if colon else "", True
    return host if host_ends and (not port or _PORT.fullmatch(port)) else None


def _unescape(path: str) -> str:
    if "%" not in path:
        return path
    raw = _ESCAPE.sub(lambda escape: bytes([int(escape[1], 16)]), path.encode("utf-8", "surrogateescape"))
    return raw.decode("utf-8", "surrogateescape")


def text_bytes(text: str) -> bytes:
    """Return the text's UTF-8 bytes, with the raw bytes of a path that was not UTF-8 put back."""
    return text.encode() if text.isascii() else text.encode("utf-8", "surrogateescape")


class Yields(Enum):
    """What kind of value an expression gives."""

    ANYTHING = auto()
    """A message field, as it came."""
    TEXT = auto()
    INT = auto()
    NUMBER = auto()
    INSTANT = auto()
    """UTC milliseconds that mean a date."""
    MESSAGE_TIME = auto()
    """The same, of the message itself."""


@dataclass(frozen=True, slots=True)
class Function:
    """One function: how many arguments it takes, what it yields, and the Python function of the same arguments."""

    min_arguments: int
    max_arguments: int
    yields: Yields
    of: Callable[..., Any]
    of_time: Callable[[EpochMillis], Any] | None = None
    """Called with the message time when no argument is given."""
    takes_date: bool = False
    """Arguments are instants; the compiler converts texts and numbers."""
    distinct: int | None = None
    """How many different values it can yield, when that is few."""


def email(value: Any) -> str | None:
    """Return the bare, lower-case address of one RFC 5322 mailbox."""
    value = first(value)
    return email_of(value) if isinstance(value, str) else None


def email_domain(value: Any) -> str | None:
    """Return the host of the address: what is behind its last @."""
    address = email(value)
    return None if address is None else domain_of(address)


def url_main(value: Any) -> str | None:
    """Return host and path of a URL."""
    value = first(value)
    if not isinstance(value, str) or not value:
        return None
    return _host_and_path(value) if len(value) <= _LONGEST_REMEMBERED else host_and_path(value)


_host_and_path = lru_cache(maxsize=_REMEMBERED)(host_and_path)


def sip_hash(value: Any) -> int | None:
    """Return SipHash-2-4 of a text's UTF-8 bytes, as a signed 64-bit integer."""
    value = first(value)
    if not isinstance(value, str) or not value:
        return None
    return _sip_hash(value) if len(value) <= _LONGEST_REMEMBERED else _sip_hash.__wrapped__(value)


@lru_cache(maxsize=_REMEMBERED)
def _sip_hash(text: str) -> int:
    return int.from_bytes(siphash24(text_bytes(text), key=HASH_KEY).digest(), "little", signed=True)


def one_of(*values: Any) -> Any:
    """Return the first argument that has a value."""
    return next((value for value in values if has_value(value)), None)


def message_time(instant: EpochMillis) -> EpochMillis:
    """Return the message time, milliseconds since 1970."""
    return instant


def _text(value: Any) -> str | None:
    return to_text(value) or None


FUNCTIONS: dict[str, Function] = {
    "email": Function(1, 1, Yields.TEXT, email),
    "emaildomain": Function(1, 1, Yields.TEXT, email_domain),
    "urlmain": Function(1, 1, Yields.TEXT, url_main),
    "hash": Function(1, 1, Yields.INT, sip_hash),
    "hash.sip": Function(1, 1, Yields.INT, sip_hash),
    "epochms": Function(0, 0, Yields.MESSAGE_TIME, message_time, of_time=message_time),
    "hourofday": Function(0, 1, Yields.INT, hour_of_day, of_time=hour_of_day, takes_date=True, distinct=24),
    "hourofweek": Function(0, 1, Yields.INT, hour_of_week, of_time=hour_of_week, takes_date=True, distinct=168),
    "yymm": Function(0, 1, Yields.TEXT, year_and_month, of_time=year_and_month, takes_date=True),
    "todate": Function(1, 1, Yields.INSTANT, message_time, takes_date=True),
    "toint": Function(1, 1, Yields.INT, to_int),
    "tonumber": Function(1, 1, Yields.NUMBER, to_number),
    "tostring": Function(1, 1, Yields.TEXT, _text),
    "oneof": Function(1, 20, Yields.ANYTHING, one_of),
}


class Reducer(Enum):
    """How a new value meets the old one."""

    LATEST = "latest"
    COUNT = "count"
    SET = "set"
    VALUECT = "valuect"
    MAP = "map"
    MIN = "min"
    MAX = "max"


REDUCERS: dict[str, tuple[Reducer, int]] = {
    "count": (Reducer.COUNT, 1),
    "set": (Reducer.SET, 1),
    "valuect": (Reducer.VALUECT, 1),
    "map": (Reducer.MAP, 2),
    "min": (Reducer.MIN, 1),
    "max": (Reducer.MAX, 1),
}
"""Functions that define how to fold, and how many values they take; they are outermost in an expression."""
