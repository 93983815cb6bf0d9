"""A changelog that was deleted and created again: its rows are restored from the stores, or built from the inputs.

The stores are the last copy then. Workers refuse to start; a person decides which of the two it is to be. And one that
is to have more partitions: its rows are copied to another topic, each to the partition of its key.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

import confluent_kafka

from connectors.kafka.read_to_end import EndReader, TopicAndPartition, newest_by_partition, reader_config
from streams.batches.core.batch import Output, partition_of
from streams.batches.core.errors import WrongTopic
from streams.batches.process.app import BatchApp
from streams.batches.process.topics import Reset, ensure_changelogs, reset
from streams.batches.table.rocksdb import DirectoryLock, StoreOptions, remove_store
from streams.batches.table.store import Checkpoint, PartitionStore
from streams.batches.table.table import BatchTable

RESTORED = "restored-from"
"""Header of a row that was restored: how much of the former changelog its store had. Of several hosts' stores of one
partition the one that had more counts, and a row that a worker wrote since counts more than both."""
ROWS_AT_ONCE = 2_000


class RestoredStore(NamedTuple):
    """What became of one store."""

    table: str
    partition: int
    rows: int


async def restore_changelogs(app: BatchApp) -> list[RestoredStore]:
    """Publish the rows of this host's stores to changelogs that were created again; the stores are theirs then.

    May be repeated, also after it was broken off. Raises StoreLocked while a worker uses the stores, WrongTopic,
    TransientError, NotDelivered.
    """
    with _locked(app):
        facts = await asyncio.to_thread(_facts, app)
        restored = []
        for table in app.runtime.takeover.tables:
            for partition in range(app.settings.partitions):
                path = _path(app, table, partition)
                if path.exists():
                    rows = await _restore(app, table, partition, path, facts[table.changelog].topic_id)
                    if rows is not None:
                        restored.append(RestoredStore(table.name, partition, rows))
        await app.producer.close(10.0)
        return restored


def discard_stores(app: BatchApp) -> list[Reset]:
    """Delete this host's stores, and set the group back to the first records of its inputs. Blocking.

    Raises StoreLocked while a worker uses the stores, WrongTopic where a changelog is not empty: rows in it would skip
    the records that they were made of. FatalError while members of the group run, TransientError.
    """
    with _locked(app):
        _facts(app)
        for table in app.runtime.takeover.tables:
            _refuse_rows(app, table.changelog)
        done = [change for topic in sorted(app.runtime.batched) for change in reset(app.settings, topic)]
        for table in app.runtime.takeover.tables:
            for partition in range(app.settings.partitions):
                remove_store(_path(app, table, partition))
        return done


async def copy_changelog(app: BatchApp, former: str, *, without: Collection[bytes] = ()) -> int:
    """Publish the newest record of each key of a changelog, hidden state included, to the app's own one; their number.

    The app has one table, whose changelog is empty. Positions in the rows are those of the former inputs, so nothing of
    other ones counts as folded in. `without`: keys of rows that are a partition's, not a person's. May be repeated once
    the topic was created again.

    Raises WrongTopic where the changelog has records, ReadError, TransientError, NotDelivered.
    """
    (table,) = app.runtime.takeover.tables
    await asyncio.to_thread(_facts, app)
    await asyncio.to_thread(_refuse_rows, app, table.changelog)
    parts, count = newest_by_partition(app.settings.kafka, f"{app.settings.app_id}-copy", former), 0
    while (rows := await asyncio.to_thread(next, parts, None)) is not None:
        records = [
            Output(table.changelog, key, record.value, record.headers, partition_of(key, app.settings.partitions))
            for key, record in rows.items()
            if key not in without
        ]
        await app.producer.publish_all(records)
        count += len(records)
    await app.producer.close(10.0)
    return count


@contextmanager
def _locked(app: BatchApp) -> Iterator[None]:
    lock = DirectoryLock(app.settings.data_dir / app.settings.app_id)
    lock.acquire()
    try:
        yield
    finally:
        lock.release()


def _facts(app: BatchApp) -> dict[str, Any]:
    changelogs = [table.changelog for table in app.runtime.takeover.tables]
    return ensure_changelogs(app.runtime.takeover.admin, changelogs, app.settings)


def _path(app: BatchApp, table: BatchTable[Any], partition: int) -> Path:
    return app.settings.data_dir / app.settings.app_id / "tables" / table.name / str(partition)


@contextmanager
def _reader(app: BatchApp) -> Iterator[EndReader]:
    consumer = confluent_kafka.Consumer(
        {**reader_config(app.settings.kafka, f"{app.settings.app_id}-restore"), "auto.offset.reset": "error"}
    )
    try:
        yield EndReader(consumer)
    finally:
        consumer.close()


def _refuse_rows(app: BatchApp, changelog: str) -> None:
    with _reader(app) as reader:
        ends = [reader.bounds(part)[1] for part in reader.partitions(changelog)]
    if any(ends):
        raise WrongTopic(
            f"changelog {changelog}: found {sum(ends)} records, wanted none; rows in it would skip what they were made "
            "of: delete the topic and create it again first"
        )


async def _restore(app: BatchApp, table: BatchTable[Any], partition: int, path: Path, topic_id: int) -> int | None:
    """Return how many rows were published; None when the store is of this changelog, or empty."""
    settings = app.settings
    options = StoreOptions(settings.block_cache_bytes, settings.write_buffer_bytes, settings.write_buffers_bytes)
    store = PartitionStore(path, options)
    try:
        checkpoint = store.checkpoint
        if checkpoint is None or checkpoint.topic_id == topic_id:
            return None
        part = TopicAndPartition(table.changelog, partition)
        theirs, first = await asyncio.to_thread(_newer, app, part, checkpoint.next_offset)
        after, count = None, 0
        while rows := store.scan(after, ROWS_AT_ONCE):
            after = rows[-1][0]
            wanted = ((key, blob) for key, blob in rows if key not in theirs)
            while piece := list(islice(wanted, ROWS_AT_ONCE)):
                mark = (RESTORED, b"%d" % checkpoint.next_offset)
                await app.producer.publish_rows(
                    table.changelog, partition, [table.writer.record_of(key, blob, mark) for key, blob in piece]
                )
                count += len(piece)
        # From its first record: rows that others wrote since are read by the next start.
        store.write([], Checkpoint(topic_id, first))
        store.flush()
        return count
    finally:
        store.close()


def _newer(app: BatchApp, part: TopicAndPartition, mine: int) -> tuple[set[bytes], int]:
    """Return the keys whose rows in the changelog count more than this store's, and its first offset. Blocking."""
    keys: set[bytes] = set()
    with _reader(app) as reader:
        first, end = reader.bounds(part)
        reader.assign([part], {part: first}, {part: end})
        while reader.open:
            for messages in reader.poll().values():
                for message in messages:
                    theirs = dict(message.headers() or ()).get(RESTORED)
                    if theirs is None or int(theirs) >= mine:
                        keys.add(message.key())
                    else:
                        keys.discard(message.key())
    return keys, first
