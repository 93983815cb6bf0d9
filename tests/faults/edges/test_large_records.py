"""Events that are valid and in another key's partition, and larger than their topic takes with one header more."""

from __future__ import annotations

import json
import random
from string import ascii_letters
from typing import Any

import pytest
from confluent_kafka.admin import AdminClient, AlterConfigOpType, ConfigEntry, ConfigResource, ResourceType

from streams.batches import partition_of
from tests import kafka_io
from tests.deadline import within
from tests.faults.batches.farm import PARTITIONS, Farm


def large(number: int, size: int) -> bytes:
    """A valid event of so many bytes, which compression does not make smaller."""
    start = json.dumps({"i": number, "v": 1, "pad": ""}).encode()
    return start[:-2] + "".join(random.Random(number).choices(ascii_letters, k=size - len(start))).encode() + start[-2:]


def misplace(farm: Farm, key: bytes, values: list[bytes]) -> None:
    """Publish events of a key to another key's partition, one in a request."""
    wrong = (partition_of(key, PARTITIONS) + 1) % PARTITIONS
    for value in values:
        kafka_io.produce(
            farm.bootstrap_servers,
            farm.source,
            [(key, value)],
            partition=wrong,
            config={"message.max.bytes": 4_000_000},
        )


def limit(farm: Farm, admin: AdminClient, max_message_bytes: int) -> None:
    """Set the largest record, and batch of records, that the source takes; return when the broker applies it."""
    entry = ConfigEntry("max.message.bytes", str(max_message_bytes), incremental_operation=AlterConfigOpType.SET)
    resource = ConfigResource(ResourceType.TOPIC, farm.source, incremental_configs=[entry])
    admin.incremental_alter_configs([resource])[resource].result(10)

    def applied() -> bool:
        try:
            kafka_io.produce(farm.bootstrap_servers, farm.source, [(b"k", b"x" * (max_message_bytes + 100))])
        except AssertionError:
            return True
        return False

    if max_message_bytes < 1_000_000:
        within(10, applied, every=0.2)


@pytest.mark.parametrize("max_message_bytes", [100_000, pytest.param(1_048_588, marks=pytest.mark.long_fault)])
def test_a_misplaced_event_as_large_as_its_topic_takes_is_a_dead_letter(
    farm: Farm, kafka_admin: AdminClient, max_message_bytes: int
) -> None:
    limit(farm, kafka_admin, max_message_bytes)
    misplace(farm, b"user-1", [large(0, max_message_bytes - 90)])
    farm.produce(farm.events(100, 5))
    worker = farm.start("one", stall_seconds=8)
    farm.drained(20)
    assert worker.process.exit_code is None
    letters = [letter for letter in kafka_io.read_all(farm.bootstrap_servers, farm.dead_letters) if letter.key != b"k"]
    headers: list[dict[str, Any]] = [dict(letter.headers) for letter in letters]
    assert [(letter.key, header["dlq.stage"]) for letter, header in zip(letters, headers, strict=True)] == [
        (b"user-1", b"fold")
    ]
    assert b"exceeds the limit of" in headers[0]["dlq.reason"]


def test_misplaced_events_that_fit_one_by_one_are_moved(farm: Farm, kafka_admin: AdminClient) -> None:
    """Published together they are one batch of records, which a topic refuses as it does a record."""
    limit(farm, kafka_admin, 100_000)
    misplace(farm, b"user-1", [large(number, 60_000) for number in range(4)])
    worker = farm.start("one", stall_seconds=8)
    farm.drained(20)
    assert worker.process.exit_code is None
    assert farm.published()[b"user-1"]["n"] == 4
