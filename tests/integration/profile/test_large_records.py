"""A record that is refused does not end the aggregator, however large it is."""

import asyncio
import hashlib

import pytest

from streams.batches.core import halt
from tests import kafka_io
from tests.integration.profile.test_aggregator import activity


@pytest.mark.parametrize(("size", "codec"), [(1_030_000, "none"), (3_000_000, "lz4")])
async def test_a_refused_record_near_and_beyond_the_limits_is_kept(world, monkeypatch, size, codec):
    """Before, the worker ended on it, and read it again for ever."""
    ends = []
    monkeypatch.setattr(halt, "exit_process", ends.append)
    value = b"{" + b"x" * (size - 1)
    config = {"message.max.bytes": 4_000_000, "compression.type": codec}
    topic = f"{world.namespace}cm_activity"
    async with world.running() as worker:
        await world.publish("cm_activity", activity("a@x.com", 1))
        await asyncio.to_thread(kafka_io.produce, world.bootstrap_servers, topic, [(b"a@x.com", value)], config=config)
        await world.publish("cm_activity", activity("a@x.com", 2))
        await worker.app.settled()
        profiles = await world.profiles()
        (letter,) = await world.records("cm_activity.dlq")

    assert ends == []
    assert profiles["a@x.com"]["cm_openct"] == 2
    headers = dict(letter.headers)
    assert letter.key == b"a@x.com"
    assert headers["dlq.topic"] == topic.encode()
    if size < worker.app.settings.max_message_bytes - 1000:
        assert letter.value == value
    else:
        assert letter.value is None
        assert headers["dlq.left_out_bytes"] == b"%d" % size
        assert headers["dlq.left_out_sha256"] == hashlib.sha256(value).hexdigest().encode()
