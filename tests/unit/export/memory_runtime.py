"""The runtime below the export, in memory: one process's view of Kafka and its tables, which can crash at any await.

What is acknowledged is durable (`Log`), everything else dies with a `Process`. Order and guarantees are those of
`streams.batches`: one owner per partition at a time, outputs before rows, rows before the range is committed.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, TypeVar

from streams.batches import (
    DeadLetter,
    NotDelivered,
    Output,
    Revoked,
    TopicIncarnation,
    decode_blob,
    decode_hidden,
    encode_blob,
    encode_hidden,
    partition_of,
)
from streams.batches import Row as TableRow
from streams.batches.core.batch import Batch, StoredRecord
from streams.export.rules.row import MembershipRow
from streams.export.table import RowCodec, StoredReceipt, index

R = TypeVar("R")
MAX_ATTEMPTS = 10


@dataclass
class Log:
    """What survives a crash: topics, the table's changelog, committed offsets."""

    partitions: int = 2
    topics: dict[tuple[str, int], list[StoredRecord]] = field(default_factory=dict)
    rows: dict[int, dict[bytes, tuple[bytes | None, dict[Any, Any]]]] = field(default_factory=dict)
    committed: dict[tuple[str, int], int] = field(default_factory=dict)

    def append(self, output: Output, at: int) -> int:
        """Append a record; its offset."""
        partition = self.partition_of(output)
        records = self.topics.setdefault((output.topic, partition), [])
        records.append(StoredRecord(len(records), output.key, output.value, at, tuple(output.headers)))
        return len(records) - 1

    def partition_of(self, output: Output) -> int:
        """Where a record goes."""
        return partition_of(output.key or b"", self.partitions) if output.partition is None else output.partition

    def read(self, topic: str) -> list[StoredRecord]:
        """All records of a topic."""
        return [record for (name, _), records in sorted(self.topics.items()) if name == topic for record in records]


