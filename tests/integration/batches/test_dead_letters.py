"""A refused record becomes a dead letter whatever its size, and its stream continues."""

from __future__ import annotations

import hashlib
from typing import Any

import pytest
from confluent_kafka.admin import AlterConfigOpType, ConfigEntry, ConfigResource, ResourceType

from schemas import dead_letter
from streams.batches import Output, PoisonRecord


def refuse_large(row: Any, records: Any) -> None:
    for record in records:
        if len(record.value) > 100:
            raise PoisonRecord("too large", stage="schema")
        row.data["n"] = row.data.get("n", 0) + 1


@pytest.mark.parametrize(
    ("size", "codec"),
    [
        (990_000, "none"),  # with our headers beyond what the producer takes
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
    app, table = counting.app(fold=refuse_large, max_record_bytes=900_000)
    async with app.running():
        await app.settled()
        assert (await table.get(b"k")).data == {"n": 2}, "the stream went on"
    assert ended == []
    (letter,) = await counting.dead_letters(1)
    headers = dict(letter.headers)
    assert headers[dead_letter.TOPIC] == counting.source.encode()
    assert headers[dead_letter.REASON] == b"too large"
    if letter.value is None or len(letter.value) < size:
        assert headers[dead_letter.LEFT_OUT_BYTES] == b"%d" % size
        assert headers[dead_letter.LEFT_OUT_SHA256] == hashlib.sha256(value).hexdigest().encode()
    else:
        assert size < 1_000_000


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


async def test_an_output_beyond_the_producer_s_limit_is_a_dead_letter_of_its_record(counting, ended) -> None:
    """Before, the process ended, and the next one read the same record again."""

    async def agent(batch: Any) -> None:
        outputs = [Output(counting.changelog, record.key, record.value * 1000) for record in batch.records]
        await table.write(batch, [], outputs)

    app, table = counting.app()
    app.runtime.batched[counting.source] = agent
    await counting.produce([(b"k%d" % (n % 3), b"x" * (2000 if n == 5 else 1)) for n in range(20)])
    async with app.running():
        await app.settled()
    assert ended == []
    (letter,) = await counting.dead_letters(1)
    assert letter.value == b"x" * 2000
    assert b"exceeds the limit of 1050000 bytes" in dict(letter.headers)[dead_letter.REASON]
