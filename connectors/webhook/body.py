"""The body of a post: read within bounds, unpacked, and parsed as the envelope that Campaign Monitor documents.

Neither a long body nor one that unpacks into a long one takes memory.

Before a body is read, `admit` checks method, path, size and content type (pure). Campaign Monitor signs nothing, so
the path is the only secret. It holds the list and a token that follows from the list and our secret: nothing has to be
stored, and a token fits no other list. A wrong path looks like any other unknown path, and is refused before a byte of
the body is read.
"""

import base64
import hashlib
import hmac
import zlib
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any
from xml.etree import ElementTree

import orjson
from pydantic import SecretStr

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


ROOT = "/hooks"
VERIFY = "verify"
"""Events posted below it are samples: Campaign Monitor sends them while a new webhook is tried out."""

_BODY_TYPES = ("", "application/octet-stream", "text/plain", "text/json", "text/xml")


@dataclass(frozen=True, slots=True)
class GenuinePost:
    """A genuine post for this list. `sample`: we asked for it ourselves, and it is about nobody."""

    list_id: str
    sample: bool


@dataclass(frozen=True, slots=True)
class RejectedPost:
    """Refused. `reason` is for metrics; the sender learns the status only."""

    status: int
    reason: str


def token_of(secret: SecretStr, list_id: str) -> str:
    """Return the list's token: 32 characters of HMAC-SHA256, 192 bits."""
    mac = hmac.new(secret.get_secret_value().encode(), b"webhook:" + list_id.encode(), hashlib.sha256)
    return base64.urlsafe_b64encode(mac.digest()[:24]).decode()


def path_of(secret: SecretStr, list_id: str, *, sample: bool = False) -> str:
    """Return the path that Campaign Monitor posts to. It is a secret: never log it."""
    return f"{ROOT}/{list_id}/{token_of(secret, list_id)}" + (f"/{VERIFY}" if sample else "")


def admit(
    method: str,
    path: str,
    content_type: str,
    encoding: str,
    length: int | None,
    secrets: tuple[SecretStr, ...],
    max_bytes: int,
) -> GenuinePost | RejectedPost:
    """Return whether the body may be read. `secrets`: the one in use and earlier ones that still count."""
    genuine = _genuine(path, secrets)
    if genuine is None:
        return RejectedPost(404, "path")
    if method != "POST":
        return RejectedPost(405, "method")
    if length is not None and length > max_bytes:
        return RejectedPost(413, "size")
    if encoding.strip().lower() not in ("", "identity", "gzip", "deflate"):
        return RejectedPost(415, "encoding")
    kind = content_type.partition(";")[0].strip().lower()
    if kind not in _BODY_TYPES and not kind.endswith(("/json", "+json", "/xml", "+xml")):
        return RejectedPost(415, "type")
    return genuine


def _genuine(path: str, secrets: tuple[SecretStr, ...]) -> GenuinePost | None:
    parts = path.removeprefix(ROOT + "/").split("/")
    if not path.startswith(ROOT + "/") or len(parts) not in (2, 3) or (len(parts) == 3 and parts[2] != VERIFY):
        return None
    list_id, token = parts[0], parts[1]
    # Every secret is compared, and each in constant time: how long it takes reveals nothing.
    matches = [hmac.compare_digest(token_of(secret, list_id).encode(), token.encode()) for secret in secrets]
    return GenuinePost(list_id, len(parts) == 3) if any(matches) else None
