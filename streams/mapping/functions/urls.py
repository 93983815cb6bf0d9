"""URLs as Go's `net/url` reads them: existing hashes of URLs were made that way, and other engines' answers, too.

Text whose percent escapes are not UTF-8 comes with surrogate escapes; see `text_bytes`.
"""

import re
from typing import NamedTuple

_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*):")
_BAD_ESCAPE = re.compile(r"%(?![0-9A-Fa-f]{2})")
_ESCAPE = re.compile(rb"%([0-9A-Fa-f]{2})")
_HOST = re.compile(r"[A-Za-z0-9\-._~!$&'()*+,;=:\[\]<>\"\u0080-\U0010ffff]*")
_PORT = re.compile(r":[0-9]*")
_USER = re.compile(r"[A-Za-z0-9\-._:~!$&'()*+,;=%@]*")


class Url(NamedTuple):
    """The parts of a URL: the host with its port and without its user, the path decoded, the query as it is."""

    scheme: str
    host: str
    path: str
    query: str


def parse_url(url: str) -> Url | None:
    """Return the parts of a URL, None when the text is none. One such as `mailto:` has neither host nor path."""
    if _CONTROL.search(url):
        return None
    rest, _, fragment = url.partition("#")
    if _BAD_ESCAPE.search(fragment):
        return None
    if rest.startswith(":"):
        return None
    scheme = _SCHEME.match(rest)
    rest, _, query = (rest[scheme.end() :] if scheme else rest).partition("?")
    name = scheme[1].lower() if scheme else ""
    if not rest.startswith("/"):
        if scheme:
            return Url(name, "", "", query)
        if ":" in rest.partition("/")[0]:
            return None
    host = ""
    if rest.startswith("//") and (scheme or not rest.startswith("///")):
        authority, slash, path = rest[2:].partition("/")
        rest = slash + path
        found = _host(authority)
        if found is None:
            return None
        host = found
    return None if _BAD_ESCAPE.search(rest) else Url(name, host, unescape(rest), query)


def host_and_path(url: str) -> str | None:
    """Return host plus decoded path; None when the text is no URL, or a URL without either (`mailto:`)."""
    parsed = parse_url(url)
    return None if parsed is None else parsed.host + parsed.path or None


def query_values(query: str) -> dict[str, list[str]]:
    """Return the parameters of a query, each with its values in order; what cannot be decoded is left out."""
    found: dict[str, list[str]] = {}
    for part in query.split("&"):
        name, _, value = part.partition("=")
        if part and ";" not in part and not _BAD_ESCAPE.search(part):
            found.setdefault(unescape(name, plus=True), []).append(unescape(value, plus=True))
    return found


def decode_query(text: str) -> str | None:
    """Return a text with its percent escapes and its pluses decoded, None when an escape is none."""
    return None if _BAD_ESCAPE.search(text) else unescape(text, plus=True)


def unescape(text: str, *, plus: bool = False) -> str:
    """Decode percent escapes, and with `plus` each plus to a space."""
    if plus:
        text = text.replace("+", " ")
    if "%" not in text:
        return text
    raw = _ESCAPE.sub(lambda escape: bytes([int(escape[1], 16)]), text.encode("utf-8", "surrogateescape"))
    return raw.decode("utf-8", "surrogateescape")


def text_bytes(text: str) -> bytes:
    """Return the text's UTF-8 bytes, with the raw bytes of an escape that was not UTF-8 put back."""
    return text.encode() if text.isascii() else text.encode("utf-8", "surrogateescape")


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
