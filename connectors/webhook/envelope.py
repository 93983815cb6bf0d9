"""The body of a post as events: the envelope that Campaign Monitor documents, in JSON or XML (pure).

One event that cannot be read costs itself only: where the body as a whole is no JSON, its events are cut apart and
read one by one, and the bytes of those that cannot be used are found again for the dead letters.
"""

import codecs
import re
from typing import Any, NamedTuple
from xml.etree import ElementTree

import orjson

HookEvent = dict[str, Any]
"""One event of a post, as Campaign Monitor writes it."""


class UnreadableBodyError(ValueError):
    """The body is no envelope; the text gives the reason and quotes nothing of the body."""


class UnparsedEvent(NamedTuple):
    """An event that is no JSON object; the reason quotes nothing of it."""

    reason: str


def as_utf8(body: bytes) -> bytes:
    """Return a body without its byte order mark, in UTF-8. Raises UnreadableBodyError."""
    for mark, encoding in _MARKS:
        if body.startswith(mark):
            try:
                return body[len(mark) :].decode(encoding).encode() if encoding else body[len(mark) :]
            except UnicodeDecodeError:
                raise UnreadableBodyError(f"it begins as {encoding} and is not") from None
    return body


def events_of(body: bytes, list_id: str) -> list[HookEvent | UnparsedEvent]:
    """Return the events of a body (`as_utf8`) for a list, in its order. Raises UnreadableBodyError."""
    if body.lstrip()[:1] == b"<":
        root, items = _xml(body)
        named: object = root.findtext("ListID")
        found: list[HookEvent | UnparsedEvent] = [_event(item) for item in items]
    else:
        named, found = _json(body)
    if named and str(named).casefold() != list_id.casefold():
        raise UnreadableBodyError("ListID is not the list of this address")
    return found


def raw_events(body: bytes) -> list[bytes]:
    """Return the bytes of each event of a body that `events_of` has read, in the same order."""
    if body.lstrip()[:1] == b"<":
        return [ElementTree.tostring(item, encoding="utf-8") for item in _xml(body)[1]]
    return _apart(body).events


def _json(body: bytes) -> tuple[object, list[HookEvent | UnparsedEvent]]:
    try:
        envelope = orjson.loads(body)
    except orjson.JSONDecodeError as reason:
        apart = _apart(body, f"no JSON: {str(reason)[:200]}")
        return apart.list_id, [_read_alone(event) for event in apart.events]
    events = envelope.get("Events") if isinstance(envelope, dict) else None
    if not isinstance(events, list):
        raise UnreadableBodyError("Events is no list")
    return envelope.get("ListID"), [event if type(event) is dict else _NO_OBJECT for event in events]


def _read_alone(event: bytes) -> HookEvent | UnparsedEvent:
    try:
        read = orjson.loads(event)
    except orjson.JSONDecodeError as reason:
        return UnparsedEvent(f"no JSON: {str(reason)[:200]}")
    return read if isinstance(read, dict) else _NO_OBJECT


class _Apart(NamedTuple):
    list_id: object
    events: list[bytes]


def _apart(body: bytes, reason: str = "no JSON") -> _Apart:
    """Cut the items of Events apart by brackets and commas outside of strings; nothing else has to be right.

    Raises UnreadableBodyError with the reason given when the brackets do not match, or there is no such list.
    """
    depth, start, at_value = 0, -1, False
    key: object = None
    list_id: object = None
    events: list[bytes] | None = None
    for token in _TOKEN.finditer(body):
        text = token.group()
        if events is not None and start >= 0 and depth == 2 and text in (b",", b"]"):
            if event := body[start : token.start()].strip():
                events.append(event)
            start = token.end() if text == b"," else -1
        if text in (b"{", b"["):
            depth += 1
            if depth == 2 and text == b"[" and at_value and key == "Events":
                start, events = token.end(), []
        elif text in (b"}", b"]"):
            depth -= 1
        elif depth == 1 and text in (b":", b","):
            at_value = text == b":"
        elif depth == 1 and not at_value:
            key = _string(text)
        elif depth == 1 and key == "ListID":
            list_id = _string(text)
    if events is None or depth or body.lstrip()[:1] != b"{":
        raise UnreadableBodyError(reason)
    return _Apart(list_id, events)


def _string(text: bytes) -> object:
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError:
        return None


def _xml(body: bytes) -> tuple[ElementTree.Element, list[ElementTree.Element]]:
    """Read XML. Its shape is not documented: elements named as in JSON, list items called anything."""
    if b"<!" in body or b"\0" in body:
        raise UnreadableBodyError("XML with declarations is not read")  # no entities, so no entity bombs
    try:
        root = ElementTree.fromstring(body)  # noqa: S314 - declarations were refused above
    except ElementTree.ParseError as reason:
        raise UnreadableBodyError(f"no XML: {reason}") from None
    if _deeper_than(root, MAX_XML_DEPTH):
        raise UnreadableBodyError("XML is nested too deep")
    events = root if root.tag == "Events" else root.find("Events")
    if events is None:
        raise UnreadableBodyError("XML without Events")
    return root, list(events)


def _deeper_than(root: ElementTree.Element, depth: int) -> bool:
    level = [root]
    while level and depth:
        level = [child for element in level for child in element]
        depth -= 1
    return bool(level)


def _event(item: ElementTree.Element) -> HookEvent:
    event: HookEvent = {}
    for child in item:
        if child.tag == "CustomFields":
            event[child.tag] = [{part.tag: part.text or "" for part in entry} for entry in child]
        else:
            event[child.tag] = child.text or ""
    return event


MAX_XML_DEPTH = 100
"""An event takes five levels. Elements are written into dead letters by a recursion."""

_NO_OBJECT = UnparsedEvent("it is no object")

_MARKS = (
    (codecs.BOM_UTF8, ""),
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
"""The longer ones first: UTF-32's begins as UTF-16's does."""

_TOKEN = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"|[{}\[\]:,]', re.DOTALL)
