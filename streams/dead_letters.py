"""Dead letters, read and replayed once the cause is repaired. `streams.batches` writes them.

A replay is itself a consumer group. Its committed offsets are what was sent again, in the same transaction as the
records, so that a replay that was interrupted or run twice sends nothing twice.
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
from schemas.topics import TOPICS, TopicNames

PAGE = 500
"""Records in one transaction."""
READ_SECONDS = 30.0

LEFT_OUT = frozenset({dead_letter.LEFT_OUT_BYTES, dead_letter.LEFT_OUT_KEY_BYTES, dead_letter.LEFT_OUT_HEADERS})
"""Headers of letters that are not whole."""


class ReplayError(RuntimeError):
    """Dead letters cannot be read; the message names the topic and the reason."""


class Letter(NamedTuple):
    """A dead letter and its headers' values; None or empty where there is no such header."""

    record: ConsumedRecord
    reason: str
    stage: str
    topic: str
    partition: int | None
    offset: int | None
    at: str
    left_out_bytes: int | None
    """Size of the value, where it was too large to be kept."""
    whole: bool
    """Whether key, value and headers are all there, as they came."""


class Replayed(NamedTuple):
    """What a replay did: records sent again, and those passed over because they were too large to be kept whole."""

    sent: int
    passed_over: int


def letter_of(record: ConsumedRecord) -> Letter:
    """Read a dead letter's headers (pure). The last of each name counts."""
    stated = {name: (value or b"").decode(errors="replace") for name, value in record.headers}

    def number(name: str) -> int | None:
        text = stated.get(name, "")
        return int(text) if text.isdecimal() else None

    return Letter(
        record,
        stated.get(dead_letter.REASON, ""),
        stated.get(dead_letter.STAGE, ""),
        stated.get(dead_letter.TOPIC, ""),
        number(dead_letter.PARTITION),
        number(dead_letter.OFFSET),
        stated.get(dead_letter.AT, ""),
        number(dead_letter.LEFT_OUT_BYTES),
        stated.keys().isdisjoint(LEFT_OUT),
    )


def original(letter: Letter, topic: str) -> OutgoingRecord | None:
    """Return the record that was refused, for its topic (pure); None when the letter is not whole."""
    if not letter.whole:
        return None
    record = letter.record
    return OutgoingRecord(topic, record.key, record.value, dead_letter.own_headers(record.headers))


def replay_group(settings: KafkaSettings, topic: str) -> str:
    """Return the consumer group whose offsets record which dead letters of an input were sent again."""
    return f"{settings.client_id}-replay-{topic}"


def read_letters(settings: KafkaSettings, topic: str, *, waiting_only: bool = False) -> Iterator[Letter]:
    """Yield the dead letters of an input topic as they are now, oldest first within each partition. Blocks.

    With `waiting_only` those that were replayed already are left out.

    Raises:
        ReplayError: there is no such dead-letter topic, or it was not read to its end in time.
    """
    consumer = _reader(settings, topic)
    try:
        for page in _pages(consumer, settings.names(), topic, waiting_only):
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
    sent = passed_over = 0
    # First the lock, then the look at what was sent already: nobody else can send between the two.
    async with TransactionalPublisher(settings, replay_group(settings, topic)) as publisher:
        consumer = _reader(settings, topic)
        try:
            pages = _pages(consumer, settings.names(), topic, waiting_only=True)
            while page := await asyncio.to_thread(next, pages, None):
                records = [original(letter_of(record), topic) for record in page]
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


def _pages(consumer: Consumer, names: TopicNames, topic: str, waiting_only: bool) -> Iterator[list[ConsumedRecord]]:
    """Yield what a dead-letter topic holds now, in pages; what comes meanwhile is left for another time."""
    reader = EndReader(consumer, silence_seconds=READ_SECONDS)
    name = names.dead_letters(topic)
    try:
        parts = reader.partitions(name, unknown_seconds=0)
        reader.assign(parts, reader.committed(parts) if waiting_only else None)
        yield from pages(reader, PAGE)
    except MissingTopicError:
        raise ReplayError(f"There is no dead-letter topic {name}; {_advice(names, topic)}") from None
    except ReadError as failure:
        raise ReplayError(str(failure)) from None


def _advice(names: TopicNames, topic: str) -> str:
    """Return what to do about a dead-letter topic that is not there."""
    inputs = [names[role] for role in TOPICS if role + dead_letter.SUFFIX in TOPICS]
    if topic in inputs:
        return "create it with `cm-streams check-topics --create`"
    return f"dead letters are kept of: {', '.join(inputs)}, and of the streams that added mappings read"
