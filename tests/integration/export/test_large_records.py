"""A refused record of about 1 MB, or one that grew when it was unpacked, becomes a dead letter; its stream goes on."""

import asyncio
import hashlib
import os
import time
from typing import Any

import pytest
from confluent_kafka.admin import AdminClient, AlterConfigOpType, ConfigEntry, ConfigResource, ResourceType

from tests.integration.export.test_slice import at_rest, until
from tests.kafka_io import produce

ROOM = 65_536
"""What the topics' plan gives a dead-letter topic beyond its input's limit."""


def limit(world: Any, role: str, max_message_bytes: int) -> None:
    """Set the largest record that a topic takes."""
    entry = ConfigEntry("max.message.bytes", str(max_message_bytes), incremental_operation=AlterConfigOpType.SET)
    resource = ConfigResource(ResourceType.TOPIC, world.names[role], incremental_configs=[entry])
    admin = AdminClient({"bootstrap.servers": world.kafka.bootstrap_servers})
    for future in admin.incremental_alter_configs([resource]).values():
        future.result(10)


def produce_when_accepted(world: Any, record: tuple[bytes, bytes], config: dict[str, Any]) -> None:
    """Publish a record; a broker applies a topic's new limit some moments after it has acknowledged it."""
    deadline = time.monotonic() + 10
    while True:
        try:
            produce(world.kafka.bootstrap_servers, world.names["audience-membership"], [record], config=config)
            return
        except AssertionError as refused:
            if "MSG_SIZE_TOO_LARGE" not in str(refused) or time.monotonic() > deadline:
                raise
            time.sleep(0.1)


@pytest.mark.parametrize(
    ("size", "compression"),
    [
        (1_052_000, "none"),  # between the producer's limit and the writer's: this ended the worker, again and again
        (1_052_000, "lz4"),
        (1_113_000, "none"),
        (1_114_000, "none"),
        (3_000_000, "lz4"),
    ],
)
async def test_a_refused_record_is_kept_and_the_stream_goes_on(world: Any, size: int, compression: str) -> None:
    """An operator may let larger records in than we ask for, and a compressed one passes whatever its size."""
    limit(world, "audience-membership", 1_300_000)
    limit(world, "audience-membership.dlq", world.kafka.max_message_bytes + ROOM)
    value = b"{" * size if compression == "lz4" else os.urandom(size)
    config = {"message.max.bytes": 4_000_000, "compression.type": compression}
    world.job()
    await asyncio.to_thread(produce_when_accepted, world, (b"ann@example.com", value), config)
    world.change("ann@example.com", "enter", "vip", 1)
    world.producer.flush()
    async with world.worker() as worker:
        await until(lambda: world.simulator.controls.subscriber(world.list_id, "ann@example.com"))
        await at_rest(worker)
        letters = await asyncio.to_thread(world.read, "audience-membership.dlq")
    assert len(letters) == 1
    headers = dict(letters[0][0].headers())
    assert headers["dlq.topic"].decode() == world.names["audience-membership"]
    if size <= 1_113_000:  # the topic's limit, less our headers
        assert letters[0][1] == value
    else:
        assert letters[0][1] is None
        assert headers["dlq.left_out_bytes"] == b"%d" % size
        assert headers["dlq.left_out_sha256"].decode() == hashlib.sha256(value).hexdigest()
