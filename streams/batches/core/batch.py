"""Records, batches of them as an agent sees them, what comes out of them, and the partition that a key belongs to."""

from __future__ import annotations

import contextlib
from collections.abc import Awaitable, Callable, Sequence
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


class TopicIncarnation(NamedTuple):
    """A topic under the id that the broker gave it when it was created.

    A topic that was deleted and created again has another id, so that offsets in rows are not taken for its own.
    """

    topic: str
    topic_id: int
    """32 bits of the broker's topic id."""


class DeadLetter(NamedTuple):
    """A record that was refused, with everything needed to keep it and to replay it later."""

    topic: str
    partition: int
    record: Record
    stage: str
    """Where it was refused: "key", "fold", "row-size", "output-size", "partitioning", or what the agent named."""
    reason: str


PublishDeadLetters = Callable[[Sequence[DeadLetter]], Awaitable[None]]
"""Returns when all of them are acknowledged; raises otherwise, and then nothing of their batch may settle."""


class Output(NamedTuple):
    """A record to publish to another topic before the batch settles."""

    topic: str
    key: bytes | None
    value: bytes | None
    headers: Sequence[tuple[str, bytes | None]] = ()
    partition: int | None = None
    """None: murmur2 of the key, as Kafka's own clients place it."""


PublishMoved = Callable[[Sequence[Output]], Awaitable[None]]
"""Returns when records that were moved to their key's partition are acknowledged; raises otherwise."""

MOVED_FROM = "moved-from"
"""Header of a record that was published again in its key's partition: topic/partition/offset of the original."""


class Batch:
    """Records of one partition in offset order, and the range that settles when the agent returns.

    The agent runs as the partition's only owner: no other batch, job or write of the same partition runs meanwhile.
    Returning settles the range, raising never does (see errors.py for what happens instead).
    """

    __slots__ = (
        "attempt", "first", "generation", "last", "moved", "partition", "partitions", "records", "refused", "source",
        "topic",
    )  # fmt: skip

    def __init__(
        self,
        source: TopicIncarnation,
        partition: int,
        records: Sequence[Record],
        *,
        generation: int = 0,
        first: int | None = None,
        attempt: int = 1,
        partitions: int = 1,
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
        self.partitions = partitions
        """How many partitions the topic has."""
        self.moved: list[Output] = []
        self.refused: list[DeadLetter] = []

    def refuse(self, record: Record, reason: str, *, stage: str = "agent") -> None:
        """Refuse a record: it becomes a dead letter, acknowledged before anything else of the batch is written (by
        `table.write`, `table.fold` or at return, whichever comes first)."""
        self.refused.append(DeadLetter(self.topic, self.partition, record, stage, reason))

    def holds(self, key: bytes) -> bool:
        """Whether a key belongs to the batch's partition.

        A tenth of a microsecond, but five in Python: a row that exists was checked when it was made.
        """
        return partition_of(key, self.partitions) == self.partition

    def move(self, record: Record, key: bytes) -> None:
        """Publish a record again under a key whose row is elsewhere, untouched but for a header that names its origin;
        acknowledged as `refuse` is. One that was moved before is refused, so nothing is moved in a circle."""
        if any(name == MOVED_FROM for name, _ in record.headers):
            self.refuse(record, "the record was moved already, and not to its key's partition", stage="partitioning")
            return
        origin = f"{self.topic}/{self.partition}/{record.offset}".encode()
        headers = [*record.headers, (MOVED_FROM, origin)]
        # By the application's own count: by the topic's, which may have grown, it would not be the key's partition.
        self.moved.append(Output(self.topic, key, record.value, headers, partition_of(key, self.partitions)))

    def __len__(self) -> int:
        return len(self.records)

    def __repr__(self) -> str:
        return f"<Batch {self.topic}[{self.partition}] {self.first}..{self.last}>"


def partition_in_python(key: bytes, partitions: int) -> int:
    """Return the partition of a key by Kafka's murmur2 partitioner; `partition_of` where nothing could be compiled.

    ZeroDivisionError for a topic without partitions.
    """
    from aiokafka.partitioner import murmur2  # takes as long to import as all else that a short command needs

    return int((murmur2(key) & 0x7FFF_FFFF) % partitions)


partition_of: Callable[[bytes, int], int] = partition_in_python
with contextlib.suppress(ImportError):
    from streams.batches.core.murmur2 import partition_of as compiled

    partition_of = compiled
