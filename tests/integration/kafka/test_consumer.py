"""A group member that works per partition: order, committed records only, and partitions that come and go."""

import asyncio
import contextlib
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest
from confluent_kafka import Producer

from connectors.kafka.consumer import GroupConsumer
from connectors.kafka.records import ConsumedRecord
from connectors.kafka.settings import KafkaSettings
from tests.deadline import eventually
from tests.kafka_io import committed, create_topic, produce


@pytest.fixture
def settings(bootstrap_servers: str) -> KafkaSettings:
    return KafkaSettings(bootstrap_servers=bootstrap_servers, session_timeout_seconds=6, delivery_timeout_seconds=5)


@contextlib.asynccontextmanager
async def running(consumer: GroupConsumer, handle: Callable[[ConsumedRecord], Awaitable[None]]) -> AsyncIterator[None]:
    task = asyncio.create_task(consumer.run(handle))
    try:
        yield
        if task.done():
            task.result()
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


async def test_handles_each_partition_in_order_and_several_at_once(
    settings: KafkaSettings, bootstrap_servers: str, namespace: str
) -> None:
    topic = create_topic(bootstrap_servers, namespace + "tasks", 3)
    for partition in range(3):
        produce(bootstrap_servers, topic, [(b"k", b"%d" % n) for n in range(5)], partition=partition)
    seen: dict[int, list[int]] = defaultdict(list)
    at_work: set[int] = set()
    together = 0

    async def handle(record: ConsumedRecord) -> None:
        nonlocal together
        assert record.partition not in at_work, "two records of one partition in work"
        at_work.add(record.partition)
        together = max(together, len(at_work))
        await asyncio.sleep(0.01)
        seen[record.partition].append(record.offset)
        at_work.discard(record.partition)
        await consumer.commit(record.position)

    consumer = GroupConsumer(settings, namespace + "g", topic)
    async with running(consumer, handle):
        await eventually(lambda: sum(map(len, seen.values())) == 15)
        assert consumer.partitions == {0, 1, 2}
        produce(bootstrap_servers, topic, [(b"k", b"5")], partition=1)
        await eventually(lambda: len(seen[1]) == 6)
        await eventually(lambda: committed(bootstrap_servers, namespace + "g", topic, 3) == [5, 6, 5])
    assert seen == {0: list(range(5)), 1: list(range(6)), 2: list(range(5))}
    assert together > 1


async def test_a_task_is_taken_at_once(settings: KafkaSettings, bootstrap_servers: str, namespace: str) -> None:
    topic = create_topic(bootstrap_servers, namespace + "tasks")
    taken: list[float] = []

    async def handle(_record: ConsumedRecord) -> None:
        taken.append(time.monotonic())

    consumer = GroupConsumer(settings, namespace + "g", topic)
    async with running(consumer, handle):
        await eventually(lambda: consumer.partitions)
        delays = []
        for n in range(10):
            await asyncio.to_thread(produce, bootstrap_servers, topic, [(b"k", b"v")])
            sent = time.monotonic()
            await eventually(lambda n=n: len(taken) > n, every=0.001)
            delays.append(taken[n] - sent)
    assert sorted(delays)[4] < 0.1, delays


async def test_never_sees_an_aborted_record(settings: KafkaSettings, bootstrap_servers: str, namespace: str) -> None:
    topic = create_topic(bootstrap_servers, namespace + "tasks")
    producer = Producer({"bootstrap.servers": bootstrap_servers, "transactional.id": namespace + "id"})
    producer.init_transactions()
    for value, end in ((b"aborted", producer.abort_transaction), (b"committed", producer.commit_transaction)):
        producer.begin_transaction()
        producer.produce(topic, value)
        producer.flush()
        end()
    seen: list[bytes | None] = []

    async def handle(record: ConsumedRecord) -> None:
        seen.append(record.value)

    async with running(GroupConsumer(settings, namespace + "g", topic), handle):
        await eventually(lambda: seen)
    assert seen == [b"committed"]


async def test_a_second_member_takes_over_in_order(
    settings: KafkaSettings, bootstrap_servers: str, namespace: str
) -> None:
    topic = create_topic(bootstrap_servers, namespace + "tasks", 4)
    reported: list[str] = []
    endless = asyncio.Event()
    cancelled: list[int] = []

    async def assigned(partitions: frozenset[int]) -> None:
        reported.append(f"assigned {len(partitions)}")

    async def revoked(partitions: frozenset[int]) -> None:
        assert not partitions & at_work, "informed of a partition whose handler still runs"
        reported.append(f"revoked {len(partitions)}")

    at_work: set[int] = set()

    async def for_ever(record: ConsumedRecord) -> None:
        at_work.add(record.partition)
        try:
            await endless.wait()
        except asyncio.CancelledError:
            cancelled.append(record.partition)
            raise
        finally:
            at_work.discard(record.partition)

    for partition in range(4):
        produce(bootstrap_servers, topic, [(b"k", b"v")], partition=partition)
    first = GroupConsumer(settings, namespace + "g", topic, on_assigned=assigned, on_revoked=revoked)
    taken: list[int] = []

    async def take(record: ConsumedRecord) -> None:
        taken.append(record.partition)

    async with running(first, for_ever):
        await eventually(lambda: len(at_work) == 4)
        second = GroupConsumer(settings, namespace + "g", topic)
        async with running(second, take):
            await eventually(lambda: len(taken) == 2)
            assert sorted(cancelled) == sorted(taken)
            assert first.partitions | second.partitions == {0, 1, 2, 3}
            assert not first.partitions & second.partitions
    assert reported[:2] == ["assigned 4", "revoked 2"]


async def test_a_failing_handler_ends_the_run_and_the_record_comes_again(
    settings: KafkaSettings, bootstrap_servers: str, namespace: str
) -> None:
    topic = create_topic(bootstrap_servers, namespace + "tasks")
    produce(bootstrap_servers, topic, [(b"k", b"v")])

    async def fail(_record: ConsumedRecord) -> None:
        raise ValueError("a fault of ours")

    with pytest.raises(ValueError, match="a fault of ours"):
        await GroupConsumer(settings, namespace + "g", topic).run(fail)

    seen: list[int] = []

    async def handle(record: ConsumedRecord) -> None:
        seen.append(record.offset)

    async with running(GroupConsumer(settings, namespace + "g", topic), handle):
        await eventually(lambda: seen == [0])


async def test_a_failing_callback_ends_the_run(settings: KafkaSettings, bootstrap_servers: str, namespace: str) -> None:
    topic = create_topic(bootstrap_servers, namespace + "tasks")

    async def refuse(_partitions: frozenset[int]) -> None:
        raise LookupError("not mine")

    async def handle(_record: ConsumedRecord) -> None: ...

    with pytest.raises(LookupError, match="not mine"):
        await GroupConsumer(settings, namespace + "g", topic, on_assigned=refuse).run(handle)
