"""Records of one partition that are handed to the client by the thousand."""

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

from confluent_kafka import KafkaError, KafkaException, Producer

from connectors.kafka.publishing import PublishCall

BUSY_POLL_SECONDS = 0.001
"""Between two looks for delivery reports while records are in flight: half of it is what we add to the latency. Event
loops count in milliseconds: uvloop takes less than half of one for "at once", and would look without a pause."""
RECORDS_AT_A_STRETCH = 2_000
"""Handed over before the event loop may do something else: some 4 ms. Smaller is slower, larger delays others."""


class Block:
    """(key, value) of each record, in order. Reports are asked for of the last one, and of the first, `with_first`."""

    def __init__(
        self,
        call: PublishCall,
        topic: str,
        partition: int,
        records: Sequence[tuple[bytes | None, bytes | None]],
        *,
        with_first: bool,
    ) -> None:
        self._call = call
        self._topic = topic
        self._partition = partition
        self._records = records
        self._with_first = with_first

    async def hand_over(self, producer: Producer, before_send: Callable[[], None]) -> None:
        """Give them to the client; while its buffer is full, serve reports until there is room.

        Raises KafkaException when the client refuses one, or took some behind one that it did not take.
        """
        at, end = 0, len(self._records) - 1
        while at <= end:
            before_send()
            if at == end or (self._with_first and not at):
                stop = at + 1
                taken = self._one(producer, at)
            else:
                stop = min(at + RECORDS_AT_A_STRETCH, end)
                taken = self._many(producer, self._records[at:stop])
            at += taken
            if at < stop:
                producer.poll(0)
                await asyncio.sleep(BUSY_POLL_SECONDS)
            elif taken == RECORDS_AT_A_STRETCH:
                await asyncio.sleep(0)

    def _one(self, producer: Producer, at: int) -> int:
        key, value = self._records[at]
        is_last = at == len(self._records) - 1
        report = self._call.keep_position if is_last else self._call.keep_first
        try:
            producer.produce(self._topic, value, key, self._partition, report)
        except BufferError:
            return 0
        self._call.unreported += 1
        return 1

    def _many(self, producer: Producer, records: Sequence[tuple[bytes | None, bytes | None]]) -> int:
        messages: list[dict[str, Any]] = [{"key": key, "value": value} for key, value in records]
        try:
            if producer.produce_batch(self._topic, messages, self._partition) == len(messages):
                return len(messages)
        except BufferError:
            return 0
        failed = [at for at, message in enumerate(messages) if "_error" in message]
        error: KafkaError = messages[failed[0]]["_error"]
        if error.code() != KafkaError._QUEUE_FULL or len(messages) - failed[0] != len(failed):
            raise KafkaException(error)
        return failed[0]
