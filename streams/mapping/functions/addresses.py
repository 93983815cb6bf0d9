"""Functions of e-mail addresses and URLs. What is neither has no value; of a list the first element counts."""

import re
from collections.abc import Callable
from functools import cache, lru_cache
from typing import Any
from urllib.parse import urlencode

from schemas.identity import display_name_of, domain_of, email_of, lower
from streams.mapping.conditions import first
from streams.mapping.functions.declared import Function, Yields
from streams.mapping.functions.text import spelled
from streams.mapping.functions.urls import Url, decode_query, host_and_path, parse_url, query_values, text_bytes
from streams.mapping.kinds import to_text

REMEMBERED, LONGEST_REMEMBERED = 1024, 512
"""Texts whose host and path, and whose hash, are kept: many people click on few links."""


def email(address: Any) -> str | None:
    """The bare, lower-case address of one RFC 5322 mailbox."""
    value = first(address)
    return email_of(value) if isinstance(value, str) else None


def email_domain(address: Any) -> str | None:
    """The host of an address: what is behind its last @."""
    found = email(address)
    return None if found is None else domain_of(found)


def email_name(address: Any) -> str | None:
    """The display name of an address."""
    value = first(address)
    return display_name_of(value) if isinstance(value, str) else None


def domain(url: Any) -> str | None:
    """The registrable domain of a URL's host, with its port: by the public suffix list, else the last two labels."""
    text = first(url)
    parsed = _parse_lower(text, 0) if isinstance(text, str) else None
    return _registrable(parsed.host) if parsed is not None and len(text_bytes(parsed.host)) > 2 else None


def domains(*urls: Any) -> list[str] | None:
    """The domains of several URLs or lists of them."""
    texts = [text for url in urls for text in (url if isinstance(url, list) else [url]) if isinstance(text, str)]
    parsed = (_parse_lower(text, 4) for text in texts)
    return [_registrable(url.host) for url in parsed if url is not None and url.host] or None


def host(url: Any) -> str | None:
    """The host of a URL in lower case, with its port."""
    text = _text_of(url)
    parsed = _parse_lower(text, 8) if text else None
    return parsed.host or None if parsed is not None else None


def hosts(*urls: Any) -> list[str] | None:
    """The hosts of several URLs or lists of them."""
    found = (host(text) for url in urls for text in (url if isinstance(url, list) else [url]))
    return [name for name in found if name] or None


def path(url: Any) -> str | None:
    """The path of a URL, decoded, in lower case."""
    parsed = _parse(lower(_text_of(url)))
    return None if parsed is None else parsed.path


def url_main(url: Any) -> str | None:
    """The host and the decoded path of a URL."""
    value = first(url)
    if not isinstance(value, str) or not value:
        return None
    return _host_and_path(value) if len(value) <= LONGEST_REMEMBERED else host_and_path(value)


_host_and_path = lru_cache(maxsize=REMEMBERED)(host_and_path)


def url_decode(text: Any) -> str | None:
    """A text with its percent escapes and its pluses decoded."""
    found = _text_of(text)
    return decode_query(found) if found else None


def query_lower(url: Any, name: Any) -> str | None:
    """A parameter of a URL that is put in lower case before: `name` has to be in lower case."""
    return _parameter(_parse(lower(_text_of(url))), name)


def query_exact(url: Any, name: Any) -> str | None:
    """A parameter of a URL, exactly as it is spelt."""
    return _parameter(_parse(_text_of(url)), name)


def url_minus_query(url: Any, name: Any) -> str | None:
    """A URL without one parameter; the others in the order of their names."""
    parsed, wanted = _parse(_text_of(url)), to_text(name)
    if parsed is None or not wanted:
        return None
    values = query_values(parsed.query)
    kept = _encoded({key: value for key, value in values.items() if key != wanted})
    query = f"?{parsed.query}" if wanted not in values else f"?{kept}" if kept else ""
    return f"{parsed.scheme}://{parsed.host}{parsed.path}{query}"


def match_query(url: Any, *patterns: str) -> str | None:
    """The host and path of a URL with those parameters whose name matches one of the regular expressions."""
    text = _text_of(url)
    parsed = parse_url(text) if text else None
    if parsed is None:
        return None
    wanted = [_pattern(text) for text in patterns]
    values = query_values(parsed.query) if wanted else {}
    kept = _encoded({key: value for key, value in values.items() if any(pattern.search(key) for pattern in wanted)})
    return f"{parsed.host}{parsed.path}{f'?{kept}' if kept else ''}"


