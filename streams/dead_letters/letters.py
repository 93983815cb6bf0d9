"""A dead letter as it is read, the record that it was, and which letters of a partition are done with. Pure."""

from collections.abc import Callable, Iterable
from typing import NamedTuple

from connectors.kafka.records import ConsumedRecord, OutgoingRecord
from schemas import dead_letter

NOTE_BYTES = 4_000
"""Of the note of an offset; brokers take 4,096 (`offset.metadata.max.bytes`)."""

LEFT_OUT = frozenset({dead_letter.LEFT_OUT_BYTES, dead_letter.LEFT_OUT_KEY_BYTES, dead_letter.LEFT_OUT_HEADERS})
"""Headers of letters that are not whole."""


class ReplayError(RuntimeError):
    """Dead letters cannot be read; the message names the topic and the reason."""


class NoDeadLettersError(ReplayError, LookupError):
    """There is no such dead-letter topic."""


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
    first: str
    """`partition:offset` of the first letter of the same record; its own where it was never replayed."""
    times: int
    """How often the record was refused."""

    @property
    def place(self) -> str:
        """`partition:offset` of the letter, by which commands name it."""
        return f"{self.record.partition}:{self.record.offset}"


class DoneWith(NamedTuple):
    """Which letters of a partition are done with: all `before` an offset, and `also` some behind it."""

    before: int = 0
    also: frozenset[int] = frozenset()

    def has(self, offset: int) -> bool:
        """Return whether a letter is done with."""
        return offset < self.before or offset in self.also


def note_of(offsets: Iterable[int]) -> str:
    """Return offsets as text, ranges as `first-last`. Raises ReplayError: they are too many for an offset's note."""
    ranges: list[list[int]] = []
    for offset in sorted(offsets):
        if ranges and ranges[-1][1] == offset - 1:
            ranges[-1][1] = offset
        else:
            ranges.append([offset, offset])
    text = ",".join(f"{first}-{last}" if first < last else f"{first}" for first, last in ranges)
    if len(text) > NOTE_BYTES:
        raise ReplayError(
            f"{len(ranges)} letters with others between them cannot be recorded as done with, so the rest was left: "
            "replay or discard older ones first"
        )
    return text


def read_note(text: str) -> frozenset[int]:
    """Return the offsets of a note (pure); what is no note of ours names none."""
    try:
        bounds = [[int(bound) for bound in part.split("-")] for part in text.split(",") if part]
    except ValueError:
        return frozenset()
    return frozenset(offset for bound in bounds for offset in range(bound[0], bound[-1] + 1))


Choice = Callable[[Letter], bool]


def every(_letter: Letter) -> bool:
    """Choose all."""
    return True


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
        stated.get(dead_letter.FIRST) or f"{record.partition}:{record.offset}",
        number(dead_letter.TIMES) or 1,
    )


def original(letter: Letter, topic: str, max_bytes: int) -> OutgoingRecord | None:
    """Return the record that was refused, for its topic (pure); None when the letter is not whole.

    It names its letter, unless it would outgrow `max_bytes` by that.
    """
    if not letter.whole:
        return None
    record = letter.record
    headers = dead_letter.replayed(record.headers, letter.first, letter.times)
    if dead_letter.wire_bytes(record.key, record.value, headers) > max_bytes:
        headers = dead_letter.own_headers(record.headers)
    return OutgoingRecord(topic, record.key, record.value, headers)
