"""The process's one producer, made from the settings of an app; its errors are the runtime's."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager

from connectors.kafka.producer import AsyncProducer
from connectors.kafka.publishing import FatalProducerError, PublishError, RecordTooLargeError
from connectors.kafka.records import Headers, Position, RecordFields
from streams.batches.core import killpoints
from streams.batches.core.errors import ExitCode, FatalError, NotDelivered
from streams.batches.core.halt import halt
from streams.batches.core.settings import BatchSettings

_TOO_LATE = frozenset({"INVALID_TIMESTAMP", "INVALID_RECORD"})
"""What a row older than `oldest_write_seconds` gets; the second for those in one batch with it."""


class Producer(AsyncProducer):
    """The producer of connectors.kafka with the runtime's errors: NotDelivered (try again), FatalError (the end)."""

    def __init__(self, settings: BatchSettings, *, before_send: Callable[[], None] = lambda: None) -> None:
        """`before_send` is called before records are handed over; it may end the process (pause.py)."""
        config = {
            "linger.ms": settings.linger_milliseconds,
            "message.timeout.ms": int(settings.message_timeout_seconds * 1000),
            "message.max.bytes": settings.max_message_bytes,
            "queue.buffering.max.messages": 1_000_000,
            "queue.buffering.max.kbytes": settings.producer_buffer_bytes // 1024,
            **settings.producer_options,
        }
        super().__init__(
            settings.kafka,
            settings.app_id,
            config,
            before_send=before_send,
            rows_handed_over=lambda: killpoints.reached("inside-changelog"),
            on_fatal=lambda reason: halt(ExitCode.FATAL, f"the producer cannot go on: {reason}"),
        )

    async def publish(
        self,
        topic: str,
        key: bytes | None,
        value: bytes | None,
        headers: Headers | None = None,
        partition: int | None = None,
    ) -> Position:
        """Write one record; its position once the broker has it. Raises NotDelivered, or FatalError."""
        with _errors_of_the_runtime():
            return await super().publish(topic, key, value, headers, partition)

    async def publish_many(self, records: Iterable[RecordFields]) -> int:
        """Write many, wait for all; their number. Raises NotDelivered when any is not acknowledged, or FatalError."""
        with _errors_of_the_runtime():
            return await super().publish_many(records)

    async def publish_all(self, outputs: Sequence[RecordFields]) -> None:
        """Write many, wait for all. Raises NotDelivered when any of them is not acknowledged, or FatalError."""
        if outputs:
            await self.publish_many(outputs)

    async def publish_rows(
        self,
        topic: str,
        partition: int,
        rows: Sequence[tuple[bytes, bytes | None, Headers | None]],
        *,
        next_offset: int | None = None,
    ) -> int:
        """Write rows to one partition; the last one's offset. Raises NotDelivered, or FatalError.

        NotDelivered when they are not at `next_offset`, because one was refused or another producer wrote;
        write again, with `next_offset` None.
        """
        with _errors_of_the_runtime():
            return await super().publish_rows(topic, partition, rows, next_offset=next_offset)

    async def publish_block(
        self,
        topic: str,
        partition: int,
        records: Sequence[tuple[bytes | None, bytes | None]],
        *,
        next_offset: int | None = None,
        are_rows: bool = False,
    ) -> int:
        """Write many without headers to one partition that nobody else writes to; the last one's offset.

        Raises NotDelivered, or FatalError. NotDelivered also when they are not at `next_offset`, or not one behind the
        other; write again, with `next_offset` None.
        """
        with _errors_of_the_runtime():
            return await super().publish_block(topic, partition, records, next_offset=next_offset, are_rows=are_rows)


@contextmanager
def _errors_of_the_runtime() -> Iterator[None]:
    try:
        yield
    except RecordTooLargeError as error:
        raise FatalError(f"a record for {error.topic} exceeds max_record_bytes: {error.detail}") from error
    except FatalProducerError as error:
        raise FatalError(f"the producer cannot go on: {error.detail}") from error
    except PublishError as error:
        why = " (rows waited too long, or the broker's clock is ahead)" if error.reason in _TOO_LATE else ""
        raise NotDelivered(f"{error}{why}") from error
