"""Refused records are kept: bytes as they came, headers that say why and from where, and the brokers have them.

Awaited before the batch settles, so that a record is done with only when it is either used or kept.
"""

from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime
from typing import Any

import structlog

from schemas import dead_letter
from schemas.dead_letter import Origin, Stage
from schemas.envelope import rfc3339
from schemas.topics import TopicNames
from streams.batches import DeadLetter, Output

log = structlog.get_logger(__name__)

PREFIX = "dlq."
"""Every header of ours; a record that was replayed and refused again sheds the old ones."""

LEFT_OUT = "dlq.left_out_bytes"
"""Size of a value too large for the dead-letter topic. The original stands at dlq.offset while that is retained."""

REASON_BYTES = 1_000
"""A reason quotes the record's fault, and must not grow with the record."""

LARGEST = 1_048_576 + 8_192
"""Key, value and headers of a dead letter: an input's limit and room for our headers."""

Publish = Callable[[Sequence[Output]], Awaitable[Any]]
"""Publishes and returns when the brokers have all of it; raises when they have not."""

Counted = Callable[[str, Stage], None]
"""Told of each kept record: the input topic and the stage that refused it."""


def kept(letter: DeadLetter, names: TopicNames, at: str, largest: int = LARGEST) -> Output:
    """Return the record that keeps a refused one (pure)."""
    own = [(name, value) for name, value in letter.record.headers or () if not name.startswith(PREFIX)]
    reason = letter.reason.encode()[:REASON_BYTES].decode(errors="ignore")
    origin = Origin(letter.topic, letter.partition, letter.record.offset)
    headers = [*own, *dead_letter.headers(reason, stage_of(letter.stage), origin, at)]
    value = letter.record.value
    size = len(letter.record.key or b"") + len(value or b"") + sum(len(n) + len(v or b"") for n, v in headers)
    if value is not None and size > largest:
        headers.append((LEFT_OUT, str(len(value)).encode()))
        value = None
    return Output(names.dead_letters(letter.topic), letter.record.key, value, headers)


def stage_of(name: str) -> Stage:
    """Return the stage as the contract knows it; what the batch runtime adds are faults of folding and identity."""
    if name == "partitioning":
        return Stage.IDENTITY
    try:
        return Stage(name)
    except ValueError:
        return Stage.FOLD


class DeadLetters:
    """Publishes refused records to the dead-letter topic of their input."""

    def __init__(
        self,
        publish: Publish,
        names: TopicNames,
        *,
        counted: Counted = lambda _topic, _stage: None,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
        largest: int = LARGEST,
    ) -> None:
        self._publish = publish
        self._names = names
        self._counted = counted
        self._clock = clock
        self._largest = largest

    async def keep(self, letters: Sequence[DeadLetter]) -> None:
        """Return when all are kept. Raises what `publish` raises: then nothing may settle."""
        if not letters:
            return
        at = rfc3339(self._clock())
        await self._publish([kept(letter, self._names, at, self._largest) for letter in letters])
        for letter in letters:
            self._counted(letter.topic, stage_of(letter.stage))
        first = letters[0]
        # One line a batch, without the reason: it may quote a person's data.
        log.warning(
            "dead letters", topic=first.topic, partition=first.partition, offset=first.record.offset, count=len(letters)
        )
