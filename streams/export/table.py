"""The Memberships table and the runtime below the export; `streams.batches` offers this, tests a smaller one."""

import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol, TypeVar

from schemas.envelope import EpochMillis
from schemas.topics import TopicNames
from streams.batches import Batch, Output, kill_point
from streams.batches import Row as TableRow
from streams.export.rules.row import MembershipRow, decode, encode

R = TypeVar("R")
after_receipts = kill_point("after-receipts")

DUE = b"d"
"""Index key of the rows that a new owner has to look at."""

LATE = b"l"
"""Begins the index keys of rows with calls that may be applied late: the time when they are over follows."""

CHECKPOINT_KEY = b"\x00checkpoint"
"""A row of the table that is no person: what its partition has done so far. No e-mail address begins like this."""


class RowCodec:
    """Rows as `rules/row.py` encodes them; an empty row is an absent one."""

    def decode(self, key: bytes, value: bytes | None, state: bytes) -> MembershipRow:
        """Read a row."""
        return decode(value) if value else MembershipRow()

    def encode(self, data: MembershipRow) -> tuple[bytes | None, bytes]:
        """Return (value, hidden state) of a row; it has no hidden state."""
        return encode(data), b""


def index(row: TableRow[MembershipRow]) -> Iterable[bytes]:
    """Return the index keys of a row."""
    over = [held.late.over_at for held in row.data.lists.values() if held.late is not None]
    keys = [late_key(min(over))] if over else []
    return [DUE, *keys] if row.data.due else keys


def late_key(at: EpochMillis) -> bytes:
    """Return the index key of late calls that are over at a time; keys are in the order of time."""
    return LATE + at.to_bytes(8, "big")


class RowStore(Protocol):
    """The Memberships table."""

    async def read(self, partition: int, keys: Iterable[bytes]) -> dict[bytes, TableRow[MembershipRow]]:
        """Return rows by key; as the partition's owner."""
        ...

    def give_back(self, partition: int, rows: Iterable[TableRow[MembershipRow]]) -> None:
        """Return rows that were read and not changed; the caller must not use them any more. As the owner."""
        ...

    async def write_rows(
        self,
        partition: int,
        generation: int,
        rows: Iterable[TableRow[MembershipRow]],
        outputs: Sequence[Output] = (),
    ) -> None:
        """Write outputs, acknowledged, then the rows to the changelog, then to the store; as the partition's owner."""
        ...

    def keys(self, partition: int, *, after: bytes | None = None, step: int = 1000) -> AsyncIterator[list[bytes]]:
        """Yield the keys of all rows of a partition, in order."""
        ...

    def read_blobs(self, partition: int, keys: Sequence[bytes]) -> list[bytes | None]:
        """Return rows as the store keeps them, in the order of the keys; None for absent ones. As the owner."""
        ...

    def decoded(self, partition: int, key: bytes, blob: bytes | None) -> TableRow[MembershipRow]:
        """Return the row of such a blob."""
        ...

    async def write_blobs(self, partition: int, generation: int, blobs: Sequence[tuple[bytes, bytes]]) -> None:
        """Write rows as the store keeps them, which have no index entries before and after. As the owner."""
        ...

    def due(
        self,
        partition: int,
        prefix: bytes = b"",
        *,
        after: tuple[bytes, bytes] | None = None,
        upto: bytes | None = None,
        step: int = 1000,
    ) -> AsyncIterator[list[tuple[bytes, bytes]]]:
        """Yield (index key, row key) of rows that are marked due."""
        ...


class WritesBatch(Protocol):
    """The same table, as an agent writes it."""

    async def write(self, batch: Batch, rows: Iterable[TableRow[MembershipRow]]) -> None:
        """Write what the batch refused or moved, then rows up to the batch's last record; as the partition's owner."""
        ...

    async def write_blobs(
        self, partition: int, generation: int, blobs: Sequence[tuple[bytes, bytes]], batch: Batch | None = None
    ) -> None:
        """The same, rows as the store keeps them, which have no index entries before and after."""
        ...


class PartitionOwner(Protocol):
    """Who may write a partition, and for how long."""

    async def run_as_owner(self, partition: int, generation: int, job: Callable[[], Awaitable[R]]) -> R:
        """Run a job while nobody else works on the partition. Raises Revoked."""
        ...

    def lease_seconds(self) -> float:
        """Return for how long the partitions certainly stay ours."""
        ...


class RecordPublisher(Protocol):
    """Writes records and waits for the broker."""

    async def publish_all(self, outputs: Sequence[Output]) -> None:
        """Write many, wait for all. Raises NotDelivered."""
        ...


class ReceiptPublisher(RecordPublisher, Protocol):
    """The same, and many at once to one partition."""

    async def publish_block(
        self, topic: str, partition: int, records: Sequence[tuple[bytes | None, bytes | None]]
    ) -> int:
        """Write many without headers to one partition that nobody else writes to meanwhile; the last one's offset.

        Raises NotDelivered.
        """
        ...


async def publish_receipts(publisher: ReceiptPublisher, partition: int, receipts: Sequence[Output]) -> None:
    """Publish receipts of one partition: in a block where none has headers. Raises NotDelivered."""
    if any(receipt.headers for receipt in receipts):
        await publisher.publish_all(receipts)
    else:
        block = [(key, value) for _, key, value, _, _ in receipts]
        await publisher.publish_block(receipts[0].topic, partition, block)
    after_receipts()


class StoredReceipt(NamedTuple):
    """A receipt as it is stored in `audience-delivery`."""

    offset: int
    key: bytes
    value: bytes
    headers: Iterable[tuple[str, bytes]]


class ReceiptsTopic(Protocol):
    """Reads `audience-delivery`."""

    async def end(self, partition: int) -> int:
        """Return the offset after the last record."""
        ...

    async def read(self, partition: int, start: int, end: int) -> list[StoredReceipt]:
        """Return the records of [start, end) that retention has left."""
        ...


@dataclass(frozen=True, slots=True)
class Clocks:
    """Seconds for waits, milliseconds since the epoch for receipts."""

    monotonic: Callable[[], float] = time.monotonic
    wall: Callable[[], EpochMillis] = field(default=lambda: int(time.time() * 1000))


@dataclass(frozen=True, slots=True)
class ExportRuntime:
    """What the export uses of the runtime below it: table, owner, producer, receipts, topic names, clocks."""

    rows: RowStore
    owner: PartitionOwner
    publisher: ReceiptPublisher
    receipts: ReceiptsTopic
    names: TopicNames
    clocks: Clocks = field(default_factory=Clocks)
