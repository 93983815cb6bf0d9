"""Reading a post's body within bounds: neither a long body nor one that unpacks into a long one takes memory."""

import zlib
from collections.abc import AsyncIterator

GZIP_OR_ZLIB = 32 + zlib.MAX_WBITS
"""zlib finds out itself which of the two headers there is."""


class TooLargeError(ValueError):
    """The body is longer than is accepted, as it came or unpacked."""


class BrokenBodyError(ValueError):
    """The body cannot be unpacked, or ended early."""


async def read_body(chunks: AsyncIterator[bytes], encoding: str, most_bytes: int) -> bytes:
    """Return the body, unpacked. Raises TooLargeError at the first byte too many, BrokenBodyError."""
    unpacker = zlib.decompressobj(GZIP_OR_ZLIB) if encoding.strip().lower() in ("gzip", "deflate") else None
    parts: list[bytes] = []
    length = 0
    async for chunk in chunks:
        part = _unpacked(unpacker, chunk, most_bytes - length) if unpacker else chunk
        length += len(part)
        if length > most_bytes or (unpacker is not None and unpacker.unconsumed_tail):
            raise TooLargeError(f"more than {most_bytes} bytes")
        parts.append(part)
    if unpacker is not None and not unpacker.eof:
        raise BrokenBodyError("the compressed body ends early")
    return b"".join(parts)


def _unpacked(unpacker: "zlib._Decompress", chunk: bytes, room: int) -> bytes:
    try:
        return unpacker.decompress(chunk, room + 1)  # 0 would mean without bound
    except zlib.error as reason:
        raise BrokenBodyError(f"the body cannot be unpacked: {reason}") from None
