"""Functions of texts. A number or a boolean counts as the text that spells it; of a list mostly the first element."""

from typing import Any

from schemas.identity import lower
from streams.mapping.conditions import has_value
from streams.mapping.dates import DateValue
from streams.mapping.functions.declared import Function, Yields
from streams.mapping.kinds import to_int, to_text

_BLANKS = " \n\t\r"


def spelled(value: Any) -> str:
    """Return any value as text: lists joined with commas, dates as milliseconds, an empty text for what is missing."""
    if isinstance(value, list):
        return ",".join(map(spelled, value))
    return str(int(value)) if value.__class__ is DateValue else to_text(value) or ""


def to_string(value: Any) -> str | None:
    """A value as text: a list joined with commas, a date as its milliseconds."""
    return spelled(value) or None


def lower_case(text: Any) -> str | None:
    """Lower-case, one letter to one letter."""
    found = to_text(text)
    return None if found is None else lower(found)


def upper_case(text: Any) -> str | None:
    """Upper-case, one letter to one letter: `ß` stays."""
    found = to_text(text)
    return None if found is None else "".join(map(_capital, found))


def title_case(text: Any) -> str | None:
    """The first letter of each word as a capital, the others as they are."""
    found = to_text(text)
    if found is None:
        return None
    starts = (not index or _separates(found[index - 1]) for index in range(len(found)))
    return "".join(
        _capital(letter, title=True) if start else letter for letter, start in zip(found, starts, strict=True)
    )


def split(text: Any, separator: Any) -> list[str] | None:
    """The parts of a text between separators."""
    found, by = to_text(text), to_text(separator)
    return found.split(by) if found and by else None


def strip(text: Any) -> str | list[str] | None:
    """A text, or each text of a list, without blanks around it."""
    if isinstance(text, str):
        return text.strip(_BLANKS)
    if isinstance(text, list) and text and all(isinstance(element, str) for element in text):
        return [element.strip(_BLANKS) for element in text]
    return None


def replace(text: Any, old: Any, new: Any = None) -> str:
    """A text with each occurrence of another one replaced, or removed."""
    return spelled(text).replace(spelled(old), spelled(new))


def join(*values: Any) -> str | None:
    """Texts, numbers and the elements of lists with the last argument between them."""
    *parts, separator = values
    between = to_text(separator)
    if between is None:
        return None
    texts: list[str] = []
    for part in parts:
        if isinstance(part, list):
            texts += map(spelled, part)
        elif has_value(part) and not isinstance(part, bool | dict | DateValue):
            texts.append(spelled(part))
    return between.join(texts) if texts else None


def has_prefix(text: Any, prefix: Any) -> bool | None:
    """Whether a text begins with another one."""
    wanted = spelled(prefix)
    return spelled(text).startswith(wanted) if wanted else None


def has_suffix(text: Any, suffix: Any) -> bool | None:
    """Whether a text ends with another one."""
    wanted = spelled(suffix)
    return spelled(text).endswith(wanted) if wanted else None


def contains_text(text: Any, part: Any) -> bool | None:
    """Whether a text has another one in it; of a list the first element counts."""
    found, wanted = to_text(text), to_text(part)
    if found is None or wanted is None:
        return False
    return wanted in found if found and wanted else None


def length(value: Any) -> int | None:
    """The bytes of a text, the elements of a list or an object; 0 of a number."""
    if value is None:
        return None
    if isinstance(value, str):
        return len(value.encode("utf-8", "surrogateescape"))
    return len(value) if isinstance(value, list | dict) else 0


def index_of(text: Any, part: Any) -> int | None:
    """How many bytes of a text come before another one in it; -1 when it is not there."""
    found, wanted = to_text(text), to_text(part)
    return None if found is None or wanted is None else found.encode().find(wanted.encode())


def substring(text: Any, start: Any, end: Any) -> str | None:
    """The bytes of a text from a position, counted from 0, up to before another one."""
    found, first, last = to_text(text), _position(start), _position(end)
    if not found or first is None or last is None:
        return None
    raw = found.encode()
    return raw[first:last].decode("utf-8", "replace") if first <= last <= len(raw) else None


def _tail(text: Any, start: Any) -> str | None:
    found = to_text(text)
    return substring(text, start, None if found is None else len(found.encode()))


def _position(value: Any) -> int | None:
    position = to_int(value)
    return None if position is None or position < 0 else position


def _capital(letter: str, *, title: bool = False) -> str:
    capital = letter.title() if title else letter.upper()
    return capital if len(capital) == 1 else letter


def _separates(letter: str) -> bool:
    if letter.isascii():
        return not (letter.isalnum() or letter == "_")
    return letter.isspace()


TEXT: dict[str, Function] = {
    "tostring": Function("value", Yields.TEXT, to_string, {"tostring(7.50)": "7.5", 'tostring("")': None}),
    "tolower": Function("text", Yields.TEXT, lower_case, {'tolower("MiXed")': "mixed"}),
    "string.lowercase": Function("text", Yields.TEXT, lower_case, {'string.lowercase("ÀÉ")': "àé"}),
    "string.uppercase": Function("text", Yields.TEXT, upper_case, {'string.uppercase("straße")': "STRAßE"}),
    "string.titlecase": Function(
        "text", Yields.TEXT, title_case, {'string.titlecase("mac-donald 2nd")': "Mac-Donald 2nd"}
    ),
    "split": Function(
        "text, separator", Yields.LIST, split, {'split("a,b", ",")': ["a", "b"], 'split("ab", "")': None}
    ),
    "string.split": Function("text, separator", Yields.LIST, split, {'string.split("a--b", "--")': ["a", "b"]}),
    "strip": Function(
        "text", Yields.ANYTHING, strip, {'strip(" a b ")': "a b", 'strip(split("a, b", ","))': ["a", "b"]}
    ),
    "string.strip": Function("text", Yields.ANYTHING, strip, {'string.strip(" a ")': "a"}),
    "replace": Function(
        "text, old[, new]",
        Yields.TEXT,
        replace,
        {'replace("/blog/a", "/blog")': "/a", 'replace("a.b", ".", "-")': "a-b"},
    ),
    "join": Function(
        "value, ..., separator", Yields.TEXT, join, {'join("a", 7, "/")': "a/7", 'join(tags, "+")': "red+blue"}
    ),
    "hasprefix": Function("text, prefix", Yields.BOOL, has_prefix, {'hasprefix("apples", "app")': True}),
    "hassuffix": Function("text, suffix", Yields.BOOL, has_suffix, {'hassuffix("apples", "app")': False}),
    "contains": Function("text, part", Yields.BOOL, contains_text, {'contains("apples", "pl")': True}),
    "len": Function("value", Yields.INT, length, {'len("日本")': 6, "len(tags)": 2}),
    "char_length": Function("value", Yields.INT, length, {'char_length("abc")': 3}),
    "string.index": Function("text, part", Yields.INT, index_of, {'string.index("apples", "l")': 3}),
    "string.substr": Function(
        "text, start[, end]",
        Yields.TEXT,
        substring,
        {'string.substr("apples", 2)': "ples", 'string.substr("apples", 0, 3)': "app"},
        of_two=_tail,
    ),
}
