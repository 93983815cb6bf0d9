"""A profile worker whose state at the instant of its death can be read: for tests that kill it."""

import asyncio
import os
import signal
import time
from pathlib import Path

from connectors.kafka.settings import KafkaSettings
from streams.batches import Batch
from streams.batches.core import killpoints
from streams.process import StreamsSettings
from streams.profile.folding.fold import StreamFold
from streams.profile.settings import ProfileSettings
from streams.profile.worker import ProfileWorker, run_until_stopped
from tests.faults.batches.worker import Marks


def watch(worker: ProfileWorker, marks: Marks) -> None:
    """Note what is in work, and stand still at boundaries for as long as the driver says."""
    events = worker.agent.events

    async def noted(batch: Batch, stream: StreamFold) -> None:
        marks.add(0, 1)
        await events(batch, stream)
        marks.add(0, -1)
        marks.add(2, 1)

    def stand_still(point: str) -> None:
        if point == "after-settle":
            marks.put(1, 1)
        elif point == "after-commit":
            marks.put(1, 0)
        if stretch := marks.read()[3]:
            time.sleep(stretch / 1e6)

    worker.agent.events = noted  # type: ignore[method-assign]  # the agents look it up at each batch
    killpoints.hook = stand_still


async def main() -> None:
    """Run until a signal."""
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    worker = ProfileWorker(
        StreamsSettings(),
        KafkaSettings(),
        ProfileSettings(),
        commit_interval_seconds=0.1,
        fetch_max_wait_milliseconds=50,
        session_timeout_seconds=10,
        heartbeat_interval_seconds=0.5,
        message_timeout_seconds=8,
        allowed_pause_seconds=8,
        create_topics=False,
    )
    watch(worker, Marks(Path(os.environ["WORKER_MARKS"])))
    await run_until_stopped(worker, stop)


if __name__ == "__main__":
    asyncio.run(main())
