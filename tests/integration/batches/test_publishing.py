"""Only the last row's answer is asked for: its offset tells whether all of them are in the changelog."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from streams.batches import NotDelivered
from streams.batches.producer import Producer
from tests import kafka_io
from tests.deadline import eventually


@pytest.fixture
async def producer(counting) -> Any:
    producer = Producer(counting.settings(compression="none", producer_options={"batch.num.messages": 1}))
    yield producer
    await producer.close()


def rows(*sizes: int) -> list[tuple[bytes, bytes | None, None]]:
    return [(b"k%d" % n, b"v" * size, None) for n, size in enumerate(sizes)]


async def test_a_row_in_between_that_the_broker_refuses_is_missed(counting, producer: Producer) -> None:
    topic = await asyncio.to_thread(
        kafka_io.create_topic, counting.bootstrap_servers, counting.changelog, 1, {"max.message.bytes": "2000"}
    )
    assert await producer.publish_rows(topic, 0, rows(10, 10, 10), next_offset=0) == 2
    with pytest.raises(NotDelivered):
        await producer.publish_rows(topic, 0, rows(10, 5000, 10), next_offset=3)
    with pytest.raises(NotDelivered):
        await producer.publish_rows(topic, 0, rows(10, 5000, 10))
    there = await asyncio.to_thread(kafka_io.read_all, counting.bootstrap_servers, topic)
    assert len(there) > 3, "the others came through, so the last one's answer alone says nothing"
    end = there[-1].offset + 1
    assert await producer.publish_rows(topic, 0, rows(10, 10), next_offset=end) == end + 1


async def test_rows_of_somebody_else_in_the_changelog_cost_one_more_try(counting) -> None:
    app, table = counting.app()
    async with app.running():
        await counting.produce([(b"k%d" % n, b"1") for n in range(100)])
        await app.settled()
        stranger = Producer(counting.settings())
        for partition in range(4):
            await stranger.publish_rows(counting.changelog, partition, [(b"stranger", None, None)])
        await stranger.close(5)
        await counting.produce([(b"k%d" % n, b"1") for n in range(100)])
        await app.settled()
        await eventually(lambda: len(table.owned()) == 4)
        assert [(await table.get(b"k%d" % n)).data for n in range(100)] == [{"n": 2}] * 100
        assert app.metrics.total("batches_retries_total") > 0
