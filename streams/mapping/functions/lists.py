"""Lists, objects and choices among values. Keys come in the order of the alphabet."""

import re
from collections.abc import Callable
from functools import lru_cache
from typing import Any

from streams.mapping.conditions import has_value, opposite
from streams.mapping.functions.declared import Function, Yields
from streams.mapping.functions.numbers import to_bool
from streams.mapping.functions.text import spelled
from streams.mapping.kinds import to_int


def one_of(*values: Any) -> Any:
    """The first argument that has a value."""
    return next((value for value in values if has_value(value)), None)


def any_value(*values: Any) -> bool:
    """Whether one of the arguments has a value."""
    return any(map(has_value, values))


def all_values(*values: Any) -> bool:
    """Whether all arguments have a value, and none is false or 0."""
    return all(has_value(value) and value is not False and value != 0 for value in values)


def negation(value: Any) -> bool | None:
    """The opposite of a boolean, or of a text or number that spells one."""
    return opposite(to_bool(value))


def exists(value: Any) -> bool:
    """Whether there is a value."""
    return has_value(value)


def pair(key: Any, value: Any) -> dict[str, Any] | None:
    """An object of one entry (outermost in a mapping: entries that are kept over time)."""
    return {spelled(key): value} if has_value(key) and has_value(value) else None


def match_keys(message: dict[str, Any], *prefixes: Any) -> dict[str, Any] | None:
    """The message's fields whose name begins with a prefix, under the rest of their name."""
    wanted = [prefix for prefix in prefixes if isinstance(prefix, str) and prefix]
    return {
        name[len(prefix) :]: message[name]
        for prefix in wanted
        for name in sorted(message)
        if len(name) > len(prefix) and name.startswith(prefix) and message[name] is not None
    } or None


def map_keys(*maps: Any) -> list[str] | None:
    """The keys of objects."""
    return sorted({key for entries in maps if isinstance(entries, dict) for key in entries}) or None


def map_values(entries: Any) -> list[str] | None:
    """The different values of an object, as texts."""
    if not isinstance(entries, dict):
        return None
    return sorted({spelled(value) for value in entries.values() if value is not None}) or None


def map_invert(entries: Any) -> dict[str, str] | None:
    """An object with keys and values changed over."""
    if not isinstance(entries, dict):
        return None
    return {spelled(entries[key]): key for key in sorted(entries) if entries[key] is not None} or None


def array_index(elements: Any, index: Any) -> Any:
    """An element of a list, counted from 0, or from the end below it."""
    at = to_int(index)
    if not isinstance(elements, list) or at is None or not -len(elements) <= at < len(elements):
        return None
    return elements[at]


def array_slice(elements: Any, start: Any, *end: Any) -> Any:
    """The elements of a list from one position up to before another one."""
    first, last = to_int(start), to_int(end[0]) if end else None
    if not isinstance(elements, list) or first is None or (end and last is None):
        return None
    size = len(elements)
    first, last = first + size * (first < 0), size if last is None else last + size * (last < 0)
    return elements[first:last] if 0 <= first < size and first <= last <= size else None


def filter_out(value: Any, *patterns: Any) -> Any:
    """A list, an object (by its keys) or a text without what begins with one of the texts, or matches its `*`."""
    return _filtered(value, patterns, keep=False)


def filter_match(value: Any, *patterns: Any) -> Any:
    """What `filter` leaves out."""
    return _filtered(value, patterns, keep=True)


def like(value: Any, pattern: Any) -> bool | None:
    """Whether a text, or a text of a list, matches a pattern: `*` and `%` are any text without /, `?` is one letter.

    False when the text is missing, None when one of both is no text.
    """
    if value is None:
        return False
    texts = map(spelled, value) if isinstance(value, list) else [value] if isinstance(value, str) else None
    patterns = pattern if isinstance(pattern, list) else [pattern]
    if pattern is None:
        return False
    if texts is None or not all(isinstance(wanted, str) for wanted in patterns):
        return None
    return any(_glob(wanted)(text) for text in texts for wanted in patterns)


