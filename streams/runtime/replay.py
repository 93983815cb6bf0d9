"""Dead letters go back to the topics that they came from, once the cause is mended.

A replay is itself a consumer group: its committed offsets say what was sent again, in the same transaction as the
records, so that one that was broken off or run twice sends nothing twice.
"""

import asyncio
from collections.abc import Callable, Iterator
from typing import NamedTuple

from confluent_kafka import Consumer

from connectors.kafka.read_to_end import EndReader, MissingTopicError, ReadError, pages, reader_config
from connectors.kafka.records import ConsumedRecord, OutgoingRecord
from connectors.kafka.settings import KafkaSettings
from connectors.kafka.transaction import TransactionalPublisher
from schemas import dead_letter
from streams.runtime.dead_letter import LEFT_OUT, PREFIX

PAGE = 500
"""Records in one transaction."""
READ_SECONDS = 30.0


class ReplayError(RuntimeError):
    """Dead letters cannot be read; says which topic and why."""


class Letter(NamedTuple):
    """A dead letter with what its headers say; None or empty where they say nothing."""

    record: ConsumedRecord
    reason: str
    stage: str
    topic: str
    partition: int | None
    offset: int | None
    at: str
    left_out_bytes: int | None


class Replayed(NamedTuple):
    """What a replay did: records sent again, and those that could not be because their value was left out."""

    sent: int
    passed_over: int


def letter_of(record: ConsumedRecord) -> Letter:
    """Read a dead letter's headers (pure). The last of each name counts."""
    told = {name: (value or b"").decode(errors="replace") for name, value in record.headers}

    def number(name: str) -> int | None:
        text = told.get(name, "")
        return int(text) if text.isdecimal() else None

    return Letter(
        record,
        told.get(dead_letter.REASON, ""),
        told.get(dead_letter.STAGE, ""),
        told.get(dead_letter.TOPIC, ""),
        number(dead_letter.PARTITION),
        number(dead_letter.OFFSET),
        told.get(dead_letter.AT, ""),
        number(LEFT_OUT),
    )


def sent_again(letter: Letter, topic: str) -> OutgoingRecord | None:
    """Return the original record, for its topic (pure); None when its value is not here."""
    if letter.left_out_bytes is not None:
        return None
    own = [(name, value) for name, value in letter.record.headers if not name.startswith(PREFIX)]
    return OutgoingRecord(topic, letter.record.key, letter.record.value, own)


def replay_group(settings: KafkaSettings, topic: str) -> str:
    """Return the consumer group whose offsets say which dead letters of an input were sent again."""
    return f"{settings.client_id}-replay-{topic}"


def read_letters(settings: KafkaSettings, topic: str, *, waiting_only: bool = False) -> Iterator[Letter]:
    """Yield the dead letters of an input topic as they stand now, oldest first within each partition. Blocks.

    With `waiting_only` those that were replayed already are left out.

    Raises:
        ReplayError: there is no such dead-letter topic, or it was not read to its end in time.
    """
    consumer = _reader(settings, topic)
    try:
        for page in _pages(consumer, settings.names().dead_letters(topic), waiting_only):
            yield from map(letter_of, page)
    finally:
        consumer.close()


async def replay(
    settings: KafkaSettings, topic: str, *, progress: Callable[[int], None] = lambda _sent: None
) -> Replayed:
    """Send every dead letter of an input topic that was not replayed yet to that topic again, in order.

    Those that are refused again come back as new dead letters, and wait for another replay. Of two replays of one topic
    the later one goes on, the earlier one ends with FencedError.

    Raises:
        ReplayError, TransactionError: broken off; run it again, it goes on where it was.
    """
    name = settings.names().dead_letters(topic)
    sent = passed_over = 0
    # First the lock, then the look at what was sent already: nobody else can send between the two.
    async with TransactionalPublisher(settings, replay_group(settings, topic)) as publisher:
        consumer = _reader(settings, topic)
        try:
            pages = _pages(consumer, name, waiting_only=True)
            while page := await asyncio.to_thread(next, pages, None):
                records = [sent_again(letter_of(record), topic) for record in page]
                again = [record for record in records if record is not None]
                done = {record.partition: record.position for record in page}
                await publisher.publish(again, consumed=list(done.values()), group=consumer.consumer_group_metadata())
                sent += len(again)
                passed_over += len(records) - len(again)
                progress(sent)
        finally:
            await asyncio.to_thread(consumer.close)
    return Replayed(sent, passed_over)


def _reader(settings: KafkaSettings, topic: str) -> Consumer:
    """Return a consumer that reads by hand: it never joins the group, it only knows the group's offsets."""
    return Consumer(reader_config(settings, "dead-letters", replay_group(settings, topic)))


def _pages(consumer: Consumer, name: str, waiting_only: bool) -> Iterator[list[ConsumedRecord]]:
    """Yield what a dead-letter topic holds now, in pages; what comes meanwhile is left for another time."""
    reader = EndReader(consumer, silence_seconds=READ_SECONDS)
    try:
        parts = reader.partitions(name, unknown_seconds=0)
        reader.assign(parts, reader.committed(parts) if waiting_only else None)
        yield from pages(reader, PAGE)
    except MissingTopicError as failure:
        raise ReplayError(f"There is no dead-letter topic {name}: {failure}") from None
    except ReadError as failure:
        raise ReplayError(str(failure)) from None
