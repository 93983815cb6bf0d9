"""Rows, outputs and dead letters are acknowledged before anything settles, whatever their size."""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
from typing import Any

import pytest
from confluent_kafka.admin import AlterConfigOpType, ConfigEntry, ConfigResource, ResourceType

from schemas import dead_letter
from streams.batches import NotDelivered, Output, PoisonRecord
from streams.batches.core.producer import Producer
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
    assert len(there) > 3, "the others came through, so the last one's answer alone proves nothing"
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
        assert app.metrics.total("cm_streams_batches_retries_total") > 0


@pytest.mark.parametrize("which", ["outputs", "dead letters"])
async def test_nothing_settles_while_a_topic_takes_no_writes(
    counting, all_rows, ended, kafka_admin, which: str
) -> None:
    outputs, letters = f"{counting.source}.out", f"{counting.source}.dlq"
    missing = {"outputs": outputs, "dead letters": letters}[which]
    if missing == letters:
        kafka_io.create_topic(counting.bootstrap_servers, outputs, 4)

    def fold(row: Any, records: Any) -> list[Output]:
        for record in records:
            if record.value == b"poison":
                raise PoisonRecord("poison")
        row.data["n"] = row.data.get("n", 0) + len(records)
        return [Output(outputs, record.key, record.value) for record in records]

    app, table = counting.app(fold=fold, message_timeout_seconds=1.0)
    async with app.running():
        await eventually(lambda: len(table.owned()) == 4)
        if missing == letters:  # a start would create it
            kafka_admin.delete_topics([letters])[letters].result()
            await eventually(lambda: letters not in kafka_admin.list_topics(timeout=10).topics)
        await counting.produce([(b"k%d" % (n % 10), b"poison" if n < 10 else b"%d" % n) for n in range(110)])
        await eventually(lambda: app.metrics.total("cm_streams_batches_retries_total") >= 4)
        await app.runtime.consumer.commit()
        assert all(offset <= 0 for offset in await counting.committed())
        assert await all_rows(table) == {}, "rows come after what was to be sent"
        await asyncio.to_thread(kafka_io.create_topic, counting.bootstrap_servers, missing, 4)
        await app.settled(60)
        rows = await all_rows(table)
    assert {key: json.loads(data)["n"] for key, (data, _) in rows.items()} == {b"k%d" % n: 10 for n in range(10)}
    passed_on = await asyncio.to_thread(kafka_io.read_all, counting.bootstrap_servers, outputs)
    assert {record.value for record in passed_on} == {b"%d" % n for n in range(10, 110)}
    kept = await counting.dead_letters()
    assert {letter.key for letter in kept if letter.value == b"poison"} == {b"k%d" % n for n in range(10)}
    # A topic that is deleted under a running process ends it, see docs/batches.md; here it goes on.
    assert ended == ([78] if missing == letters else [])


def refuse_large(row: Any, records: Any) -> None:
    for record in records:
        if len(record.value) > 100:
            raise PoisonRecord("too large", stage="schema")
        row.data["n"] = row.data.get("n", 0) + 1


@pytest.mark.parametrize(
    ("size", "codec"),
    [
        (990_000, "none"),  # fits as it is
        (1_040_000, "none"),  # between the producer's limit and the topic's
        (1_048_450, "none"),  # the largest that comes in
        (5_000_000, "zstd"),  # arrives compressed
    ],
)
async def test_a_refused_record_beyond_the_producer_s_limit_is_shortened(
    counting, ended, size: int, codec: str
) -> None:
    value = b"x" * size
    config = {"message.max.bytes": 6_000_000, "compression.type": codec}
    await counting.produce([(b"k", b"1"), (b"k", value), (b"k", b"1")], config=config)
    app, table = counting.app(
        fold=refuse_large, max_record_bytes=900_000, producer_options={"message.max.bytes": 1_000_000}
    )
    async with app.running():
        await app.settled()
        assert (await table.get(b"k")).data == {"n": 2}, "the stream went on"
    assert ended == []
    (letter,) = await counting.dead_letters(1)
    headers = dict(letter.headers)
    assert headers[dead_letter.TOPIC] == counting.source.encode()
    assert headers[dead_letter.REASON] == b"too large"
    if size < 1_000_000:
        assert letter.value == value
    else:
        assert letter.value is None
        assert headers[dead_letter.LEFT_OUT_BYTES] == b"%d" % size
        assert headers[dead_letter.LEFT_OUT_SHA256] == hashlib.sha256(value).hexdigest().encode()


async def test_a_refused_record_beyond_the_dead_letter_topic_s_limit_is_shortened(counting, ended, kafka_admin) -> None:
    """Also where letters that fit one by one would not fit into one request."""
    entry = ConfigEntry("max.message.bytes", "20000", incremental_operation=AlterConfigOpType.SET)
    resource = ConfigResource(ResourceType.TOPIC, f"{counting.source}.dlq", incremental_configs=[entry])
    kafka_admin.incremental_alter_configs([resource])[resource].result()
    await counting.produce([(b"k%d" % n, b"x" * 15_000) for n in range(20)] + [(b"k", b"y" * 30_000), (b"k", b"1")])
    app, table = counting.app(fold=refuse_large, compression="none")
    async with app.running():
        await app.settled()
        assert (await table.get(b"k")).data == {"n": 1}
    assert ended == []
    letters = await counting.dead_letters(21)
    assert sorted(len(letter.value or b"") for letter in letters) == [0, *[15_000] * 20]


@pytest.mark.parametrize("size", [1_060_000, 2_000_000])
async def test_an_output_that_no_topic_takes_is_a_dead_letter_of_its_record(counting, ended, size: int) -> None:
    """Before, the process ended, and the next one read the same record again; or it was sent and refused for ever,
    where the producer's limit is the larger one: it has room for dead letters."""

    async def agent(batch: Any) -> None:
        outputs = [
            Output(counting.changelog, r.key, os.urandom(size) if r.value == b"5" else b"") for r in batch.records
        ]
        await table.write(batch, [], outputs)

    app, table = counting.app()
    app.runtime.batched[counting.source] = agent
    await counting.produce([(b"k%d" % (n % 3), b"%d" % n) for n in range(20)])
    async with app.running():
        await app.settled()
    assert ended == []
    (letter,) = await counting.dead_letters(1)
    assert letter.value == b"5"
    limit = b"exceeds the limit of %d bytes" % app.settings.kafka.max_message_bytes
    assert limit in dict(letter.headers)[dead_letter.REASON]
