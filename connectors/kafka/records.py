"""What our clients take and return: a record to publish, a record that was read, a position in a topic."""

import asyncio
from collections.abc import Callable, Sequence
from typing import NamedTuple

from confluent_kafka import KafkaError, Message

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


class PublishCall:
    """One call of the producer on its way; `future` is done when every record is with the client and answered.

    `unreported` counts records in flight, and one more while records are still handed over. Everything happens in the
    event loop: reports are served by it, so nothing here needs a lock.
    """

    __slots__ = ("by_client", "error", "failed", "future", "on_end", "position", "topic", "unreported")

    def __init__(self, on_end: Callable[[], None]) -> None:
        self.future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.on_end = on_end
        self.unreported = 1
        self.failed = 0
        self.error: KafkaError | None = None
        self.topic = ""
        self.by_client = False
        """The client refused the record by itself: no broker has seen it."""
        self.position: Position | None = None

    def count_report(self, error: KafkaError | None, message: Message) -> None:
        """Take the report of one of many records. Called for each, so it does the least that it can."""
        if error is not None:
            self.record_failure(error, message.topic())
        self.unreported -= 1
        if not self.unreported:
            self._end()

    def keep_position(self, error: KafkaError | None, message: Message) -> None:
        """Take the report of the only record, or of the last of one partition, and keep its position."""
        if error is None:
            self.position = Position(message.topic(), message.partition(), message.offset())
        self.count_report(error, message)

    def record_failure(self, error: KafkaError, topic: str, *, by_client: bool = False) -> None:
        """Remember that a record was not taken: the first reason, unless a later one cannot be helped by a retry."""
        self.failed += 1
        hopeless = error.fatal() or by_client
        known = self.error is not None and (self.by_client or self.error.fatal())
        if self.error is None or (hopeless and not known):
            self.error, self.topic, self.by_client = error, topic, by_client

    def all_handed_over(self) -> None:
        """All records are with the client: from here on only reports are waited for."""
        self.unreported -= 1
        if not self.unreported:
            self._end()

    def _end(self) -> None:
        self.on_end()
        if not self.future.done():  # else nobody waits any more
            self.future.set_result(None)
