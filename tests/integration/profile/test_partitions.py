"""A right key in the wrong partition, on the real broker: moved, and a replay of it counts nothing twice."""

import asyncio
import json

from confluent_kafka import ConsumerGroupTopicPartitions, TopicPartition
from confluent_kafka.admin import AdminClient

from streams.batches import partition_of
from tests import kafka_io
from tests.deadline import eventually
from tests.integration.profile.conftest import PARTITIONS
from tests.integration.profile.test_aggregator import activity

ANN = "ann@x.com"


async def test_a_record_in_the_wrong_partition_is_moved_and_counted_once_also_after_a_replay(world):
    wrong = (partition_of(ANN.encode(), PARTITIONS) + 1) % PARTITIONS
    topic = world.namespace + "cm_activity"
    messages = [activity(ANN, 1), activity(ANN, 2) | {"event_id": None}]
    records = [(ANN.encode(), json.dumps(message).encode()) for message in messages]
    await asyncio.to_thread(kafka_io.produce, world.bootstrap_servers, topic, records, partition=wrong)
    for copies in (1, 2):
        async with world.running(f"w{copies}") as worker:
            await eventually(lambda worker=worker: worker.app.metrics.total("cm_streams_batches_misplaced_total") == 2)
            await worker.app.settled()
            group = worker.app.settings.app_id
        assert len(await world.records("cm_activity")) == 2 + 2 * copies
        assert (await world.profiles())[ANN]["cm_openct"] == 2
        admin = AdminClient({"bootstrap.servers": world.bootstrap_servers})
        replay = ConsumerGroupTopicPartitions(group, [TopicPartition(topic, wrong, 0)])
        admin.alter_consumer_group_offsets([replay])[group].result()
    assert {record.partition for record in await world.records("cm_profile")} == {
        partition_of(ANN.encode(), PARTITIONS)
    }
