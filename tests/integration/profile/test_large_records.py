"""A refused record of about 1 MB, or one that grew when it was unpacked, becomes a dead letter; its stream goes on."""

import asyncio
import hashlib
import os

import pytest

from tests import kafka_io
from tests.integration.profile.conftest import World

ANN = {"event": "click", "email": "ann@example.com", "source": "campaign", "at": "2026-01-02T00:00:00Z"}


@pytest.mark.parametrize(("size", "compression"), [(1_020_000, "none"), (3_000_000, "lz4")])
async def test_a_refused_record_is_kept_and_the_stream_goes_on(world: World, size: int, compression: str) -> None:
    """1,020,000 bytes are between the worker's producer's limit of former days and the topic's."""
    value = os.urandom(size) if compression == "none" else b"{" * size
    config = {"message.max.bytes": 4_000_000, "compression.type": compression}
    topic = world.namespace + "cm_activity"
    record = (b"ann@example.com", value)
    await asyncio.to_thread(kafka_io.produce, world.bootstrap_servers, topic, [record], config=config)
    await world.publish("cm_activity", ANN)
    async with world.running() as worker:
        await worker.app.settled()
        letters = await world.records("cm_activity.dlq")
        profiles = await world.profiles()
    assert profiles["ann@example.com"]["cm_clickct"] == 1
    assert len(letters) == 1
    headers = dict(letters[0].headers)
    if compression == "none":
        assert letters[0].value == value
    else:
        assert letters[0].value is None
        assert headers["dlq.left_out_bytes"] == b"%d" % size
        assert headers["dlq.left_out_sha256"].decode() == hashlib.sha256(value).hexdigest()
