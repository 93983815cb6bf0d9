"""Peer: the profile job in Quix Streams: a dataframe with state (RocksDB and changelog), to an output topic.

Runs in a virtual environment of its own, made from requirements.lock. At-least-once, every setting its default.
"""

import sys
from typing import Any

from quixstreams import Application, State

from benchmarks.job import Job, Stopwatch
from benchmarks.peers.profile_update import update


def main() -> None:
    """Fold `events` events and end: Quix's own stop flushes the producer and commits."""
    job, stopwatch = Job.from_arguments(sys.argv[1:]), Stopwatch()
    app = Application(
        broker_address=job.bootstrap,
        consumer_group=job.app,
        auto_offset_reset="earliest",
        state_dir=str(job.state),
        processing_guarantee="at-least-once",
        loglevel="WARNING",
    )

    def fold(event: dict[str, Any], state: State) -> dict[str, Any]:
        stopwatch.start()
        profile: dict[str, Any] = state.get("profile") or {}
        update(profile, event)
        state.set("profile", profile)
        return profile

    events = app.topic(job.inputs[0], key_deserializer="str", value_deserializer="json")
    profiles = app.topic(job.output, key_serializer="str", value_serializer="json")
    app.dataframe(events).apply(fold, stateful=True).to_topic(profiles)
    app.run(count=job.events, timeout=60, collect=False)
    stopwatch.report(job.events)


if __name__ == "__main__":
    main()
