"""The one place that pins what we use of aiokafka beyond its public interface: see the module's docstring."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import inspect
import weakref
from collections.abc import Iterator, Sequence
from types import SimpleNamespace
from typing import Any

import pytest
from aiokafka import AIOKafkaConsumer
from aiokafka.consumer.fetcher import READ_COMMITTED
from aiokafka.consumer.fetcher import Fetcher as AiokafkaFetcher
from aiokafka.consumer.fetcher import PartitionRecords as AiokafkaRecords
from aiokafka.consumer.group_coordinator import GroupCoordinator
from aiokafka.errors import CorruptRecordException
from aiokafka.record import MemoryRecords
from aiokafka.record.default_records import DefaultRecordBatchBuilder
from aiokafka.structs import ConsumerRecord, TopicPartition
from hypothesis import given
from hypothesis import strategies as st

from streams.batches.consume.aiokafka_internals import (
    Fetched,
    drain,
    fetch_committed,
    is_closed,
    on_heartbeat_answered,
    take,
)

RECORD_BYTES = 10


class PartitionRecords:
    """As aiokafka's: an iterator that knows what comes next."""

    def __init__(self, count: int) -> None:
        self.next_fetch_offset = 0
        self._left = count
        self._records_iterator = self

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
        self._subscriptions = SimpleNamespace(
            reassignment_in_progress=None, is_assigned=lambda tp: True, fetch_context=contextlib.nullcontext
        )
        self._closed = False
        self._wait_consume_future = None

    def _notify(self, future: object) -> None:
        pass

    def _create_fetch_waiter(self) -> asyncio.Future[None]:
        return asyncio.get_running_loop().create_future()


