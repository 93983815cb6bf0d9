"""`audience-membership` -> the Memberships table: a script of effects, in the order that makes a crash harmless.

    1 names of audiences are published before rows that use them
    2 records of other partitions' people are published again under their right key
    3 what cannot be used is kept as a dead letter (by the table's write, before anything else of it)
    4 receipts that need no call are acknowledged, and the rows of former addresses are called for
    5 the rows are in the changelog, then in the store
    6 the senders wake up; nobody waits for Campaign Monitor, and the range may be committed

A crash anywhere before 5 replays the records: names and dead letters may come twice, receipts do not (they are read
back at takeover), and rows are not there yet.
"""

import time
from collections.abc import Callable, Sequence
from typing import NamedTuple

import structlog

from schemas.audience_delivery import Outcome
from streams.audience.decode import Unreadable, decode
from streams.batches import Batch, BatchTable, Output, Producer, Record, partition_of
from streams.batches import Row as TableRow
from streams.delivery import commands
from streams.delivery.delivery import Delivery
from streams.delivery.shared import Shared
from streams.domain.at_once import decided
from streams.domain.membership import Event, TooLargeError, fold
from streams.domain.moving import goes_on, wait_for
from streams.domain.rows import Held, Millis, Row, encode, rebase
from streams.domain.rows import decode as decode_row
from streams.domain.settlement import Receipt

log = structlog.get_logger(__name__)

REKEYED = "export.rekeyed"
"""Header of a record that was published again under its person's key: topic/partition/offset of the original."""

Told = tuple[bytes, Receipt, int, Held | None]


class Read(NamedTuple):
    """A record that can be used."""

    record: Record
    event: Event
    size: int


class AudienceAgent:
    """Folds membership records into rows."""

    def __init__(
        self,
        table: BatchTable[Row],
        shared: Shared,
        delivery: Delivery,
        publisher: Producer,
        *,
        partitions: int,
        max_row_bytes: int,
        commands_topic: str = "cm_membership-commands",
        wall: Callable[[], Millis] = lambda: int(time.time() * 1000),
    ) -> None:
        self._table = table
        self._shared = shared
        self._delivery = delivery
        self._publisher = publisher
        self._partitions = partitions
        self._max_row_bytes = max_row_bytes
        self._commands_topic = commands_topic
        self._wall = wall

    async def __call__(self, batch: Batch) -> None:
        """Work through one batch of one partition."""
        owned = self._delivery.partition(batch.partition)
        await owned.ledger.be_sure()
        people, elsewhere = self._read(batch)
        await self._shared.learn(
            (audience, name, read.event.at)
            for reads in people.values()
            for read in reads
            for audience, name in read.event.names
        )  # 1
        if elsewhere:
            await self._publisher.publish_all(elsewhere)  # 2
        rows = await self._table.read(batch.partition, people)
        told: list[Told] = []
        written: list[TableRow[Row]] = []
        leaving: list[Output] = []
        for key, reads in people.items():
            row = self._fold(batch, rows[key], reads, told, leaving)
            if row is not None:
                written.append(row)
        await owned.ledger.tell(told, self._wall())  # 4
        if leaving:
            await self._publisher.publish_all(leaving)
        await self._table.write(batch, written)  # 3, 5
        owned.ledger.account.told.clear()
        owned.ledger.account.folded(batch.last)
        for row in written:
            if row.data.due:
                self._delivery.touch(batch.partition, row.key, row.data)  # 6

    def _read(self, batch: Batch) -> tuple[dict[bytes, list[Read]], list[Output]]:
        """Decode, and group by person. Whose partition this is not, is published again."""
        people: dict[bytes, list[Read]] = {}
        elsewhere: list[Output] = []
        for record in batch.records:
            event = decode(record.value, record.headers, record.offset, record.timestamp)
            if isinstance(event, Unreadable):
                batch.refuse(record, event.reason, stage=event.stage)
                continue
            key = event.email.encode()
            read = Read(record, event, len(record.value or b""))
            if key == record.key or partition_of(key, self._partitions) == batch.partition:
                people.setdefault(key, []).append(read)
                continue
            origin = f"{batch.topic}/{batch.partition}/{record.offset}".encode()
            headers = [*record.headers, (REKEYED, origin)]
            elsewhere.append(Output(batch.topic, key, record.value, headers))
        return people, elsewhere

    def _fold(
        self, batch: Batch, row: TableRow[Row], reads: Sequence[Read], told: list[Told], leaving: list[Output]
    ) -> TableRow[Row] | None:
        position = row.position(batch.source)
        fresh = [read for read in reads if read.record.offset > position]
        if not fresh:
            return None
        rebase(row.data, batch.source.topic_id)
        careful = row.size + sum(read.size for read in fresh) > self._max_row_bytes // 2
        for read in fresh:
            if (late := goes_on(row.data, read.event)) is not None and row.data.left is not None:
                to, at = row.data.left
                arrive = commands.Arrive(row.key.decode(), at, late)
                leaving.append(commands.write(self._commands_topic, to, arrive))
                told += [(row.key, it, row.data.source, None) for it in self._gone(read.event, to)]
                continue
            before = encode(row.data) if careful else b""
            try:
                receipts = self._apply(batch.partition, row, read.event)
                if careful and len(encode(row.data)) > self._max_row_bytes:
                    row.data = decode_row(before)
                    raise TooLargeError(f"the person's row would exceed {self._max_row_bytes} bytes")
            except TooLargeError as fault:
                batch.refuse(read.record, str(fault), stage="fold")
                continue
            event = read.event
            if event.previous is not None and wait_for(row.data, event.previous, event.at):
                leave = commands.Leave(event.email, event.at)
                leaving.append(commands.write(self._commands_topic, event.previous, leave))
            told += [(row.key, it, row.data.source, None) for it in receipts]
        return row

    def _gone(self, event: Event, to: str) -> list[Receipt]:
        """Return receipts of a late event about somebody whose row lives elsewhere now."""
        named = [change.audience for change in event.changes] or sorted(event.snapshot or ())
        jobs = {view.id: view for audience in named for view in self._shared.exports.of(audience)}
        return [
            Receipt(it.id, it.job.list_id, event.position, Outcome.SUPERSEDED, event.appended, message=f"now {to}")
            for it in jobs.values()
        ]

    def _apply(self, partition: int, row: TableRow[Row], event: Event) -> list[Receipt]:
        done = fold(row.data, event)
        ledger, source = self._delivery.partition(partition).ledger, row.data.source
        return decided(
            row.data,
            event,
            done,
            self._shared.exports,
            self._delivery.carries(partition, row.key),
            lambda job_id, position: ledger.told(source, job_id, position),
        )
