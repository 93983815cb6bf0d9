"""Dead letters as people ask for them: counted, found by topic, place, reason, stage and text, and one as JSON."""

import re
from collections.abc import Collection, Iterable, Iterator
from itertools import islice
from typing import TYPE_CHECKING, Any, NamedTuple

import orjson

from connectors.kafka.settings import KafkaSettings
from schemas.control import ChangedField
from schemas.dead_letter import PREFIX, SUFFIX
from schemas.topics import TOPICS
from streams.dead_letters.letters import Choice, Letter, every
from streams.dead_letters.replays import Replayed, discard, read_letters, replay

if TYPE_CHECKING:
    from connectors.control.audit import AuditLog

MAX_WHY = 200
"""Characters of the reason for a discard: it is one line of the log."""
_ADDRESS = re.compile(r"\S*@\S*")


class LetterCount(NamedTuple):
    """How many letters of a topic were refused at one stage for one reason."""

    topic: str
    stage: str
    reason: str
    letters: int
    times: int
    """How often their records were refused."""
    last_at: str


class FoundLetters(NamedTuple):
    """Some of the letters that were chosen, and how many there are."""

    letters: list[Letter]
    total: int


class PlaceError(ValueError):
    """A letter is not named as PARTITION:OFFSET; the message is the sentence."""


def input_topics(kafka: KafkaSettings) -> list[str]:
    """Return the names of our topics that have dead letters."""
    return [kafka.names()[role] for role in TOPICS if role + SUFFIX in TOPICS]


def topic_named(kafka: KafkaSettings, text: str) -> str:
    """Return a topic's name; a role is resolved to the name in use."""
    return kafka.names()[text] if text in TOPICS else text


def choice(
    places: Collection[str] = (), reason: str | None = None, stage: str | None = None, text: str | None = None
) -> Choice:
    """Return what chooses letters; what is not given chooses all. `text` is looked for in key, value and reason.

    Raises PlaceError.
    """
    for place in places:
        partition, colon, offset = place.partition(":")
        if not (colon and partition.isdecimal() and offset.isdecimal()):
            raise PlaceError(f'"{place}" is not PARTITION:OFFSET, as `dead-letters list` shows it')
    wanted = frozenset(places)
    sought = (text or "").encode()
    return lambda letter: (
        (not wanted or letter.place in wanted)
        and (reason is None or reason in letter.reason)
        and (stage is None or stage == letter.stage)
        and (not sought or any(sought in part for part in _parts(letter)))
    )


def chosen_letters(kafka: KafkaSettings, topic: str, chosen: Choice = every, *, done: bool = False) -> Iterator[Letter]:
    """Yield the chosen letters of an input topic that wait; with `done` also those that do not. Blocks.

    Raises ReplayError.
    """
    return filter(chosen, read_letters(kafka, topic, waiting_only=not done))


def found_letters(
    kafka: KafkaSettings, topic: str, chosen: Choice, first: int, count: int, *, done: bool
) -> FoundLetters:
    """Return `count` of the chosen letters from the `first` on (0: the oldest), and the number of all. Blocks.

    Raises ReplayError.
    """
    found = chosen_letters(kafka, topic, chosen, done=done)
    before = sum(1 for _letter in islice(found, first))
    letters = list(islice(found, count))
    return FoundLetters(letters, before + len(letters) + sum(1 for _letter in found))


def letter_at(kafka: KafkaSettings, topic: str, place: str) -> Letter | None:
    """Return one letter, done with or not; None when it is not there, or was refused again since. Blocks.

    Raises PlaceError, ReplayError.
    """
    return next(chosen_letters(kafka, topic, choice([place]), done=True), None)


def counted(kafka: KafkaSettings, topic: str, *, done: bool = False) -> list[LetterCount]:
    """Count a topic's letters that wait, or all. Blocks. Raises ReplayError."""
    return counts(topic, chosen_letters(kafka, topic, done=done))


def counts(topic: str, letters: Iterable[Letter]) -> list[LetterCount]:
    """Count letters by stage and reason (pure)."""
    groups: dict[tuple[str, str], tuple[int, int, str]] = {}
    for letter in letters:
        group = letter.stage, letter.reason
        number, times, last = groups.get(group, (0, 0, ""))
        groups[group] = number + 1, times + letter.times, max(last, letter.at)
    return [
        LetterCount(topic, stage, reason, number, times, last)
        for (stage, reason), (number, times, last) in sorted(groups.items())
    ]


async def replay_recorded(kafka: KafkaSettings, audit: "AuditLog", topic: str, chosen: Choice) -> Replayed:
    """Record a replay, and send letters to their input topic again. Raises ReplayError, PublishError."""
    await audit.note("dead letters", topic, "replay")
    return await replay(kafka, topic, chosen)


async def discard_recorded(kafka: KafkaSettings, audit: "AuditLog", topic: str, chosen: Choice, why: str) -> int:
    """Record a discard, and why, and be done with letters. Raises ReplayError, PublishError."""
    reason = [ChangedField(field="why", after=orjson.dumps(without_addresses(why)).decode())] if why else []
    await audit.note("dead letters", topic, "discard", reason)
    return await discard(kafka, topic, chosen)


def without_addresses(text: str) -> str:
    """Return a text that people wrote without the e-mail addresses in it (pure)."""
    return _ADDRESS.sub("(address)", text)


def own_headers(letter: Letter) -> list[tuple[str, str]]:
    """Return the headers that the record came with; those that describe the letter are left out."""
    return [(name, shown(value) or "") for name, value in letter.record.headers if not name.startswith(PREFIX)]


def shown(value: bytes | None) -> str | None:
    """Return bytes as text; what is no UTF-8 becomes replacement characters."""
    return None if value is None else value.decode(errors="replace")


def letter_as_object(letter: Letter) -> dict[str, Any]:
    """Return a letter as JSON; bytes that are no UTF-8 are shown with replacement characters."""
    record = letter.record
    return {
        "dead_letter": {"topic": record.topic, "partition": record.partition, "offset": record.offset},
        "topic": letter.topic,
        "partition": letter.partition,
        "offset": letter.offset,
        "at": letter.at,
        "stage": letter.stage,
        "reason": letter.reason,
        "times": letter.times,
        "first": letter.first,
        "key": shown(record.key),
        "value": shown(record.value),
        "left_out_bytes": letter.left_out_bytes,
    }


def _parts(letter: Letter) -> tuple[bytes, bytes, bytes]:
    return letter.record.key or b"", letter.record.value or b"", letter.reason.encode()
