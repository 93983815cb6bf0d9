"""Hashes, encodings and JSON inside of texts."""

import binascii
import hashlib
import json
from base64 import b64encode
from collections.abc import Callable
from functools import cache, lru_cache
from typing import Any

from siphash24 import siphash24

from streams.mapping.conditions import first, has_value
from streams.mapping.functions.addresses import LONGEST_REMEMBERED, REMEMBERED
from streams.mapping.functions.declared import Function, Yields
from streams.mapping.functions.text import spelled
from streams.mapping.functions.urls import text_bytes

HASH_KEY = bytes(8) + b"\x01" + bytes(7)
"""Words 0 and 1, little-endian: the key in use where the stored hashes come from."""


def sip_hash(text: Any) -> int | None:
    """SipHash-2-4 of a text's UTF-8 bytes, as a signed 64-bit integer."""
    value = first(text)
    if not isinstance(value, str) or not value:
        return None
    return _sip_hash(value) if len(value) <= LONGEST_REMEMBERED else _sip_hash.__wrapped__(value)


@lru_cache(maxsize=REMEMBERED)
def _sip_hash(text: str) -> int:
    return int.from_bytes(siphash24(text_bytes(text), key=HASH_KEY).digest(), "little", signed=True)


def _digest(name: str) -> Callable[[Any], str | None]:
    def digest(value: Any) -> str | None:
        return hashlib.new(name, text_bytes(spelled(value))).hexdigest() if has_value(value) else None

    digest.__doc__ = f"{name.upper()} of a value's text, hexadecimal."
    return digest


def base64_encode(value: Any) -> str | None:
    """A value's text in Base64."""
    return b64encode(text_bytes(spelled(value))).decode() if has_value(value) else None


def base64_decode(text: Any) -> str | None:
    """The text that Base64 spells."""
    if not has_value(text):
        return None
    try:
        raw = binascii.a2b_base64(spelled(text).replace("\n", "").replace("\r", "").encode("ascii"), strict_mode=True)
    except ValueError:
        return None
    return raw.decode("utf-8", "surrogateescape")


def jmespath_search(json_text: Any, expression: str) -> Any:
    """What a JMESPath expression finds in a text that is JSON, or in an object or a list."""
    try:
        data = json_text if _is_data(json_text) else json.loads(spelled(json_text), parse_constant=_refused)
        return _jmespath(expression)(data)
    except (ValueError, RecursionError):  # JMESPath's own errors are ValueErrors, too
        return None


def _is_data(value: Any) -> bool:
    """Whether a value is no text: an object, or a list of more than texts."""
    return isinstance(value, dict) or (isinstance(value, list) and not all(isinstance(part, str) for part in value))


@cache
def _jmespath(expression: str) -> Callable[[Any], Any]:
    import jmespath  # only who uses it loads it

    compiled: Callable[[Any], Any] = jmespath.compile(expression).search
    return compiled


def _refused(constant: str) -> None:
    raise ValueError(f"{constant} is not JSON")


HASHES: dict[str, Function] = {
    "hash": Function("text", Yields.INT, sip_hash, {'hash("a")': -3598629688670491794}),
    "hash.sip": Function("text", Yields.INT, sip_hash, {'hash.sip("café")': 7036918279104147164}),
    "hash.md5": Function("value", Yields.TEXT, _digest("md5"), {'hash.md5("a")': "0cc175b9c0f1b6a831c399e269772661"}),
    "hash.sha1": Function(
        "value", Yields.TEXT, _digest("sha1"), {'hash.sha1("a")': "86f7e437faa5a7fce15d1ddcb9eaeaea377667b8"}
    ),
    "hash.sha256": Function(
        "value", Yields.TEXT, _digest("sha256"), {'hash.sha256("a")': hashlib.sha256(b"a").hexdigest()}
    ),
    "hash.sha512": Function("value", Yields.TEXT, _digest("sha512"), {'len(hash.sha512("a"))': 128}),
    "encoding.b64encode": Function("value", Yields.TEXT, base64_encode, {'encoding.b64encode("é")': "w6k="}),
    "encoding.b64decode": Function("text", Yields.TEXT, base64_decode, {'encoding.b64decode("w6k=")': "é"}),
    "json.jmespath": Function(
        "json_text, expression",
        Yields.ANYTHING,
        jmespath_search,
        {'json.jmespath(basket, "items[*].sku")': ["a1", "b2"]},
        literals={1: _jmespath},
    ),
}
