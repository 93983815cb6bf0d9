"""The body of a post: read within bounds, unpacked, and parsed as the envelope that Campaign Monitor documents.

Neither a long body nor one that unpacks into a long one takes memory.
"""

import zlib
from collections.abc import AsyncIterator
from typing import Any
from xml.etree import ElementTree

import orjson

GZIP_OR_ZLIB = 32 + zlib.MAX_WBITS
"""zlib recognises which of the two headers there is."""

HookEvent = dict[str, Any]
"""One event of a post, as Campaign Monitor writes it."""


class UnreadableBodyError(ValueError):
    """The body is no envelope; the text gives the reason and quotes nothing of the body."""


class BodyTooLargeError(ValueError):
    """The body is longer than is accepted, as it came or unpacked."""


class BrokenBodyError(ValueError):
    """The body cannot be unpacked, or ended early."""


async def read_body(chunks: AsyncIterator[bytes], encoding: str, max_bytes: int) -> bytes:
    """Return the body, unpacked. Raises BodyTooLargeError at the first byte too many, BrokenBodyError."""
    unpacker = zlib.decompressobj(GZIP_OR_ZLIB) if encoding.strip().lower() in ("gzip", "deflate") else None
    parts: list[bytes] = []
    length = 0
    async for chunk in chunks:
        part = _unpacked(unpacker, chunk, max_bytes - length) if unpacker else chunk
        length += len(part)
        if length > max_bytes or (unpacker is not None and unpacker.unconsumed_tail):
            raise BodyTooLargeError(f"more than {max_bytes} bytes")
        parts.append(part)
    if unpacker is not None and not unpacker.eof:
        raise BrokenBodyError("the compressed body ends early")
    return b"".join(parts)


def _unpacked(unpacker: "zlib._Decompress", chunk: bytes, room: int) -> bytes:
    try:
        return unpacker.decompress(chunk, room + 1)  # 0 would mean without bound
    except zlib.error as reason:
        raise BrokenBodyError(f"the body cannot be unpacked: {reason}") from None


def events_of(body: bytes, list_id: str) -> list[HookEvent]:
    """Return the events of a body for a list. Raises UnreadableBodyError."""
    envelope = _xml(body) if body.lstrip()[:1] == b"<" else _json(body)
    events = envelope.get("Events")
    if not isinstance(events, list) or not all(isinstance(event, dict) for event in events):
        raise UnreadableBodyError("Events is no list of objects")
    named = envelope.get("ListID") or list_id
    if named != list_id:
        raise UnreadableBodyError("ListID is not the list of this address")
    return events


def _json(body: bytes) -> HookEvent:
    try:
        envelope = orjson.loads(body)
    except orjson.JSONDecodeError as reason:
        raise UnreadableBodyError(f"no JSON: {str(reason)[:200]}") from None
    if not isinstance(envelope, dict):
        raise UnreadableBodyError("the body is no object")
    return envelope


def _xml(body: bytes) -> HookEvent:
    """Read XML. Its shape is not documented: elements named as in JSON, list items called anything."""
    if b"<!" in body:
        raise UnreadableBodyError("XML with declarations is not read")  # no entities, so no entity bombs
    try:
        root = ElementTree.fromstring(body)  # noqa: S314 - declarations were refused above
    except ElementTree.ParseError as reason:
        raise UnreadableBodyError(f"no XML: {reason}") from None
    if root.find("Events") is None and root.tag != "Events":
        raise UnreadableBodyError("XML without Events")
    events = root if root.tag == "Events" else root.find("Events")
    return {
        "ListID": root.findtext("ListID"),
        "Events": [_event(item) for item in (events if events is not None else ())],
    }


def _event(item: ElementTree.Element) -> HookEvent:
    event: HookEvent = {}
    for child in item:
        if child.tag == "CustomFields":
            event[child.tag] = [{part.tag: part.text or "" for part in entry} for entry in child]
        else:
            event[child.tag] = child.text or ""
    return event
