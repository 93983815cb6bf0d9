"""How many dead letters wait, kept up to date: each reading reads what is new, and asks what was done with.

A partition is counted from its beginning again where letters of it were replayed, discarded, or have expired.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from confluent_kafka import Consumer

from connectors.kafka.lag import Bounds
from connectors.kafka.read_to_end import EndReader, ReadError, TopicAndPartition, pages
from connectors.kafka.settings import KafkaSettings
from streams.control.letters import LetterCount, input_topics
from streams.dead_letters.letters import DoneWith, Letter, ReplayError, letter_of
from streams.dead_letters.replays import READ_SECONDS, done_with, letters_reader

PAGE = 2_000


@dataclass(slots=True)
class WaitingOf:
    """The letters of one partition that wait, counted up to an offset. Pure."""

    done: DoneWith
    next: int
    first: int | None = None
    """Offset of the first of them."""
    letters: Counter[tuple[str, str]] = field(default_factory=Counter)
    """By stage and reason."""
    times: Counter[tuple[str, str]] = field(default_factory=Counter)
    last_at: dict[tuple[str, str], str] = field(default_factory=dict)

    def is_current(self, done: DoneWith, start: int, end: int) -> bool:
        """Return whether what was counted still waits, and more may be added to it."""
        return self.done == done and self.next <= end and (self.first is None or start <= self.first)

    def add(self, letter: Letter) -> None:
        """Count a letter, if it waits."""
        offset, group = letter.record.offset, (letter.stage, letter.reason)
        self.next = offset + 1
        if not self.done.has(offset):
            self.first = offset if self.first is None else self.first
            self.letters[group] += 1
            self.times[group] += letter.times
            self.last_at[group] = max(letter.at, self.last_at.get(group, ""))


def added(topic: str, partitions: Iterable[WaitingOf]) -> list[LetterCount]:
    """Return the counts of a topic by stage and reason (pure)."""
    letters: Counter[tuple[str, str]] = Counter()
    times: Counter[tuple[str, str]] = Counter()
    last_at: dict[tuple[str, str], str] = {}
    for waiting in partitions:
        letters.update(waiting.letters)
        times.update(waiting.times)
        for group, at in waiting.last_at.items():
            last_at[group] = max(at, last_at.get(group, ""))
    return [LetterCount(topic, *group, letters[group], times[group], last_at[group]) for group in sorted(letters)]


class WaitingLetters:
    """Counts of all inputs' dead-letter topics. Keeps its connections; every call blocks."""

    def __init__(self, kafka: KafkaSettings) -> None:
        self._kafka = kafka
        self.topics = {topic: kafka.names().dead_letters(topic) for topic in input_topics(kafka)}
        """Input topic -> its dead-letter topic."""
        self._consumers: dict[str, Consumer] = {}
        self._waiting: dict[TopicAndPartition, WaitingOf] = {}

    def read(self, bounds: Bounds) -> list[LetterCount]:
        """Return what waits, the most first. `bounds`: of the dead-letter topics. Raises ReplayError."""
        found = []
        for topic, name in self.topics.items():
            parts = {part: ends for part, ends in bounds.items() if part.topic == name}
            self._follow(topic, parts)
            found += added(topic, (self._waiting[part] for part in parts))
        return sorted(found, key=lambda group: (-group.letters, group))

    def close(self) -> None:
        """End the connections."""
        while self._consumers:
            self._consumers.popitem()[1].close()

    def _follow(self, topic: str, parts: Mapping[TopicAndPartition, tuple[int, int]]) -> None:
        if not any(start < end for start, end in parts.values()):
            self._waiting |= {part: WaitingOf(DoneWith(), end) for part, (_start, end) in parts.items()}
            return  # nothing to read, and nothing that was done with
        if topic not in self._consumers:
            self._consumers[topic] = letters_reader(self._kafka, topic)
        consumer = self._consumers[topic]
        for part, done in done_with(consumer, list(parts)).items():
            start, end = parts[part]
            known = self._waiting.get(part)
            if known is None or not known.is_current(done, start, end):
                self._waiting[part] = WaitingOf(done, min(max(start, done.before), end))
        new = [part for part, (_start, end) in parts.items() if self._waiting[part].next < end]
        if not new:
            return
        reader = EndReader(consumer, silence_seconds=READ_SECONDS)
        try:
            starts = {part: self._waiting[part].next for part in new}
            reader.assign(new, starts, {part: parts[part][1] for part in new})
            for page in pages(reader, PAGE):
                for record in page:
                    self._waiting[TopicAndPartition(record.topic, record.partition)].add(letter_of(record))
        except ReadError as failure:
            raise ReplayError(str(failure)) from None
        finally:
            consumer.unassign()
        for part in new:
            self._waiting[part].next = parts[part][1]  # behind the last letter there may be markers
