"""Everything that we use of aiokafka beyond its public interface, in this one module.

Written for aiokafka 0.14.0, which is pinned exactly: of a consumer `_fetcher`, `_coordinator` and `_closed`; of the
fetcher `_records` (FetchResult and PartitionRecords), `_subscriptions` and `_create_fetch_waiter`; of the coordinator
`_do_heartbeat` and `fetch_committed_offsets`. tests/unit/batches/test_aiokafka_internals.py pins them.

The reason is speed: `drain` takes a bounded range of parsed records from every partition that has room for one, where
aiokafka's `getmany` makes an object of each record, and cannot skip a partition.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection
from functools import partial
from itertools import islice
from typing import Any, NamedTuple

from aiokafka.consumer.fetcher import READ_COMMITTED
from aiokafka.errors import ConsumerStoppedError, CorruptRecordException

CHUNK = 256
"""Records between two checks of the byte bound."""


class Fetched(NamedTuple):
    """A range of one partition. `position` is behind markers and aborted records, `records` may be empty."""

    records: list[Any]
    position: int
    size: int
    """Bytes of keys and values."""


class BareRecords:
    """Records of one of aiokafka's PartitionRecords as they were parsed: what a `Record` offers and nothing else.

    Replaces its own iterator, which makes a ConsumerRecord of each: a microsecond, and three times the memory. Which
    records are committed and which were aborted is decided by the same rules. It does not hold its PartitionRecords,
    which holds it: the bytes of the fetch would stay until the next collection.
    """

    def __init__(self, end: int) -> None:
        self._parsed: list[Any] = []
        self._end = end
        """The first offset behind what was parsed."""

    def next(self, source: Any, max_records: int) -> list[Any]:
        """Return the next records, none when there are no more. Advances `next_fetch_offset` of the source."""
        while not self._parsed:
            if not source._records.has_next():
                return []
            self._parsed = self._parse(source, source._records.next_batch())
            if not self._parsed:
                source.next_fetch_offset = self._end
        part = self._parsed[:max_records]
        del self._parsed[:max_records]  # only the batch in work keeps them alive
        source.next_fetch_offset = part[-1].offset + 1 if self._parsed else self._end
        return part

    def _parse(self, source: Any, batch: Any) -> list[Any]:
        if source._check_crcs and not batch.validate_crc():
            raise CorruptRecordException(f"Invalid CRC - {source._tp}")
        skipped = batch.is_control_batch
        if source._isolation_level == READ_COMMITTED and batch.producer_id is not None:
            source._consume_aborted_up_to(batch.base_offset)
            if batch.is_control_batch and source._contains_abort_marker(batch):
                source._aborted_producers.discard(batch.producer_id)
            skipped = skipped or (batch.is_transactional and batch.producer_id in source._aborted_producers)
        self._end = batch.next_offset
        if skipped:
            return []
        records = list(batch)
        if records and records[0].offset < source.next_fetch_offset:  # a batch is fetched whole
            records = [record for record in records if record.offset >= source.next_fetch_offset]
        return records


def take(result: Any, max_records: int, max_bytes: int, *, bare: bool = False) -> Fetched:
    """Take records out of one FetchResult, up to the bounds; the rest stays in it. `bare`: see BareRecords."""
    source = result._partition_records
    next_records = _next_of(source, bare)
    records: list[Any] = []
    size = 0
    step = min(CHUNK, max_records)
    while chunk := next_records(step):
        records += chunk
        size += sum([len(r.key or b"") + len(r.value or b"") for r in chunk])
        room = max_records - len(records)
        if room <= 0 or size >= max_bytes:
            result._update_position()
            return Fetched(records, source.next_fetch_offset, size)
        average = size / len(records)
        step = max(1, min(CHUNK, room, int((max_bytes - size) / (average + 1)) + 1))
    result._update_position()
    result._partition_records = None
    return Fetched(records, source.next_fetch_offset, size)


def _next_of(source: Any, bare: bool) -> Callable[[int], list[Any]]:
    """Return what takes so many records out of a PartitionRecords. Its BareRecords replaces its iterator."""
    if not bare:
        return lambda count: list(islice(source._records_iterator, count))
    if not isinstance(source._records_iterator, BareRecords):
        source._records_iterator = BareRecords(source.next_fetch_offset)
    return partial(source._records_iterator.next, source)


def is_closed(consumer: Any) -> bool:
    """Whether the consumer or its fetcher was closed, so that nothing can be drained."""
    return bool(consumer._closed or consumer._fetcher._closed)


def on_heartbeat_answered(consumer: Any, report: Callable[[], None]) -> None:
    """Call `report` in the consumer's thread whenever the group's coordinator has answered a heartbeat."""
    coordinator = consumer._coordinator
    heartbeat: Callable[[], Awaitable[bool]] = coordinator._do_heartbeat

    async def _do_heartbeat() -> bool:
        answered = await heartbeat()
        if answered:
            report()
        return answered

    coordinator._do_heartbeat = _do_heartbeat


async def fetch_committed(consumer: Any, partitions: Collection[Any]) -> dict[Any, Any]:
    """Ask the coordinator for the group's offsets with their metadata, which aiokafka's own `committed` leaves out."""
    found: dict[Any, Any] = await consumer._coordinator.fetch_committed_offsets(partitions)
    return found


async def drain(
    consumer: Any,
    *,
    wanted: Callable[[Any, int], bool],
    limits: Callable[[Any], tuple[int, int]],
    bare: Callable[[Any], bool],
    keep_going: Callable[[], bool],
    wake: asyncio.Event,
    timeout_seconds: float,
) -> dict[Any, Fetched]:
    """Take one range from each wanted partition that has records; wait up to the timeout for the first.

    `wanted` is called with the bytes that this call has taken so far. Partitions that are not wanted keep their fetched
    records (one fetch at most), so memory stays bounded. A partition that was served goes to the back of the queue:
    where room is scarce, the one that waited longest is next. `bare`: see `take`. `wake` ends the wait early, when a
    partition has become wanted. A fetch error of a partition is raised, and ConsumerStoppedError.
    """
    with consumer._fetcher._subscriptions.fetch_context():
        return await _drain(consumer._fetcher, wanted, limits, bare, keep_going, wake, timeout_seconds)


async def _drain(
    fetcher: Any,
    wanted: Callable[[Any, int], bool],
    limits: Callable[[Any], tuple[int, int]],
    bare: Callable[[Any], bool],
    keep_going: Callable[[], bool],
    wake: asyncio.Event,
    timeout_seconds: float,
) -> dict[Any, Fetched]:
    subscriptions = fetcher._subscriptions
    loop = asyncio.get_running_loop()
    deadline = loop.time() + timeout_seconds
    while keep_going():
        if subscriptions.reassignment_in_progress:
            return {}
        wake.clear()
        taken: dict[Any, Fetched] = {}
        taken_bytes = 0
        for tp in list(fetcher._records):
            if not subscriptions.is_assigned(tp):
                del fetcher._records[tp]
                continue
            if not wanted(tp, taken_bytes):
                continue
            result = fetcher._records[tp]
            if not hasattr(result, "_partition_records"):  # a FetchError
                if taken:
                    return taken
                del fetcher._records[tp]
                fetcher._notify(fetcher._wait_consume_future)
                result.check_raise()
            elif result.has_more() and result.check_assignment(tp):
                taken[tp] = take(result, *limits(tp), bare=bare(tp))
                taken_bytes += taken[tp].size
            del fetcher._records[tp]
            if result.has_more():
                fetcher._records[tp] = result
            else:
                fetcher._notify(fetcher._wait_consume_future)
        remaining = deadline - loop.time()
        if taken or remaining <= 0:
            return taken
        waiter = fetcher._create_fetch_waiter()
        waking = asyncio.ensure_future(wake.wait())
        try:
            await asyncio.wait([waiter, waking], timeout=remaining, return_when=asyncio.FIRST_COMPLETED)
        finally:
            waking.cancel()
        if fetcher._closed:
            raise ConsumerStoppedError
        if waiter.done():
            waiter.result()  # raises what the background fetch raised
        else:
            waiter.cancel()
    return {}