class Process:
    """One run of the worker over a log: owner, table, producer and receipts' reader in one."""

    def __init__(self, log: Log, wall: Callable[[], int] = lambda: int(time.time() * 1000)) -> None:
        self.log = log
        self.alive = True
        self.kill_at: int | None = None
        self.fail_at: int | None = None
        """From which effect on the broker does not take one, once."""
        self.fails_late = False
        """Whether that one is appended all the same."""
        self.max_records = 100
        """In a batch."""
        self.generations = [1] * log.partitions
        self.effects = 0
        self.max_record_bytes = 1_000_000
        self._wall = wall
        self._locks = [asyncio.Lock() for _ in range(log.partitions)]
        self._codec = RowCodec()
        self._indexes: dict[tuple[bytes, bytes | None], frozenset[bytes]] = {}

    def _effect(self, durable: Callable[[], Any] = lambda: None) -> None:
        """Do one durable step; a kill is either just before or just after one."""
        self._step()
        if self.fail_at is not None and self.effects >= self.fail_at:
            self.fail_at = None
            if self.fails_late:
                durable()
            raise NotDelivered("the broker is away")
        durable()

    def _step(self) -> None:
        self.effects += 1
        if self.kill_at is not None and self.effects >= self.kill_at:
            self.alive = False
        if not self.alive:
            raise Revoked("the process was killed")

    # -- owner

    async def run_as_owner(self, partition: int, generation: int, job: Callable[[], Awaitable[R]]) -> R:
        """As BatchApp."""
        async with self._locks[partition]:
            if not self.alive:
                raise Revoked("the process was killed")
            if generation != self.generations[partition]:
                raise Revoked("the partition was taken away")
            return await job()

    async def lose(self, partition: int) -> int:
        """Let the partition be another owner's, once nothing runs for it; its next generation."""
        async with self._locks[partition]:
            self.generations[partition] += 1
            return self.generations[partition]

    def lease_seconds(self) -> float:
        """As BatchApp."""
        return 30.0 if self.alive else 0.0

    # -- producer

    async def publish_all(self, outputs: Sequence[Output]) -> None:
        """As Producer; each record may be the last one."""
        await asyncio.sleep(0)
        for output in outputs:
            self._effect(partial(self.log.append, output, self._wall()))

    async def publish(self, topic: str, key: bytes | None, value: bytes | None, **options: Any) -> tuple[int, int]:
        """As Producer."""
        await self.publish_all([Output(topic, key, value, options.get("headers", ()), options.get("partition"))])
        return 0, 0

    async def publish_block(
        self, topic: str, partition: int, records: Sequence[tuple[bytes | None, bytes | None]]
    ) -> int:
        """As Producer; each record may be the last one."""
        await self.publish_all([Output(topic, key, value, (), partition) for key, value in records])
        return len(self.log.topics[topic, partition]) - 1

    # -- table

    async def read(self, partition: int, keys: Iterable[bytes]) -> dict[bytes, TableRow[MembershipRow]]:
        """As BatchTable."""
        await asyncio.sleep(0)
        return {key: self._row(partition, key) for key in keys}

    def read_blobs(self, partition: int, keys: Sequence[bytes]) -> list[bytes | None]:
        """As BatchTable."""
        kept = self.log.rows.get(partition, {})
        return [
            encode_blob(kept[key][0], encode_hidden(dict(kept[key][1]), b"")) if key in kept else None for key in keys
        ]

    def decoded(self, partition: int, key: bytes, blob: bytes | None) -> TableRow[MembershipRow]:
        """As BatchTable."""
        assert blob == self.read_blobs(partition, [key])[0], "a row that is not the newest"
        return self._row(partition, key)

    async def write_blobs(
        self, partition: int, generation: int, blobs: Sequence[tuple[bytes, bytes]], batch: Batch | None = None
    ) -> None:
        """As BatchTable; each row may be the last one."""
        if batch is not None:
            await self.write(batch, ())
        await asyncio.sleep(0)
        kept = self.log.rows.setdefault(partition, {})
        for key, blob in blobs:
            value, hidden = decode_blob(blob)
            self._effect(partial(kept.__setitem__, key, (value, decode_hidden(hidden)[0])))
            assert not self._row(partition, key).index, "a row with index entries"

    def _row(self, partition: int, key: bytes) -> TableRow[MembershipRow]:
        value, positions = self.log.rows.get(partition, {}).get(key, (None, {}))
        exists = key in self.log.rows.get(partition, {})
        row = TableRow(key, self._codec.decode(key, value, b""), dict(positions), exists=exists, size=len(value or b""))
        row.index = frozenset(index(row))
        return row

    def _index_of(self, partition: int, key: bytes) -> frozenset[bytes]:
        """The index keys of a row; those of one that was not written since are known."""
        value, _ = self.log.rows[partition][key]
        if (key, value) not in self._indexes:
            self._indexes[key, value] = self._row(partition, key).index
        return self._indexes[key, value]

    def give_back(self, partition: int, rows: Iterable[TableRow[MembershipRow]]) -> None:
        """As BatchTable: whoever reads them again gets these, so a change that was made to them shows."""
        for row in rows:
            value, _ = self._codec.encode(row.data)
            kept, _ = self.log.rows.get(partition, {}).get(row.key, (None, {}))
            assert not row.exists or value == kept, f"{row.key!r} was changed and given back"

    async def write_rows(
        self,
        partition: int,
        generation: int,
        rows: Iterable[TableRow[MembershipRow]],
        outputs: Sequence[Output] = (),
    ) -> None:
        """As BatchTable; each row may be the last one."""
        await self.publish_all(outputs)
        await asyncio.sleep(0)
        kept = self.log.rows.setdefault(partition, {})
        for row in rows:
            value = self._codec.encode(row.data)[0]
            self._effect(partial(kept.__setitem__, row.key, (value, dict(row.positions))))

    async def write(
        self, batch: Batch, rows: Iterable[TableRow[MembershipRow]], outputs: Sequence[Output] = ()
    ) -> None:
        """As BatchTable."""
        refused, batch.refused = batch.refused, []
        await self.keep(refused)
        moved, batch.moved = batch.moved, []
        await self.publish_all(moved)
        rows = list(rows)
        for row in rows:
            row.advance(batch.source, batch.last)
        await self.write_rows(batch.partition, batch.generation, rows, outputs)

    async def keep(self, letters: Sequence[DeadLetter]) -> None:
        """Keep refused records."""
        await self.publish_all(
            [
                Output(
                    f"{letter.topic}.dlq",
                    letter.record.key,
                    letter.record.value,
                    (("reason", letter.reason.encode()),),
                    letter.partition,
                )
                for letter in letters
            ]
        )

    async def scan(
        self, partition: int, *, after: bytes | None = None, step: int = 1000
    ) -> AsyncIterator[list[TableRow[MembershipRow]]]:
        """As BatchTable."""
        keys = sorted(key for key in self.log.rows.get(partition, {}) if after is None or key > after)
        for start in range(0, len(keys), step):
            await asyncio.sleep(0)
            if not self.alive:
                raise Revoked("the process was killed")
            yield [self._row(partition, key) for key in keys[start : start + step]]

    async def keys(self, partition: int, *, after: bytes | None = None, step: int = 1000) -> AsyncIterator[list[bytes]]:
        """As BatchTable."""
        async for rows in self.scan(partition, after=after, step=step):
            yield [row.key for row in rows]

    async def due(
        self,
        partition: int,
        prefix: bytes = b"",
        *,
        after: tuple[bytes, bytes] | None = None,
        upto: bytes | None = None,
        step: int = 1000,
    ) -> AsyncIterator[list[tuple[bytes, bytes]]]:
        """As BatchTable."""
        found = [
            (entry, key)
            for key in sorted(self.log.rows.get(partition, {}))
            for entry in self._index_of(partition, key)
            if entry.startswith(prefix) and (upto is None or entry < upto)
        ]
        await asyncio.sleep(0)
        if found:
            yield found

    # -- the topic of receipts

    def receipts_of(self, topic: str) -> "MemoryReceipts":
        """Reads receipts."""
        return MemoryReceipts(self.log, topic)

    def source_of(self, topic: str) -> "MemorySource":
        """Reads single records of a topic."""
        return MemorySource(self.log, topic)

    # -- running the agent

    async def consume(self, topic: str, agent: Callable[[Batch], Awaitable[None]]) -> int:
        """Give the agent what is new in each partition, until it is done, and commit; returns the number of records."""
        done = 0
        for partition in range(self.log.partitions):
            records = self.log.topics.get((topic, partition), [])
            start = self.log.committed.get((topic, partition), 0)
            while start < len(records):
                part = records[start : start + self.max_records]

                job = partial(self._attempts, agent, topic, partition, part)
                await self.run_as_owner(partition, self.generations[partition], job)
                self._step()  # the commit, which delivers nothing
                start += len(part)
                done += len(part)
                self.log.committed[topic, partition] = start
        return done

    async def _attempts(
        self, agent: Callable[[Batch], Awaitable[None]], topic: str, partition: int, records: Sequence[StoredRecord]
    ) -> None:
        generation, partitions = self.generations[partition], self.log.partitions
        for attempt in range(1, MAX_ATTEMPTS + 1):
            source = TopicIncarnation(topic, 7)
            batch = Batch(source, partition, records, generation=generation, attempt=attempt, partitions=partitions)
            try:
                await agent(batch)
                if batch.refused or batch.moved:
                    await self.write(batch, ())
                return
            except NotDelivered:
                if attempt == MAX_ATTEMPTS:
                    raise


class MemoryReceipts:
    """As ReceiptsReader."""

    def __init__(self, log: Log, topic: str) -> None:
        self._log = log
        self._topic = topic

    async def end(self, partition: int) -> int:
        """The offset after the last record."""
        return len(self._log.topics.get((self._topic, partition), ()))

    async def read(self, partition: int, start: int, end: int) -> list[StoredReceipt]:
        """The records of [start, end)."""
        records = self._log.topics.get((self._topic, partition), [])[start:end]
        return [
            StoredReceipt(record.offset, record.key or b"", record.value or b"{}", tuple(record.headers))
            for record in records
        ]


class MemorySource:
    """As PartitionReader."""

    def __init__(self, log: Log, topic: str) -> None:
        self._log = log
        self._topic = topic

    async def fetch(self, partition: int, offsets: Sequence[int]) -> list[StoredRecord]:
        """The records at these offsets."""
        records = self._log.topics.get((self._topic, partition), [])
        return [records[offset] for offset in offsets]
