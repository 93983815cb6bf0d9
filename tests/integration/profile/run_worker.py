"""A profile worker as a process of its own, as settings in the environment say: for tests that end it."""

import asyncio
import signal

from connectors.kafka.settings import KafkaSettings
from streams.process import StreamsSettings
from streams.profile.settings import ProfileSettings
from streams.profile.worker import ProfileWorker, run_until_stopped


async def main() -> None:
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    worker = ProfileWorker(
        StreamsSettings(),
        KafkaSettings(),
        ProfileSettings(),
        commit_interval_seconds=0.2,
        fetch_max_wait_milliseconds=100,
        session_timeout_seconds=10,
        heartbeat_interval_seconds=1,
        message_timeout_seconds=8,
        allowed_pause_seconds=8,
        create_topics=False,
    )
    await run_until_stopped(worker, stop)


if __name__ == "__main__":
    asyncio.run(main())
