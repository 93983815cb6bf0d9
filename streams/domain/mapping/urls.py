"""Host and path of a URL, read as Go's `net/url.Parse` reads it: existing hashes of URLs were made that way."""

import re

_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*):")
_BAD_ESCAPE = re.compile(r"%(?![0-9A-Fa-f]{2})")
_ESCAPE = re.compile(rb"%([0-9A-Fa-f]{2})")
_HOST = re.compile(r"[A-Za-z0-9\-._~!$&'()*+,;=:\[\]<>\"\u0080-\U0010ffff]*")
_PORT = re.compile(r":[0-9]*")
_USER = re.compile(r"[A-Za-z0-9\-._:~!$&'()*+,;=%@]*")


def host_and_path(url: str) -> str | None:
    """Return host plus decoded path, or None when the text is no URL, or a URL without either (`mailto:`).

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