@cache
def _pattern(text: str) -> re.Pattern[str]:
    try:
        return re.compile(text)
    except re.error as error:
        raise ValueError(f"{text!r} is no regular expression: {error}") from None


@cache
def _suffixes() -> Callable[[str], str | None]:
    from publicsuffixlist import PublicSuffixList  # reading the list takes a while: only who uses it waits

    registrable: Callable[[str], str | None] = PublicSuffixList(only_icann=True).privatesuffix
    return registrable


def _registrable(name: str) -> str:
    bare, colon, port = name.partition(":")
    if name.startswith("[") or re.fullmatch(r"[0-9.]+", bare):
        return name
    return (_suffixes()(bare) or ".".join(bare.split(".")[-2:])) + colon + port


def _text_of(value: Any) -> str:
    """A text, or what a list's first element spells; other values are no URL."""
    if isinstance(value, list):
        return spelled(value[0]) if value else ""
    return value if isinstance(value, str) else ""


def _parse_lower(text: str, shortest: int) -> Url | None:
    """A URL in lower case; without a scheme it is one of the web. Shorter texts are none."""
    small = lower(text)
    if len(text_bytes(small)) < shortest:
        return None
    return parse_url(small if small.startswith("http") else f"http://{small}")


def _parse(text: str) -> Url | None:
    """A URL; what begins with more than a few letters and no slash has a host even without a scheme."""
    if not text:
        return None
    raw = text_bytes(text)
    bare = len(raw) > 6 and b"/" not in raw[:5] and not text.startswith("http")
    return parse_url(f"http://{text}" if bare else text)


def _parameter(parsed: Url | None, name: Any) -> str | None:
    wanted = to_text(name)
    if parsed is None or not wanted:
        return None
    return query_values(parsed.query).get(wanted, [""])[0] or None


def _encoded(values: dict[str, list[str]]) -> str:
    pairs = [(name, value) for name in sorted(values) for value in values[name]]
    return urlencode([(text_bytes(name), text_bytes(value)) for name, value in pairs])


ADDRESSES: dict[str, Function] = {
    "email": Function("address", Yields.TEXT, email, {'email("Bob <Bob@Example.com>")': "bob@example.com"}),
    "emaildomain": Function(
        "address", Yields.TEXT, email_domain, {'emaildomain("Bob <bob@example.com>")': "example.com"}
    ),
    "emailname": Function("address", Yields.TEXT, email_name, {'emailname("Bob <bob@example.com>")': "Bob"}),
    "domain": Function("url", Yields.TEXT, domain, {"domain(page)": "example.co.uk"}),
    "domains": Function(
        "url, ...",
        Yields.LIST,
        domains,
        {'domains("https://a.one.example", "b.two.example")': ["one.example", "two.example"]},
    ),
    "host": Function("url", Yields.TEXT, host, {"host(page)": "shop.example.co.uk"}),
    "hosts": Function(
        "url, ...", Yields.LIST, hosts, {'hosts(page, "b.two.example/p")': ["shop.example.co.uk", "b.two.example"]}
    ),
    "path": Function("url", Yields.TEXT, path, {"path(page)": "/sale/new"}),
    "urlmain": Function("url", Yields.TEXT, url_main, {"urlmain(page)": "shop.example.co.uk/sale/new"}),
    "urldecode": Function("text", Yields.TEXT, url_decode, {'urldecode("a%20b+c")': "a b c"}),
    "qs": Function("url, name", Yields.TEXT, query_lower, {'qs(page, "id")': "7"}),
    "qsl": Function("url, name", Yields.TEXT, query_lower, {'qsl("https://e.example/?Ref=Mail", "ref")': "mail"}),
    "qs2": Function("url, name", Yields.TEXT, query_exact, {'qs2("https://e.example/?Ref=Mail", "Ref")': "Mail"}),
    "urlminusqs": Function(
        "url, name",
        Yields.TEXT,
        url_minus_query,
        {'urlminusqs("https://e.example/p?b=2&id=1&a=3", "id")': "https://e.example/p?a=3&b=2"},
    ),
    "url.matchqs": Function(
        "url[, pattern, ...]",
        Yields.TEXT,
        match_query,
        {'url.matchqs(page, "^utm_")': "shop.example.co.uk/sale/new?utm_source=mail"},
        literals=dict.fromkeys(range(1, 20), _pattern),
    ),
}
