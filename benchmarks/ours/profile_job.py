"""Ours: the profile job on record batches. The table's changelog is the public topic of profiles."""

import os
import sys
from collections.abc import Sequence
from typing import Any

import orjson

from benchmarks.job import PARTITIONS, Job, Stopwatch
from benchmarks.peers.profile_update import update
from connectors.kafka.settings import KafkaSettings
from streams.batches import Batch, BatchApp, BatchSettings, DeadLetter, JsonCodec, Record, Row

JOB = Job.from_arguments(sys.argv[1:])
STOPWATCH = Stopwatch()


async def refuse(letters: Sequence[DeadLetter]) -> None:
    """End the run: every event of a benchmark is good, so one that is refused is a fault."""
    print(f"refused: {letters[0]}", file=sys.stderr, flush=True)
    os._exit(1)


app = BatchApp(
    BatchSettings(
        app_id=JOB.app, kafka=KafkaSettings(bootstrap_servers=JOB.bootstrap), data_dir=JOB.state, partitions=PARTITIONS
    ),
    dead_letters=refuse,
)
profiles = app.table("profiles", codec=JsonCodec(), sources=JOB.inputs, changelog=JOB.output, public=True)


def fold(row: Row[dict[str, Any]], records: Sequence[Record]) -> None:
    """Fold one person's events."""
    for record in records:
        update(row.data, orjson.loads(record.value or b""))


done = 0


@app.agent(*JOB.inputs)
async def aggregate(batch: Batch) -> None:
    """Fold a batch; when fold returns, the broker has its changelog records and the store its rows."""
    global done
    STOPWATCH.start()
    await profiles.fold(batch, fold)
    done += len(batch)
    if done >= JOB.events:
        STOPWATCH.report(done)
        os._exit(0)


if __name__ == "__main__":
    app.run()
