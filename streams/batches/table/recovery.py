"""From the changelog into the local stores, a batch at a time, before a partition's first batch is delivered."""

from __future__ import annotations

import enum
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

import confluent_kafka
import structlog

from connectors.kafka.bulk_reader import BulkReader
from connectors.kafka.read_to_end import ReadError, TopicAndPartition, reader_config
from streams.batches.core import killpoints
from streams.batches.core.errors import RecoveryFailed, Revoked, WrongTopic
from streams.batches.core.settings import BatchSettings
from streams.batches.table.changelog import STATE_HEADER, blob_of, put_records
from streams.batches.table.partition_table import PartitionTable
from streams.batches.table.store import Checkpoint

log = structlog.get_logger(__name__)

MAX_MESSAGES = 10_000
"""Taken from librdkafka at once."""
ROWS_PER_WRITE = 500
"""A write to the store is one buffer, which grows by doubling: with megabytes the system maps and clears its pages
again each time, and that took as long as all else together."""


class Plan(enum.Enum):
    """What to do with a local store."""

    RESUME = "resume"
    REBUILD = "rebuild"
    REFUSE = "refuse"
    """The store may be the last copy of its rows; an empty one is rebuilt."""


class Restore(NamedTuple):
    """Where to read the changelog from, and why the store must be emptied, if it must."""

    plan: Plan
    start: int
    reason: str = ""


def plan_restore(checkpoint: Checkpoint | None, topic_id: int, first: int, end: int) -> Restore:
    """Decide: resume where the store's checkpoint allows it, else rebuild (pure).

    `first`..`end` are the changelog partition's log start and its last stable offset. A store that is ahead of its
    changelog must not be trusted: its rows would skip a replay. Neither must one that is behind the log start:
    deletions in between may have been compacted away. One of another incarnation may be all that is left.
    """
    if checkpoint is None:
        return Restore(Plan.REBUILD, first, "no checkpoint")
    if checkpoint.topic_id != topic_id:
        return Restore(Plan.REFUSE, first, "the changelog was created again")
    if checkpoint.next_offset > end:
        return Restore(Plan.REBUILD, first, f"the store is at {checkpoint.next_offset}, the changelog ends at {end}")
    if checkpoint.next_offset < first:
        return Restore(
            Plan.REBUILD, first, f"the store is at {checkpoint.next_offset}, the changelog begins at {first}"
        )
    return Restore(Plan.RESUME, checkpoint.next_offset)


class Restoration:
    """One partition of a table while it is restored."""

    def __init__(self, table: PartitionTable[Any], topic: str, *, public: bool, indexed: bool) -> None:
        self.table = table
        self.topic = topic
        self.public = public
        self.indexed = indexed
        self.end = 0
        """Of the changelog, when the restoration began."""
        self.rebuilt = False
        """The store was emptied, so every row is written to it for the first time."""
        self.rows = 0


ReportProgress = Callable[[int, float], None]
"""Takes the records read until now, and which share of all offsets is behind them: 0 to 1, removed records included."""


def restore(
    tasks: Sequence[Restoration],
    settings: BatchSettings,
    *,
    stop: threading.Event,
    progress: ReportProgress = lambda rows, share: None,
) -> int:
    """Bring every store up to its changelog's end; return the number of records read. Blocking: runs in a thread.

    Raises WrongTopic for a changelog that was created again, Revoked when `stop` is set, RecoveryFailed at the deadline
    or when no record comes for too long.
    """
    config = {
        **reader_config(settings.kafka, f"{settings.app_id}-recovery"),
        "auto.offset.reset": "error",
        # Fetched well ahead, in large pieces: this is all that the process does meanwhile. A piece is decompressed
        # whole, so larger ones are what memory goes to (2 MiB: 120 MiB more); and a full queue is asked for more at
        # once, by default after a second, when it has long been empty.
        "fetch.message.max.bytes": max(1 << 20, settings.kafka.max_produced_bytes),
        "fetch.queue.backoff.ms": 5,
        "queued.max.messages.kbytes": 32 << 10,
        "queued.min.messages": 200_000,
        "check.crcs": True,
    }
    consumer = confluent_kafka.Consumer(config)
    reader = BulkReader(
        consumer,
        MAX_MESSAGES,
        silence_seconds=settings.recovery_stall_seconds,
        deadline_seconds=settings.recovery_deadline_seconds,
    )
    try:
        return _restore(reader, tasks, stop, progress)
    except ReadError as error:
        raise RecoveryFailed(f"recovery: {error}") from error
    finally:
        reader.close()
        consumer.close()


