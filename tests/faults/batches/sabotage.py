"""Each protection taken out on purpose, to see that the oracle notices. Installed in a worker's process only."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from streams.batches import BatchApp, BatchTable, Row
from streams.batches.consume import attempt
from streams.batches.consume.offsets import RangeLedger, StartPosition
from streams.batches.core import halt
from streams.batches.process import takeover, topics
from streams.batches.table.rows import encode_blob
from streams.batches.table.store import StoredRow

Sabotage = Callable[[BatchApp, BatchTable[Any]], None]


def settle_first(app: BatchApp, table: BatchTable[Any]) -> None:
    """A batch is settled and committed before its rows are published."""
    process, settled = app.runtime._process, app.runtime.ledger.settled

    async def early(worker: Any, batch: Any) -> None:
        settled((batch.topic, batch.partition), batch.first, batch.generation)
        await app.runtime.consumer.commit_settled()
        await process(worker, batch)

    app.runtime._process = early  # type: ignore[method-assign]  # that is the sabotage
    app.runtime.ledger.settled = lambda *_: True  # type: ignore[method-assign]


def store_first(app: BatchApp, table: BatchTable[Any]) -> None:
    """Rows reach the local disk before they are in the changelog."""
    write = table._write

    async def early(held: Any, encoded: Any, outputs: Any, batch: Any) -> None:
        rows = [StoredRow(row.key, encode_blob(value, hidden)) for row, value, hidden in encoded]
        held.store.write(rows, None)
        held.store.flush()
        await write(held, encoded, outputs, batch)

    table._write = early  # type: ignore[method-assign]


def no_offset_check(app: BatchApp, table: BatchTable[Any]) -> None:
    """Rows do not compare a record's offset with what is folded in."""
    Row.position = lambda self, source: -1  # type: ignore[method-assign]


def commit_unfinished(app: BatchApp, table: BatchTable[Any]) -> None:
    """What was fetched is committed, finished or not."""
    RangeLedger.committable = property(lambda self: self.position)  # type: ignore[assignment,method-assign]


def changelog_not_awaited(app: BatchApp, table: BatchTable[Any]) -> None:
    """The changelog's acknowledgement is not waited for."""
    tasks = set()

    def unacknowledged(publish: Any) -> Any:
        async def published(topic: str, partition: int, rows: Any, **_: Any) -> int:
            tasks.add(asyncio.create_task(publish(topic, partition, rows)))
            return table._partitions[partition].next_offset + len(rows) - 1

        return published

    app.producer.publish_rows = unacknowledged(app.producer.publish_rows)  # type: ignore[method-assign]
    app.producer.publish_block = unacknowledged(app.producer.publish_block)  # type: ignore[method-assign]


def dead_letters_not_kept(app: BatchApp, table: BatchTable[Any]) -> None:
    """Refused records are not waited for, and die with the process."""

    async def nothing(letters: Any) -> None:
        return None

    app.runtime._dead_letters = nothing


def errors_acknowledge(app: BatchApp, table: BatchTable[Any]) -> None:
    """Leaving the agent by an exception settles the batch, as Faust does."""

    async def once(self: Any) -> None:
        try:
            await self._agent(self._batch)
        except Exception:
            return

    attempt.Attempts.run = once  # type: ignore[method-assign]


def read_uncommitted(app: BatchApp, table: BatchTable[Any]) -> None:
    """Records of open and aborted transactions are read."""
    app.settings.consumer_options["isolation_level"] = "read_uncommitted"


def no_fence(app: BatchApp, table: BatchTable[Any]) -> None:
    """A process that stood still goes on where it was."""
    halt.PauseGuard.check = lambda self: None  # type: ignore[method-assign]
    app.producer._before_send = lambda: None


def late_rows_taken(app: BatchApp, table: BatchTable[Any]) -> None:
    """The broker takes rows whatever their age."""
    topics._fence = lambda admin, names, settings: None


def trust_positions(app: BatchApp, table: BatchTable[Any]) -> None:
    """A committed offset is taken as it is, whatever became of the topic."""

    def start(topic: str, partition: int, committed: Any, first: int, end: int, topic_id: int) -> StartPosition:
        return StartPosition(min(committed[0], end) if committed else first)

    takeover.start_position = start


SABOTAGES: dict[str, Sabotage] = {
    sabotage.__name__.replace("_", "-"): sabotage
    for sabotage in (
        settle_first,
        store_first,
        no_offset_check,
        commit_unfinished,
        changelog_not_awaited,
        dead_letters_not_kept,
        errors_acknowledge,
        read_uncommitted,
        no_fence,
        late_rows_taken,
        trust_positions,
    )
}
