"""Fetched records are handed out within bounds, and to everybody in turn."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

from aiokafka.consumer.fetcher import READ_COMMITTED
from aiokafka.consumer.fetcher import PartitionRecords as AiokafkaRecords
from aiokafka.record import MemoryRecords
from aiokafka.record.default_records import DefaultRecordBatchBuilder
from aiokafka.structs import ConsumerRecord, TopicPartition

from streams.batches.drain import Fetched, drain, take

RECORD_BYTES = 10


class PartitionRecords:
    """As aiokafka's: an iterator that knows what comes next."""

    def __init__(self, count: int) -> None:
        self.next_fetch_offset = 0
        self._left = count

    def __iter__(self) -> Iterator[Any]:
        return self

    def __next__(self) -> Any:
        if not self._left:
            raise StopIteration
        self._left -= 1
        self.next_fetch_offset += 1
        return SimpleNamespace(key=b"1234", value=b"5" * (RECORD_BYTES - 4))


class Result:
    """As aiokafka's FetchResult."""

    def __init__(self, count: int) -> None:
        self._partition_records: PartitionRecords | None = PartitionRecords(count)

    def has_more(self) -> bool:
        return self._partition_records is not None

    def check_assignment(self, tp: object) -> bool:
        return True

    def _update_position(self) -> None:
        pass


class Fetcher:
    """As aiokafka's Fetcher, with everything fetched already."""

    def __init__(self, **records: int) -> None:
        self._records = {name: Result(count) for name, count in records.items()}
        self._subscriptions = SimpleNamespace(reassignment_in_progress=None, is_assigned=lambda tp: True)
        self._closed = False
        self._wait_consume_future = None

    def _notify(self, future: object) -> None:
        pass

    def _create_fetch_waiter(self) -> asyncio.Future[None]:
        return asyncio.get_running_loop().create_future()


async def taken(fetcher: Fetcher, *, room: int, most: int = 100) -> dict[str, Fetched]:
    """One call, with room for so many bytes."""
    return await drain(
        fetcher,
        wanted=lambda tp, size: size < room,
        limits=lambda tp: (most, 1 << 20),
        bare=lambda tp: True,
        keep_going=lambda: True,
        wake=asyncio.Event(),
        timeout_seconds=0.01,
    )


async def test_what_is_handed_out_is_counted_in_bytes() -> None:
    found = await taken(Fetcher(a=7), room=1000)
    assert (len(found["a"].records), found["a"].position, found["a"].size) == (7, 7, 7 * RECORD_BYTES)


async def test_without_room_nothing_is_taken_and_nothing_lost() -> None:
    fetcher = Fetcher(a=7)
    assert await taken(fetcher, room=0) == {}
    assert len((await taken(fetcher, room=1))["a"].records) == 7


async def test_the_room_bounds_what_one_call_takes_of_all_partitions() -> None:
    assert list(await taken(Fetcher(a=5, b=5, c=5), room=6 * RECORD_BYTES)) == ["a", "b"]


async def test_where_room_is_scarce_everybody_has_a_turn() -> None:
    fetcher = Fetcher(a=30, b=30, c=30)
    served = [name for _ in range(6) for name in await taken(fetcher, room=1, most=5)]
    assert served == ["a", "b", "c", "a", "b", "c"]


def fetched(count: int, *, bare: bool) -> Fetched:
    """Records that aiokafka itself parsed."""
    builder = DefaultRecordBatchBuilder(2, 0, 0, -1, -1, 0, 1 << 16)
    for offset in range(count):
        builder.append(offset, 1000 + offset, None if offset % 2 else b"key", b"value", [("name", b"content")])
    result = Result(0)
    memory = MemoryRecords(bytes(builder.build()))
    topic = TopicPartition("t", 3)
    result._partition_records = AiokafkaRecords(topic, memory, [], 2, None, None, True, READ_COMMITTED)  # type: ignore[assignment]
    return take(result, 100, 1 << 20, bare=bare)


def test_bare_records_hold_what_aiokafka_s_own_do() -> None:
    own, bare = fetched(7, bare=False), fetched(7, bare=True)
    assert all(isinstance(record, ConsumerRecord) for record in own.records)
    assert not any(isinstance(record, ConsumerRecord) for record in bare.records)
    assert (own.position, own.size) == (bare.position, bare.size) == (7, 5 * 5 + 3 * 3)
    for one, other in zip(own.records, bare.records, strict=True):
        for name in ("offset", "timestamp", "key", "value"):
            assert getattr(one, name) == getattr(other, name)
        assert list(one.headers) == list(other.headers) == [("name", b"content")]
    assert [record.offset for record in bare.records] == [2, 3, 4, 5, 6]
