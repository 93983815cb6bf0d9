"""Ours: the profile worker itself, with its default mapping. Only the topics' names are the harness's."""

import os
import sys
from collections.abc import Sequence

from confluent_kafka.admin import AdminClient, NewTopic

from benchmarks.job import PARTITIONS, Job, Stopwatch
from connectors.kafka.settings import KafkaSettings
from streams.batches import Batch, DeadLetter
from streams.process import StreamsSettings
from streams.profile.folding.fold import StreamFold
from streams.profile.settings import ProfileSettings
from streams.profile.worker import ProfileWorker

JOB = Job.from_arguments(sys.argv[1:])
STOPWATCH = Stopwatch()
USERS, ACTIVITIES = JOB.inputs
# Nothing is written to these; the worker wants them to be there. They go with the run's other topics.
SIDE_TOPICS = {
    "cm_profile_moves": f"{JOB.app}-moves",
    "cm_erasures": f"{JOB.app}-erasures",
}


async def refuse(letters: Sequence[DeadLetter]) -> None:
    """Every event of a benchmark is good, so one that is refused ends the run."""
    print(f"refused: {letters[0]}", file=sys.stderr, flush=True)
    os._exit(1)


def watch(worker: ProfileWorker) -> None:
    """Time the agent: when it has folded a batch, the broker has the changed profiles and the store the rows."""
    fold = worker.agent.events
    done = 0

    async def timed(batch: Batch, stream: StreamFold) -> None:
        nonlocal done
        STOPWATCH.start()
        await fold(batch, stream)
        done += len(batch)
        if done >= JOB.events:
            STOPWATCH.report(done)
            os._exit(0)

    worker.agent.events = timed  # type: ignore[method-assign]  # the agents look it up at each batch


def main() -> None:
    """Run the worker until every event is in a profile."""
    admin = AdminClient({"bootstrap.servers": JOB.bootstrap})
    for future in admin.create_topics([NewTopic(name, PARTITIONS, 1) for name in SIDE_TOPICS.values()]).values():
        future.result()
    worker = ProfileWorker(
        StreamsSettings(_env_file=None, data_dir=JOB.state),
        KafkaSettings(
            _env_file=None,
            bootstrap_servers=JOB.bootstrap,
            topics={"cm_user": USERS, "cm_activity": ACTIVITIES, "cm_profile": JOB.output, **SIDE_TOPICS},
            partitions=PARTITIONS,
        ),
        ProfileSettings(_env_file=None, app_id=JOB.app),
    )
    worker.app._dead_letters.publish = refuse  # type: ignore[method-assign]
    watch(worker)
    worker.app.run(start=worker.start, stop=worker.stop)


if __name__ == "__main__":
    main()