def _filtered(value: Any, patterns: tuple[Any, ...], *, keep: bool) -> Any:
    wanted = [spelled(text) for pattern in patterns for text in _several(pattern)]

    def matches(text: str) -> bool:
        return any(_glob(spelt)(text) if _STARS & set(spelt) else text.startswith(spelt) for spelt in wanted)

    if isinstance(value, dict):
        return {key: each for key, each in value.items() if matches(key) is keep} or None
    if isinstance(value, list):
        return [text for text in map(spelled, value) if (text != "" and matches(text)) is keep] or None
    return value if isinstance(value, str) and value and matches(value) is keep else None


_STARS = {"*", "%"}
_PIECE = re.compile(r"(\*+)|(\?)|\[(\^?)((?:\\.|[^\]\\])+)\]|\\(.)|([^*?\\])", re.DOTALL)


@lru_cache(maxsize=512)
def _glob(pattern: str) -> Callable[[str], bool]:
    """Return what decides whether a whole text matches. Each star takes as little as it can and never more later."""
    chunks, stars = [""], [0]
    for star, one, inverted, several, escaped, letter in _PIECE.findall(pattern.replace("%", "*")):
        if star:
            chunks.append("")
            stars.append(len(star))
        else:
            chunks[-1] += "[^/]" if one else _class(inverted, several) if several else re.escape(escaped or letter)
    spelt = chunks[0]
    for number, (chunk, star) in enumerate(zip(chunks[1:], stars[1:], strict=True), 2):
        any_text = ".*" if star > 1 and not chunk else "[^/]*"
        spelt += f"{any_text}{chunk}" if number == len(chunks) else f"(?>{any_text}?{chunk})"
    compiled = re.compile(spelt, re.DOTALL)
    return lambda text: compiled.fullmatch(text) is not None


def _class(inverted: str, several: str) -> str:
    escaped = (
        several.replace("\\", "\\\\").replace("[", "\\[").replace("^", "\\^").replace("&", "\\&").replace("|", "\\|")
    )
    return f"[{inverted}{escaped.replace('~', chr(92) + '~')}]"


def _several(pattern: Any) -> list[Any]:
    return pattern if isinstance(pattern, list) else [pattern] if isinstance(pattern, str) else []


LISTS: dict[str, Function] = {
    "oneof": Function("value, ...", Yields.ANYTHING, one_of, {'oneof("", 9, "x")': 9}),
    "any": Function("value, ...", Yields.BOOL, any_value, {'any("", "x")': True, 'any(email("x"))': False}),
    "all": Function("value, ...", Yields.BOOL, all_values, {'all("a", 1)': True, 'all("a", "")': False}),
    "not": Function("value", Yields.BOOL, negation, {'not("false")': True, "not(eq(5, 5))": False}),
    "exists": Function("value", Yields.BOOL, exists, {"exists(tags)": True}),
    "map": Function("key, value", Yields.MAP, pair, {'map("a", 5)': {"a": 5}}),
    "match": Function(
        "prefix, ...",
        Yields.MAP,
        match_keys,
        {'match("utm_")': {"medium": "web", "source": "mail"}},
        takes_message=True,
    ),
    "mapkeys": Function("map, ...", Yields.LIST, map_keys, {'mapkeys(match("utm_"))': ["medium", "source"]}),
    "mapvalues": Function("map", Yields.LIST, map_values, {'mapvalues(match("utm_"))': ["mail", "web"]}),
    "mapinvert": Function("map", Yields.MAP, map_invert, {'mapinvert(map("a", 5))': {"5": "a"}}),
    "array.index": Function("list, index", Yields.ANYTHING, array_index, {"array.index(tags, -1)": "blue"}),
    "array.slice": Function("list, start[, end]", Yields.LIST, array_slice, {"array.slice(tags, 0, 1)": ["red"]}),
    "filter": Function("value, pattern, ...", Yields.ANYTHING, filter_out, {'filter(tags, "bl*")': ["red"]}),
    "filtermatch": Function(
        "value, pattern, ...", Yields.ANYTHING, filter_match, {'filtermatch(tags, "bl")': ["blue"]}
    ),
}
