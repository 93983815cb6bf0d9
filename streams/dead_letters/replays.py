"""Dead letters, read, replayed once the cause is repaired, or discarded. `streams.batches` writes them.

What is done with is recorded as a consumer group's offsets: up to where all letters of a partition are done with, and,
in the note of the offset, which later ones are. Both are committed in the transaction of the records that are sent
again, so that a replay that was interrupted or run twice sends nothing twice. A record that is refused again becomes a
letter that names the first one: the two are shown as one, with a count.
"""

import asyncio
from collections.abc import Callable, Iterator, Mapping
from typing import NamedTuple

from confluent_kafka import Consumer, KafkaException, TopicPartition

from connectors.kafka.read_to_end import (
    EndReader,
    MissingTopicError,
    ReadError,
    TopicAndPartition,
    pages,
    reader_config,
)
from connectors.kafka.records import ConsumedRecord, OutgoingRecord, Position
from connectors.kafka.settings import KafkaSettings
from connectors.kafka.transaction import TransactionalPublisher
from schemas import dead_letter
from schemas.topics import TOPICS, TopicNames
from streams.dead_letters.letters import (
    Choice,
    DoneWith,
    Letter,
    NoDeadLettersError,
    ReplayError,
    every,
    letter_of,
    note_of,
    original,
    read_note,
)

PAGE = 500
"""Records in one transaction."""
READ_SECONDS = 30.0


class Replayed(NamedTuple):
    """What a replay did: records sent again, and those passed over because they were too large to be kept whole."""

    sent: int
    passed_over: int


def replay_group(settings: KafkaSettings, topic: str) -> str:
    """Return the consumer group whose offsets record which dead letters of an input were sent again."""
    return f"{settings.client_id}-replay-{topic}"


def read_letters(settings: KafkaSettings, topic: str, *, waiting_only: bool = False) -> Iterator[Letter]:
    """Yield the dead letters of an input topic as they are now, oldest first within each partition. Blocks.

    Of a record that was refused several times only the last letter. With `waiting_only` those that were replayed or
    discarded are left out.

    Raises:
        ReplayError: there is no such dead-letter topic, or it was not read to its end in time.
    """
    consumer = letters_reader(settings, topic)
    try:
        last: dict[str, int] = {}
        if not waiting_only:  # what waits was not replayed since
            for letter in _letters(consumer, settings.names(), topic, waiting_only=False):
                if letter.times > 1:
                    last[letter.first] = max(letter.times, last.get(letter.first, 1))
        for letter in _letters(consumer, settings.names(), topic, waiting_only):
            if letter.times >= last.get(letter.first, 1):
                yield letter
    finally:
        consumer.close()


async def replay(
    settings: KafkaSettings,
    topic: str,
    chosen: Choice = every,
    *,
    progress: Callable[[int], None] = lambda _sent: None,
) -> Replayed:
    """Send the chosen dead letters of an input topic that wait to that topic again, in order.

    Those that are refused again come back as new dead letters, and wait for another replay. Of two replays of one topic
    the later one goes on, the earlier one ends with FencedError.

    Raises:
        ReplayError, TransactionError: broken off; run it again, it goes on where it was.
    """
    sent = passed_over = 0

    def sent_again(letters: list[Letter]) -> list[OutgoingRecord]:
        nonlocal sent, passed_over
        records = [original(letter, topic, settings.max_message_bytes) for letter in letters]
        again = [record for record in records if record is not None]
        sent += len(again)
        passed_over += len(records) - len(again)
        return again

    await _be_done_with(settings, topic, chosen, sent_again, lambda: progress(sent))
    return Replayed(sent, passed_over)


async def discard(settings: KafkaSettings, topic: str, chosen: Choice) -> int:
    """Be done with the chosen dead letters without sending them; return how many. Raises as `replay`."""
    count = 0

    def nothing(letters: list[Letter]) -> list[OutgoingRecord]:
        nonlocal count
        count += len(letters)
        return []

    await _be_done_with(settings, topic, chosen, nothing, lambda: None)
    return count


