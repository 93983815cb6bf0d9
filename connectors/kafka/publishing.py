"""One call of the producer: its records on their way, and how it ends.

PublishError              the brokers did not take a record in time, or refused it
+-- RecordTooLargeError   it exceeds what this producer may send; sending it again would not help
+-- FatalProducerError    the client cannot go on: make another producer, or end the process
"""

import asyncio
from collections.abc import Callable

from confluent_kafka import KafkaError, Message

from connectors.kafka.records import Position


class PublishError(RuntimeError):
    """The brokers did not take a record; nothing may be settled that depends on it.

    `failed` records of a call were refused; the first reason is in the text and in `reason` (Kafka's error name).
    """

    def __init__(self, topic: str, reason: str, detail: str, failed: int = 1) -> None:
        super().__init__(f"{failed} record{'s' if failed > 1 else ''} for {topic} not published: {reason} ({detail})")
        self.topic = topic
        self.reason = reason
        self.detail = detail
        self.failed = failed


class RecordTooLargeError(PublishError):
    """A record exceeds the producer's own limit (KAFKA_MAX_MESSAGE_BYTES and room for a dead letter).

    What a topic's smaller limit refuses is a plain PublishError: that limit can be raised meanwhile.
    """


class FatalProducerError(PublishError):
    """The client cannot go on, whatever is published next."""


class PublishCall:
    """One call of the producer on its way; `future` is done when every record is with the client and answered.

    `unreported` counts records in flight, and one more while records are still handed over. Everything happens in the
    event loop: reports are served by it, so nothing here needs a lock.
    """

    __slots__ = ("by_client", "error", "failed", "first", "future", "on_end", "position", "topic", "unreported")

    def __init__(self, on_end: Callable[[], None]) -> None:
        self.future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.on_end = on_end
        self.unreported = 1
        self.failed = 0
        self.error: KafkaError | None = None
        self.topic = ""
        self.by_client = False
        """The client refused the record by itself: no broker has seen it."""
        self.first: Position | None = None
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

    def keep_first(self, error: KafkaError | None, message: Message) -> None:
        """Take the report of the first of several records of one partition, and keep its position."""
        if error is None:
            self.first = Position(message.topic(), message.partition(), message.offset())
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

    async def all_taken(self) -> None:
        """Wait until every record of the call is answered. Raises PublishError when some were not taken."""
        await self.future
        error = self.error
        if error is None:
            return
        kind = PublishError
        if error.fatal():
            kind = FatalProducerError
        elif self.by_client and error.code() == KafkaError.MSG_SIZE_TOO_LARGE:
            kind = RecordTooLargeError
        raise kind(self.topic, error.name(), error.str(), self.failed)

    async def last_position(self) -> Position:
        """Return the position that was kept. Raises PublishError."""
        await self.all_taken()
        if self.position is None:
            raise RuntimeError("a delivery report without a position")
        return self.position
