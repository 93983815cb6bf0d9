"""Peer: the profile job as Faust's documentation writes it: an agent, a table in RocksDB, its changelog the output."""

import os
import sys
from collections import deque
from collections.abc import Awaitable
from typing import Any

import faust

from benchmarks.job import PARTITIONS, Job, Stopwatch
from benchmarks.peers.profile_update import update

JOB = Job.from_arguments(sys.argv[1:])
STOPWATCH = Stopwatch()

app = faust.App(
    JOB.app,
    broker=f"kafka://{JOB.bootstrap}",
    store="rocksdb://",
    topic_partitions=PARTITIONS,
    datadir=str(JOB.state),
    web_enabled=False,
    table_standby_replicas=0,
)
events = app.topic(JOB.inputs[0], key_type=bytes, value_serializer="json", partitions=PARTITIONS)
profiles = app.Table(
    "profiles",
    key_type=bytes,  # a key of type str would be JSON on the changelog
    default=dict,
    partitions=PARTITIONS,
    options={"driver": "rocksdict"},
)


LAST_SENT: deque[Awaitable[object]] = deque(maxlen=1)
_send_changelog = profiles.send_changelog


def _remember(*args: Any, **kwargs: Any) -> Awaitable[object]:
    LAST_SENT.append(_send_changelog(*args, **kwargs))
    return LAST_SENT[-1]


profiles.send_changelog = _remember


@app.agent(events)
async def aggregate(stream: faust.Stream) -> None:
    """Fold each event; after the last one wait until the broker has every changelog record."""
    done = 0
    async for key, event in stream.items():
        STOPWATCH.start()
        profile = profiles[key]
        update(profile, event)
        profiles[key] = profile
        done += 1
        if done == JOB.events:
            await LAST_SENT[-1]  # flush alone forgets the message that is just being handed over
            await app.producer.flush()
            STOPWATCH.report(done)
            os._exit(0)


if __name__ == "__main__":
    faust.Worker(app, loglevel="WARN").execute_from_commandline()
