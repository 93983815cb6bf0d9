"""A right key in the wrong partition, on the real broker: moved, and a replay of it changes nothing."""

import orjson
from confluent_kafka import ConsumerGroupTopicPartitions, TopicPartition
from confluent_kafka.admin import AdminClient

from streams.batches import partition_of
from tests.integration.export.conftest import PARTITIONS, World
from tests.integration.export.test_slice import at_rest, until

ANN = "ann@example.com"


async def test_a_record_in_the_wrong_partition_is_moved_once_and_again_after_a_replay(world: World) -> None:
    wrong = (partition_of(ANN.encode(), PARTITIONS) + 1) % PARTITIONS
    audience = {"id": "eu", "name": "EU"}
    body = {"email": ANN, "change": "enter", "audience": audience, "at": "2026-01-02T00:00:02Z"}
    topic = world.names["audience-membership"]
    world.job()
    world.change(ANN, "enter", "vip", 1)
    world.producer.produce(topic, orjson.dumps(body), ANN.encode(), partition=wrong)
    world.producer.flush()
    for copies in (1, 2):
        async with world.worker(f"w{copies}") as worker:
            await until(lambda: len(world.read("audience-membership")) == 2 + copies)  # noqa: B023 - awaited in the loop
            await at_rest(worker)
            group = worker.app.settings.app_id
            assert worker.app.metrics.total("cm_streams_batches_misplaced_total") == 1
        found = world.simulator.controls.subscriber(world.list_id, ANN)
        options = {value["Value"] for value in found["CustomFields"] if value["Key"] == "Lytics Audiences"}
        assert options == {"VIP", "EU"}
        admin = AdminClient({"bootstrap.servers": world.kafka.bootstrap_servers})
        replay = ConsumerGroupTopicPartitions(group, [TopicPartition(topic, wrong, 0)])
        admin.alter_consumer_group_offsets([replay])[group].result()
    ids = [receipt["event_id"] for receipt in world.receipts()]
    assert len(ids) == len(set(ids)) == 3
    places = {m.partition() for m, _ in world.read("cm_memberships-changelog") if m.key() == ANN.encode()}
    assert places == {1 - wrong}
