"""A record that is refused does not end the aggregator, however large it is."""

import asyncio
import hashlib

import pytest

from streams.batches.core import halt
from tests import kafka_io
from tests.integration.profile.test_aggregator import activity


@pytest.mark.parametrize(
    ("size", "codec", "whole"),
    [
        (1_030_000, "none", True),
        (1_048_300, "none", False),  # its topic takes just that (1,048,588 in all); our headers are too much
        (3_000_000, "lz4", False),
    ],
)
async def test_a_record_is_kept_without_its_value_where_it_does_not_fit(world, monkeypatch, size, codec, whole):
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
    assert (letter.key, letter.value) == (b"a@x.com", value if whole else None)
    assert headers["dlq.topic"] == topic.encode()
    if whole:
        return
    assert headers["dlq.left_out_bytes"] == b"%d" % size
    assert headers["dlq.left_out_sha256"] == hashlib.sha256(value).hexdigest().encode()