async def _be_done_with(
    settings: KafkaSettings,
    topic: str,
    chosen: Choice,
    outgoing: Callable[[list[Letter]], list[OutgoingRecord]],
    page_done: Callable[[], None],
) -> None:
    """Publish what is `outgoing` of the chosen letters that wait, a page in each transaction, and record them."""
    # First the lock, then the look at what was sent already: nobody else can send between the two.
    async with TransactionalPublisher(settings, replay_group(settings, topic)) as publisher:
        consumer = letters_reader(settings, topic)
        try:
            parts = await asyncio.to_thread(_parts, consumer, settings.names(), topic)
            done = await asyncio.to_thread(done_with, consumer, parts)
            starts = {part: found.before for part, found in done.items()}
            found = _pages(consumer, parts, starts)
            left: dict[TopicAndPartition, int] = {}
            behind = {part: set(found.also) for part, found in done.items()}
            while page := await asyncio.to_thread(next, found, None):
                waiting = [record for record in page if not done[_part(record)].has(record.offset)]
                letters = [letter for letter in map(letter_of, waiting) if chosen(letter)]
                handled = {letter.record.position for letter in letters}
                for record in waiting:
                    if record.position in handled:
                        behind[_part(record)].add(record.offset)
                    else:
                        left.setdefault(_part(record), record.offset)
                notes = {}
                for part, last in {_part(record): record.offset for record in page}.items():
                    before = left.get(part, last + 1)
                    notes[Position(*part, before - 1)] = note_of(at for at in behind[part] if at >= before)
                records = outgoing(letters)
                if letters:
                    group = consumer.consumer_group_metadata()
                    await publisher.publish(records, consumed=list(notes), group=group, notes=notes)
                    page_done()
        finally:
            await asyncio.to_thread(consumer.close)


def _part(record: ConsumedRecord) -> TopicAndPartition:
    return TopicAndPartition(record.topic, record.partition)


def letters_reader(settings: KafkaSettings, topic: str) -> Consumer:
    """Return a consumer that reads by hand: it never joins the group, it only knows the group's offsets."""
    return Consumer(reader_config(settings, "dead-letters", replay_group(settings, topic)))


def _letters(consumer: Consumer, names: TopicNames, topic: str, waiting_only: bool) -> Iterator[Letter]:
    parts = _parts(consumer, names, topic)
    done = done_with(consumer, parts) if waiting_only else dict.fromkeys(parts, DoneWith())
    starts = {part: found.before for part, found in done.items()}
    for page in _pages(consumer, parts, starts):
        yield from (letter_of(record) for record in page if not done[_part(record)].has(record.offset))


def _parts(consumer: Consumer, names: TopicNames, topic: str) -> list[TopicAndPartition]:
    """Return the partitions of an input's dead-letter topic. Raises NoDeadLettersError, ReplayError."""
    name = names.dead_letters(topic)
    try:
        return EndReader(consumer).partitions(name, unknown_seconds=0)
    except MissingTopicError:
        raise NoDeadLettersError(f"There is no dead-letter topic {name}; {_advice(names, topic)}") from None
    except ReadError as failure:
        raise ReplayError(str(failure)) from None


def done_with(consumer: Consumer, parts: list[TopicAndPartition]) -> dict[TopicAndPartition, DoneWith]:
    """Return what the group has recorded for each partition. Raises ReplayError."""
    try:
        committed = consumer.committed([TopicPartition(*part) for part in parts], READ_SECONDS)
    except KafkaException as failure:
        raise ReplayError(f"What was replayed before cannot be read: {failure.args[0].str()}") from None
    return {
        TopicAndPartition(at.topic, at.partition): DoneWith(max(at.offset, 0), read_note(at.metadata or ""))
        for at in committed
    }


def _pages(
    consumer: Consumer, parts: list[TopicAndPartition], starts: Mapping[TopicAndPartition, int]
) -> Iterator[list[ConsumedRecord]]:
    """Yield what dead-letter partitions hold now, in pages; what comes meanwhile is left for another time."""
    reader = EndReader(consumer, silence_seconds=READ_SECONDS)
    try:
        reader.assign(parts, starts)
        yield from pages(reader, PAGE)
    except ReadError as failure:
        raise ReplayError(str(failure)) from None


def _advice(names: TopicNames, topic: str) -> str:
    """Return what to do about a dead-letter topic that is not there."""
    inputs = [names[role] for role in TOPICS if role + dead_letter.SUFFIX in TOPICS]
    if topic in inputs:
        return "create it with `cm-streams check-topics --create`"
    return f"dead letters are kept of: {', '.join(inputs)}, and of the streams that added mappings read"
