"""Topics `<input>.dlq`: what could not be used. Key and value stay as they came; headers say why and from where."""

from enum import StrEnum
from typing import NamedTuple

SUFFIX = ".dlq"

REASON = "dlq.reason"
"""One sentence that names the fault, with the field's path where there is one. No secrets, no stack."""
STAGE = "dlq.stage"
"""Where it was refused: decode, schema, identity, fold or delivery."""
TOPIC = "dlq.topic"
PARTITION = "dlq.partition"
OFFSET = "dlq.offset"
AT = "dlq.at"
"""When it was refused: RFC 3339, UTC."""


class Stage(StrEnum):
    """The step that refused a record."""

    DECODE = "decode"
    SCHEMA = "schema"
    IDENTITY = "identity"
    FOLD = "fold"
    DELIVERY = "delivery"


class Origin(NamedTuple):
    """Where a refused record stands."""

    topic: str
    partition: int
    offset: int


def headers(reason: str, stage: Stage, origin: Origin, at: str) -> list[tuple[str, bytes]]:
    """Return the headers of a dead letter; the record's own headers go before them, untouched."""
    return [
        (REASON, reason.encode()),
        (STAGE, stage.encode()),
        (TOPIC, origin.topic.encode()),
        (PARTITION, str(origin.partition).encode()),
        (OFFSET, str(origin.offset).encode()),
        (AT, at.encode()),
    ]
