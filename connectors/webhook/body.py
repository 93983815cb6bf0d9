"""The body of a post, JSON or XML, as the envelope that Campaign Monitor documents (pure)."""

from typing import Any
from xml.etree import ElementTree

import orjson

Event = dict[str, Any]


class Unreadable(ValueError):  # noqa: N818 - says what it is
    """The body is no envelope; the sentence says why and quotes none of it."""


def events_of(body: bytes, list_id: str) -> list[Event]:
    """Return the events of a body for a list. Raises Unreadable."""
    envelope = _xml(body) if body.lstrip()[:1] == b"<" else _json(body)
    events = envelope.get("Events")
    if not isinstance(events, list) or not all(isinstance(event, dict) for event in events):
        raise Unreadable("Events is no list of objects")
    named = envelope.get("ListID") or list_id
    if named != list_id:
        raise Unreadable("ListID is not the list of this address")
    return events


def _json(body: bytes) -> Event:
    try:
        envelope = orjson.loads(body)
    except orjson.JSONDecodeError as reason:
        raise Unreadable(f"no JSON: {str(reason)[:200]}") from None
    if not isinstance(envelope, dict):
        raise Unreadable("the body is no object")
    return envelope


def _xml(body: bytes) -> Event:
    """Read XML. Its shape is not documented: elements named as in JSON, list items called anything."""
    if b"<!" in body:
        raise Unreadable("XML with declarations is not read")  # no entities, so no entity bombs
    try:
        root = ElementTree.fromstring(body)  # noqa: S314 - declarations were refused above
    except ElementTree.ParseError as reason:
        raise Unreadable(f"no XML: {reason}") from None
    if root.find("Events") is None and root.tag != "Events":
        raise Unreadable("XML without Events")
    events = root if root.tag == "Events" else root.find("Events")
    return {
        "ListID": root.findtext("ListID"),
        "Events": [_event(item) for item in (events if events is not None else ())],
    }


def _event(item: ElementTree.Element) -> Event:
    event: Event = {}
    for child in item:
        if child.tag == "CustomFields":
            event[child.tag] = [{part.tag: part.text or "" for part in entry} for entry in child]
        else:
            event[child.tag] = child.text or ""
    return event
