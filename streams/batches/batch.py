"""A fetched range of one partition, as an agent sees it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Protocol


class Record(Protocol):
    """What a record offers; aiokafka's ConsumerRecord is one."""

    @property
    def offset(self) -> int: ...
    @property
    def key(self) -> bytes | None: ...
    @property
    def value(self) -> bytes | None: ...
    @property
    def timestamp(self) -> int: ...  # milliseconds since the epoch
    @property
    def headers(self) -> Sequence[tuple[str, bytes]]: ...


class StoredRecord(NamedTuple):
    """A `Record` made by hand: for tests, and for inputs that do not come from a fetch."""

    offset: int
    key: bytes | None
    value: bytes | None
    timestamp: int = 0
    headers: Sequence[tuple[str, bytes]] = ()


class Source(NamedTuple):
    """One incarnation of a topic. A topic made anew has another id, so its offsets are not taken for the old ones'."""

    topic: str
    topic_id: int
    """32 bits of the broker's topic id."""


class DeadLetter(NamedTuple):
    """A record that cannot be used, with everything needed to keep it and to replay it later."""

    topic: str
    partition: int
    record: Record
    stage: str
    """Where it was refused: "fold", "row-size", "partitioning", or what the agent said."""
    reason: str


class Output(NamedTuple):
    """A record to be written to another topic before the batch settles."""

    topic: str
    key: bytes | None
    value: bytes | None
    headers: Sequence[tuple[str, bytes | None]] = ()
    partition: int | None = None
    """None: murmur2 of the key, as Kafka's own clients choose it."""


class Batch:
    """Records of one partition in offset order, and the range that settles when the agent returns.

    The agent runs as the partition's only owner: no other batch, job or write of the same partition goes on meanwhile.
    Returning settles the range, raising never does (errors.py says what happens instead).
    """

    __slots__ = ("attempt", "first", "generation", "last", "partition", "records", "refused", "source", "topic")

    def __init__(
        self,
        source: Source,
        partition: int,
        records: Sequence[Record],
        *,
        generation: int = 0,
        first: int | None = None,
        attempt: int = 1,
    ) -> None:
        self.source = source
        self.topic = source.topic
        self.partition = partition
        self.records = records
        self.generation = generation
        """Assignment generation; writes with an older one are refused."""
        self.first = records[0].offset if first is None else first
        self.last = records[-1].offset
        self.attempt = attempt
        self.refused: list[DeadLetter] = []

    def refuse(self, record: Record, reason: str, *, stage: str = "agent") -> None:
        """Mark a record as unusable; it is dead-lettered, and that acknowledged, before anything else of the batch is
        written (by `table.write`, `table.fold` or at return, whichever comes first)."""
        self.refused.append(DeadLetter(self.topic, self.partition, record, stage, reason))

    def __len__(self) -> int:
        return len(self.records)

    def __repr__(self) -> str:
        return f"<Batch {self.topic}[{self.partition}] {self.first}..{self.last}>"
