"""The body of a post: read within bounds and unpacked.

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
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from functools import lru_cache

from pydantic import SecretStr

GZIP_OR_ZLIB = 32 + zlib.MAX_WBITS
"""zlib recognises which of the two headers there is."""


class BodyTooLargeError(ValueError):
    """The body is longer than is accepted, as it came or unpacked."""


class BrokenBodyError(ValueError):
    """The body cannot be unpacked, or ended early."""


async def read_body(
    chunks: AsyncIterator[bytes], encoding: str, max_bytes: int, hold: Callable[[int], None] = lambda _bytes: None
) -> bytes:
    """Return the body, unpacked. Raises BodyTooLargeError at the first byte too many, BrokenBodyError.

    `hold` is called with the length of each part that is kept in memory; what it raises ends the reading.
    """
    unpacker = Unpacker() if encoding and encoding.strip().lower() in ("gzip", "deflate") else None
    parts: list[bytes] = []
    received = length = 0
    async for chunk in chunks:
        received += len(chunk)
        part = unpacker.unpacked(chunk, max_bytes - length) if unpacker else chunk
        length += len(part)
        if length > max_bytes or received > max_bytes:
            raise BodyTooLargeError(f"more than {max_bytes} bytes")
        hold(len(part))
        parts.append(part)
    if unpacker is not None and not unpacker.complete:
        raise BrokenBodyError("the compressed body ends early")
    return parts[0] if len(parts) == 1 else b"".join(parts)


class Unpacker:
    """Unpacks gzip or zlib, one member after the other: RFC 1952 allows several, and zeros may follow the last."""

    def __init__(self) -> None:
        self._member: zlib._Decompress | None = None
        self._members = 0

    @property
    def complete(self) -> bool:
        """Whether what came so far ends with a whole member."""
        return self._member is None and self._members > 0

    def unpacked(self, chunk: bytes, room: int) -> bytes:
        """Return what a chunk unpacks to. Raises BodyTooLargeError beyond `room` bytes, BrokenBodyError."""
        parts: list[bytes] = []
        while chunk := chunk.lstrip(b"\0") if self.complete else chunk:
            if self._member is None:
                self._member = zlib.decompressobj(GZIP_OR_ZLIB)
            try:
                part = self._member.decompress(chunk, room + 1)  # 0 would mean without bound
            except zlib.error as reason:
                raise BrokenBodyError(f"the body cannot be unpacked: {reason}") from None
            room -= len(part)
            if room < 0 or self._member.unconsumed_tail:
                raise BodyTooLargeError("more than there is room for")
            parts.append(part)
            chunk = self._member.unused_data
            if self._member.eof:
                self._member = None
                self._members += 1
        return b"".join(parts)


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
    return _token(secret.get_secret_value(), list_id).decode()


@lru_cache(maxsize=1_024)
def _token(secret: str, list_id: str) -> bytes:
    mac = hmac.new(secret.encode(), b"webhook:" + list_id.encode("utf-8", "surrogatepass"), hashlib.sha256)
    return base64.urlsafe_b64encode(mac.digest()[:24])


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
    given = token.encode("utf-8", "surrogatepass")
    matches = [hmac.compare_digest(_token(secret.get_secret_value(), list_id), given) for secret in secrets]
    return GenuinePost(list_id, len(parts) == 3) if any(matches) else None
