"""What our clients take and return: a record to publish, a record that was read, a position in a topic."""

from collections.abc import Sequence
from typing import NamedTuple

Headers = Sequence[tuple[str, bytes | None]]

RecordFields = tuple[str, bytes | None, bytes | None, Headers | None, int | None]
"""What every record to publish is: topic, key, value, headers, partition."""


class Position(NamedTuple):
    """Where a record is."""

    topic: str
    partition: int
    offset: int


class OutgoingRecord(NamedTuple):
    """A record to publish. Without a value it is a tombstone; without a partition the key chooses it (murmur2)."""

    topic: str
    key: bytes | None
    value: bytes | None
    headers: Headers | None = None
    partition: int | None = None


class ConsumedRecord(NamedTuple):
    """A committed record as it was read."""

    topic: str
    partition: int
    offset: int
    key: bytes | None
    value: bytes | None
    headers: Headers = ()
    timestamp_ms: int = -1

    @property
    def position(self) -> Position:
        """Where the record is."""
        return Position(self.topic, self.partition, self.offset)
