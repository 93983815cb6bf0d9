"""Peer: Faust's own recovery of a RocksDB table from its changelog. Options: none; `events` may be fewer than all keys.

Faust needs minutes for a million keys, so a partial measure is allowed: its rate is steady after the first seconds.
The clock runs from the seek that starts the recovery. Two hooks take the time, they change nothing.
"""

import os
import sys
from collections.abc import Iterable
from typing import Any

import faust
from faust.tables.recovery import Recovery

from benchmarks.job import PARTITIONS, Job, Stopwatch

JOB = Job.from_arguments(sys.argv[1:])
STOPWATCH = Stopwatch()
EVENTS, CHANGELOG = JOB.inputs

app = faust.App(
    JOB.app,
    broker=f"kafka://{JOB.bootstrap}",
    store="rocksdb://",
    topic_partitions=PARTITIONS,
    datadir=str(JOB.state),
    web_enabled=False,
    table_standby_replicas=0,
)
profiles = app.Table(
    "profiles",
    partitions=PARTITIONS,
    options={"driver": "rocksdict"},
    changelog_topic=app.topic(
        CHANGELOG,
        partitions=PARTITIONS,
        key_serializer="raw",
        value_serializer="json",
        compacting=True,
        internal=True,
    ),
)
events = app.topic(EVENTS, value_serializer="raw", key_serializer="raw", partitions=PARTITIONS)


@app.agent(events)
async def aggregate(stream: faust.Stream) -> None:
    """Hold the table: without a stream Faust gives it no partitions."""
    async for key, value in stream.items():
        profiles[key] = value


def watch_recovery() -> None:
    """Start the stopwatch at the recovery's seek, and report once enough records are in the store."""
    seek, apply, restored = Recovery._seek_offsets, profiles.data.apply_changelog_batch, 0

    async def timed_seek(self: Recovery, *args: Any, **kwargs: Any) -> Any:
        STOPWATCH.start()
        return await seek(self, *args, **kwargs)

    def counted_apply(batch: Iterable[Any], *args: Any, **kwargs: Any) -> None:
        nonlocal restored
        records = list(batch)
        apply(records, *args, **kwargs)
        restored += len(records)
        if restored >= JOB.events:
            STOPWATCH.report(restored)
            os._exit(0)

    Recovery._seek_offsets = timed_seek
    profiles.data.apply_changelog_batch = counted_apply


if __name__ == "__main__":
    watch_recovery()
    faust.Worker(app, loglevel="WARN").execute_from_commandline()