def _restore(reader: BulkReader, tasks: Sequence[Restoration], stop: threading.Event, progress: ReportProgress) -> int:
    starts: dict[TopicAndPartition, int] = {}
    unfinished: dict[TopicAndPartition, Restoration] = {}
    for task in tasks:
        part = TopicAndPartition(task.topic, task.table.partition)
        start = _prepare(reader, part, task)
        if start < task.end:
            starts[part], unfinished[part] = start, task
        else:
            _finish(task)
    if starts:
        total = _read(reader, starts, unfinished, stop, progress)
    else:
        total = 0
        progress(0, 1.0)
    # Of all stores at once: compactions of those that are done would take the cores from those that are not.
    for task in tasks:
        if task.rebuilt:
            task.table.store.load(begin=False)
    return total


def _read(
    reader: BulkReader,
    starts: Mapping[TopicAndPartition, int],
    unfinished: dict[TopicAndPartition, Restoration],
    stop: threading.Event,
    progress: ReportProgress,
) -> int:
    """Read every partition from its start to its end into its store; return the number of records."""
    reader.assign(starts, starts, {part: task.end for part, task in unfinished.items()})
    began = reported = time.monotonic()
    total, offsets = 0, sum(task.end - starts[part] for part, task in unfinished.items())
    progress(0, 0.0)
    while unfinished:
        if stop.is_set():
            raise Revoked("recovery was stopped")
        for part, messages in reader.poll_bulk(0.1).items():
            if part in unfinished:
                _write(unfinished[part], messages)
                total += len(messages)
        for part in unfinished.keys() - reader.open:
            _finish(unfinished.pop(part))
        left = sum(max(0, task.end - task.table.next_offset) for task in unfinished.values())
        progress(total, 1 - left / offsets)
        killpoints.reached("inside-recovery")
        now = time.monotonic()
        if now - reported > 5:
            reported = now
            log.info("recovery", rows=total, seconds=round(now - began, 1), open=_text_of(unfinished))
    seconds = time.monotonic() - began
    log.info("recovery done", rows=total, seconds=round(seconds, 2), rows_per_second=round(total / max(seconds, 1e-9)))
    return total


def _prepare(reader: BulkReader, part: TopicAndPartition, task: Restoration) -> int:
    """Where to read from; the store is emptied when it cannot be resumed."""
    table = task.table
    first, task.end = reader.bounds(part)
    plan = plan_restore(table.store.checkpoint, table.topic_id, first, task.end)
    if plan.plan is Plan.REFUSE and table.store.scan(None, 1):
        raise WrongTopic(
            f"changelog {task.topic}: it was deleted and created again, and the store {table.store.path} has rows of "
            "the former one, perhaps their last copy; stop all workers, then on each host either restore the topic "
            "from its stores, `cm-streams stores restore`, or build the rows from the inputs, `cm-streams stores "
            "discard`"
        )
    if plan.plan is not Plan.RESUME:
        if table.store.checkpoint is not None:
            log.warning("store rebuilt", topic=task.topic, partition=table.partition, reason=plan.reason)
        if not table.store.is_empty():  # opening it again takes some twenty writes that are waited for
            table.store.empty()
        table.store.load(begin=True)
        task.rebuilt = True
    table.next_offset = plan.start
    return plan.start


def _write(task: Restoration, messages: Sequence[Any]) -> None:
    if task.indexed and not task.rebuilt:
        _write_indexed(task, messages)
    else:
        # An index is built when all rows are there; until then a restart must rebuild again: no checkpoint is written.
        _write_bytes(task, messages, with_checkpoint=not task.indexed)
    task.table.next_offset = messages[-1].offset() + 1
    task.rows += len(messages)


def _write_indexed(task: Restoration, messages: Sequence[Any]) -> None:
    """Write rows with what they change in the index, which needs them decoded."""
    table = task.table
    if task.public:
        blobs = {m.key(): blob_of(m.value(), m.headers(), public=True) for m in messages}
    else:
        blobs = {m.key(): m.value() for m in messages}
    table.store.write(table.index_changes(blobs), Checkpoint(table.topic_id, messages[-1].offset() + 1))


def _write_bytes(task: Restoration, messages: Sequence[Any], *, with_checkpoint: bool) -> None:
    """Write rows as the changelog has them, in order; nothing of them is decoded."""
    table, state_header = task.table, STATE_HEADER if task.public else None
    for start in range(0, len(messages), ROWS_PER_WRITE):
        stop = min(start + ROWS_PER_WRITE, len(messages))
        checkpoint = Checkpoint(table.topic_id, messages[stop - 1].offset() + 1) if with_checkpoint else None
        fill = partial(put_records, records=messages, start=start, stop=stop, state_header=state_header)
        table.store.write_with(fill, checkpoint)


def _finish(task: Restoration) -> None:
    table = task.table
    if task.indexed and task.rebuilt:
        table.rebuild_index()
    table.next_offset = max(table.next_offset, task.end)
    table.store.write([], Checkpoint(table.topic_id, table.next_offset))
    if task.rows:
        table.store.flush()


def _text_of(unfinished: Mapping[TopicAndPartition, Restoration]) -> str:
    return ", ".join(f"{t}[{p}] at {r.table.next_offset} of {r.end}" for (t, p), r in sorted(unfinished.items()))
