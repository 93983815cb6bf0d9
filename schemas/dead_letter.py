"""Topics `<input>.dlq`: what could not be used. Key and value stay as they came; headers hold reason and position.

`letter` is the one way to make such a record. It never exceeds the size that it is given, whatever came in: a dead
letter that the brokers refuse would stop its input for ever.
"""

import hashlib
from collections.abc import Sequence
from enum import StrEnum
from typing import NamedTuple

SUFFIX = ".dlq"

PREFIX = "dlq."
"""Every header of ours; a record that was replayed and refused again sheds the old ones."""

REASON = "dlq.reason"
"""One sentence that names the fault, with the field's path where there is one. No secrets, no stack."""
STAGE = "dlq.stage"
"""Where it was refused: decode, schema, identity, fold or delivery."""
TOPIC = "dlq.topic"
PARTITION = "dlq.partition"
OFFSET = "dlq.offset"
AT = "dlq.at"
"""When it was refused: RFC 3339, UTC."""
FIRST = "dlq.first"
"""`partition:offset` of the first letter, in a record that was replayed and in the letter that it became again."""
TIMES = "dlq.times"
"""How often the record was refused, there as well: a letter without it is the first."""
LEFT_OUT_BYTES = "dlq.left_out_bytes"
"""Size of a value that was left out. The original is at dlq.topic, dlq.partition, dlq.offset while that is retained."""
LEFT_OUT_SHA256 = "dlq.left_out_sha256"
"""SHA-256 of the value that was left out, hexadecimal: finds it again in another copy of the input."""
LEFT_OUT_KEY_BYTES = "dlq.left_out_key_bytes"
"""Size of a key that was left out."""
LEFT_OUT_HEADERS = "dlq.left_out_headers"
"""How many headers of the record were left out: all that it had."""

REASON_BYTES = 1_000
"""A reason quotes the record's fault, and must not grow with the record."""
TOPIC_BYTES = 300
"""Kafka's own limit for a topic's name is 249; a webhook's origin is as short."""

RECORD_OVERHEAD = 128
"""Of a record that is alone in its batch: 61 bytes for the batch, up to 36 for lengths, times and counts."""
HEADER_OVERHEAD = 10
"""Of each header: two lengths of up to five bytes. Both are bounds: clients and brokers count the same or less."""
MIN_BYTES = 4_096
"""Our own headers always fit into this; nothing smaller can bound a letter."""


class Stage(StrEnum):
    """The step that refused a record."""

    DECODE = "decode"
    SCHEMA = "schema"
    IDENTITY = "identity"
    FOLD = "fold"
    DELIVERY = "delivery"


class Origin(NamedTuple):
    """Where a refused record is."""

    topic: str
    partition: int
    offset: int


LetterHeaders = Sequence[tuple[str, bytes | None]]


class DeadLetterRecord(NamedTuple):
    """What to write to the dead-letter topic. The record's own headers come first, then ours."""

    key: bytes | None
    value: bytes | None
    headers: LetterHeaders


def letter(
    record_key: bytes | None,
    record_value: bytes | None,
    record_headers: LetterHeaders,
    *,
    reason: str,
    stage: Stage,
    origin: Origin,
    at: str,
    max_bytes: int,
) -> DeadLetterRecord:
    """Return the record that keeps a refused one, in at most `max_bytes` as `wire_bytes` counts them.

    Where the whole record does not fit, its largest part is left out (value, headers or key), and the next largest,
    until the rest fits; headers name what is missing. What an earlier refusal wrote is replaced.

    Raises:
        ValueError: `max_bytes` is less than MIN_BYTES.
    """
    if max_bytes < MIN_BYTES:
        raise ValueError(f"a dead letter cannot be bounded by {max_bytes} bytes; {MIN_BYTES} is the least")
    own = own_headers(record_headers)
    about = [*_about(reason, stage, origin, at), *_returned(record_headers)]
    key, value = record_key, record_value
    while wire_bytes(key, value, [*own, *about]) > max_bytes:
        sizes = len(value or b""), _headers_bytes(own), len(key or b"")
        if sizes[0] == max(sizes):
            about += [(LEFT_OUT_BYTES, b"%d" % sizes[0]), (LEFT_OUT_SHA256, _digest(value or b""))]
            value = None
        elif sizes[1] == max(sizes):
            about.append((LEFT_OUT_HEADERS, b"%d" % len(own)))
            own = []
        else:
            about.append((LEFT_OUT_KEY_BYTES, b"%d" % sizes[2]))
            key = None
    return DeadLetterRecord(key, value, [*own, *about])


def wire_bytes(key: bytes | None, value: bytes | None, headers: LetterHeaders) -> int:
    """Return what a record takes of `message.max.bytes` and `max.message.bytes` at most, uncompressed."""
    return RECORD_OVERHEAD + len(key or b"") + len(value or b"") + _headers_bytes(headers)


def stage_of(name: str) -> Stage:
    """Return the stage as the contract knows it; what the batch runtime adds are faults of folding and identity."""
    if name == "partitioning":
        return Stage.IDENTITY
    try:
        return Stage(name)
    except ValueError:
        return Stage.FOLD


def own_headers(headers: LetterHeaders) -> LetterHeaders:
    """Return a dead letter's headers without ours: those of the record that was refused."""
    return [(name, value) for name, value in headers if not name.startswith(PREFIX)]


def _about(reason: str, stage: Stage, origin: Origin, at: str) -> list[tuple[str, bytes | None]]:
    return [
        (REASON, _cut(reason, REASON_BYTES)),
        (STAGE, stage.encode()),
        (TOPIC, _cut(origin.topic, TOPIC_BYTES)),
        (PARTITION, b"%d" % origin.partition),
        (OFFSET, b"%d" % origin.offset),
        (AT, _cut(at, 64)),
    ]


def replayed(headers: LetterHeaders, first: str, times: int) -> LetterHeaders:
    """Return the headers of a record that is replayed: should it be refused again, it is known as the same letter."""
    return [*own_headers(headers), (FIRST, first.encode()), (TIMES, b"%d" % times)]


def _returned(headers: LetterHeaders) -> list[tuple[str, bytes | None]]:
    """Return the headers of a letter that a replayed record becomes again; none for others."""
    stated = {name: value or b"" for name, value in headers if name in (FIRST, TIMES)}
    if not stated.get(FIRST) or not stated.get(TIMES, b"").isdigit():
        return []
    return [(FIRST, stated[FIRST][:64]), (TIMES, b"%d" % (int(stated[TIMES][:9]) + 1))]


def _cut(text: str, max_bytes: int) -> bytes:
    """Return the text in UTF-8, cut between characters; what has no UTF-8 bytes (lone surrogates) becomes `?`."""
    return text.encode("utf-8", "replace")[:max_bytes].decode(errors="ignore").encode()


def _headers_bytes(headers: LetterHeaders) -> int:
    return sum(HEADER_OVERHEAD + len(name.encode("utf-8", "replace")) + len(value or b"") for name, value in headers)


def _digest(value: bytes) -> bytes:
    return hashlib.sha256(value).hexdigest().encode()