async def taken(fetcher: Fetcher, *, room: int, max_records: int = 100) -> dict[str, Fetched]:
    """One call, with room for so many bytes."""
    return await drain(
        SimpleNamespace(_fetcher=fetcher, _closed=False),
        wanted=lambda tp, size: size < room,
        limits=lambda tp: (max_records, 1 << 20),
        bare=lambda tp: False,
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


async def test_where_room_is_scarce_every_partition_has_a_turn() -> None:
    fetcher = Fetcher(a=30, b=30, c=30)
    served = [name for _ in range(6) for name in await taken(fetcher, room=1, max_records=5)]
    assert served == ["a", "b", "c", "a", "b", "c"]


def batch_of(offset: int, count: int, *, producer: int = -1, marker: bytes = b"") -> bytes:
    """A batch as a broker stores it; `marker` makes it the end of a transaction."""
    builder = DefaultRecordBatchBuilder(2, 0, producer >= 0, producer, 0, 0, 1 << 16)
    for n in range(count):
        builder.append(n, 1000 + n, marker or (None if n % 2 else b"key"), b"value", [("name", b"content")])
    raw = bytearray(builder.build())
    raw[0:8] = offset.to_bytes(8, "big")
    raw[22] |= 0x20 if marker else 0
    return bytes(raw)


def source_of(log: Sequence[bytes], aborted: Sequence[tuple[int, int]], start: int) -> AiokafkaRecords:
    topic = TopicPartition("t", 3)
    return AiokafkaRecords(topic, MemoryRecords(b"".join(log)), aborted, start, None, None, False, READ_COMMITTED)


def drained(source: AiokafkaRecords, steps: Sequence[int], *, bare: bool) -> list[Fetched]:
    result, found = Result(0), []
    result._partition_records = source  # type: ignore[assignment]
    left = iter(steps)
    while result.has_more() and (step := next(left, 0)):
        found.append(take(result, step, 1 << 20, bare=bare))
    return found


ABORT, COMMIT = b"\x00\x00\x00\x00", b"\x00\x00\x00\x01"
LOG = [
    batch_of(0, 5),
    batch_of(5, 3, producer=7),
    batch_of(8, 2, producer=8),
    batch_of(10, 1, producer=7, marker=ABORT),
    batch_of(11, 1, producer=8, marker=COMMIT),
    batch_of(15, 4, producer=7),
    batch_of(19, 1, producer=7, marker=COMMIT),
    batch_of(20, 600),
    batch_of(620, 1, producer=9, marker=ABORT),
]


@given(st.lists(st.integers(1, 300), max_size=12), st.integers(0, 4))
def test_bare_records_hold_what_aiokafka_s_own_do(steps: list[int], start: int) -> None:
    steps = [*steps, 1000]
    own = drained(source_of(LOG, [(7, 5)], start), steps, bare=False)
    bare = drained(source_of(LOG, [(7, 5)], start), steps, bare=True)
    assert [n for fetched in bare for n in fetched.records] != []
    assert not any(isinstance(record, ConsumerRecord) for fetched in bare for record in fetched.records)
    assert bare[-1].position == own[-1].position == 621
    expected = [record for fetched in own for record in fetched.records]
    assert [r.offset for r in expected] == [n for n in [*range(5), 8, 9, *range(15, 19), *range(20, 620)] if n >= start]
    assert [facts(record) for fetched in bare for record in fetched.records] == [facts(record) for record in expected]
    for fetched in (fetched for fetched in bare if fetched.records):
        size = sum(len(record.key or b"") + len(record.value) for record in fetched.records)
        assert (fetched.size, fetched.position > fetched.records[-1].offset) == (size, True)


@pytest.mark.parametrize("bare", [False, True])
def test_a_fetch_is_freed_with_its_last_record_and_when_it_is_dropped(bare: bool) -> None:
    """Not by the next collection, of which there may be none for a long time: a fetch is megabytes."""
    gc.disable()
    try:
        for is_drained in (True, False):
            source = source_of([batch_of(0, 5)], [], 0)
            freed = weakref.ref(source)
            result = SimpleNamespace(_partition_records=source, _update_position=lambda: None)
            take(result, 100 if is_drained else 2, 1 << 20, bare=bare)
            del source, result
            assert freed() is None or not (bare or is_drained)
    finally:
        gc.enable()


def facts(record: Any) -> tuple[Any, ...]:
    return record.offset, record.timestamp, record.key, record.value, tuple(record.headers)


def test_a_broken_batch_is_not_handed_out() -> None:
    broken = bytearray(batch_of(0, 5))
    broken[-3] ^= 1
    source = source_of([bytes(broken)], [], 0)
    source._check_crcs = True
    with pytest.raises(CorruptRecordException):
        drained(source, [10], bare=True)


@pytest.mark.parametrize(
    ("owner", "names"),
    [
        (AIOKafkaConsumer, ["_fetcher", "_coordinator", "_closed"]),
        (AiokafkaFetcher, ["_records", "_subscriptions", "_closed", "_wait_consume_future"]),
        (GroupCoordinator, ["_do_heartbeat", "fetch_committed_offsets"]),
    ],
)
def test_the_installed_aiokafka_has_what_we_use(owner: type, names: list[str]) -> None:
    source = inspect.getsource(owner)
    assert [name for name in names if name not in source] == []


def test_the_installed_fetcher_waits_and_notifies_as_we_do() -> None:
    assert list(inspect.signature(AiokafkaFetcher._create_fetch_waiter).parameters) == ["self"]
    assert list(inspect.signature(AiokafkaFetcher._notify).parameters) == ["self", "future"]


@pytest.mark.parametrize("answered", [True, False])
async def test_only_an_answered_heartbeat_is_reported(answered: bool) -> None:
    async def heartbeat() -> bool:
        return answered

    coordinator, reports = SimpleNamespace(_do_heartbeat=heartbeat), []
    on_heartbeat_answered(SimpleNamespace(_coordinator=coordinator), lambda: reports.append(True))
    assert await coordinator._do_heartbeat() is answered
    assert reports == [True] * answered


async def test_committed_offsets_come_from_the_coordinator() -> None:
    async def committed(partitions: Sequence[Any]) -> dict[Any, int]:
        return dict.fromkeys(partitions, 5)

    consumer = SimpleNamespace(_coordinator=SimpleNamespace(fetch_committed_offsets=committed))
    assert await fetch_committed(consumer, ["a"]) == {"a": 5}


@pytest.mark.parametrize(("consumer", "fetcher"), [(True, False), (False, True), (False, False)])
def test_a_consumer_is_closed_with_its_fetcher(consumer: bool, fetcher: bool) -> None:
    both = SimpleNamespace(_closed=consumer, _fetcher=SimpleNamespace(_closed=fetcher))
    assert is_closed(both) is (consumer or fetcher)
