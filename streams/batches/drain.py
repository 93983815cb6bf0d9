"""Taking fetched records out of aiokafka, a bounded range from every partition that has room for one.

Leans on the fetcher of aiokafka 0.14.0 (pinned exactly): `_records`, `FetchResult`, `PartitionRecords`,
`_create_fetch_waiter`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from itertools import islice
from typing import Any, NamedTuple

from aiokafka.consumer.fetcher import READ_COMMITTED
from aiokafka.errors import ConsumerStoppedError, CorruptRecordException

CHUNK = 256
"""Records between two looks at the byte bound."""


class Fetched(NamedTuple):
    """What one partition gave. `position` is behind transaction markers and aborted records, `records` may be empty."""

    records: list[Any]
    position: int
    size: int
    """Bytes of keys and values."""


class BareRecords:
    """Records of one of aiokafka's PartitionRecords as they were parsed: what a `Record` offers and nothing else.

    In place of its own iterator, which makes a ConsumerRecord of each: a microsecond, and three times the memory. What
    is committed and what was aborted is judged as there.
    """

    def __init__(self, source: Any) -> None:
        self._source = source
        self._parsed: list[Any] = []
        self._end = source.next_fetch_offset
        """Where the log goes on behind what was parsed."""

    def some(self, most: int) -> list[Any]:
        """The next records, at most so many; none when there are no more. `next_fetch_offset` of the source follows."""
        source = self._source
        while not self._parsed:
            if not source._records.has_next():
                return []
            self._parsed = self._parse(source._records.next_batch())
            if not self._parsed:
                source.next_fetch_offset = self._end
        part = self._parsed[:most]
        del self._parsed[:most]  # whoever works on them decides how long they live
        source.next_fetch_offset = part[-1].offset + 1 if self._parsed else self._end
        return part

    def _parse(self, batch: Any) -> list[Any]:
        source = self._source
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
    """Records of one FetchResult up to the bounds, and the consumer's position after them. `bare`: see BareRecords."""
    source = result._partition_records
    some = _bare(source).some if bare else lambda most: list(islice(source._records_iterator, most))
    records: list[Any] = []
    size = 0
    step = min(CHUNK, max_records)
    while chunk := some(step):
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


def _bare(source: Any) -> BareRecords:
    """The one that stands for this source, which is there until it is empty."""
    if not isinstance(source._records_iterator, BareRecords):
        source._records_iterator = BareRecords(source)
    found: BareRecords = source._records_iterator
    return found


async def drain(
    fetcher: Any,
    *,
    wanted: Callable[[Any, int], bool],
    limits: Callable[[Any], tuple[int, int]],
    bare: Callable[[Any], bool],
    keep_going: Callable[[], bool],
    wake: asyncio.Event,
    timeout_seconds: float,
) -> dict[Any, Fetched]:
    """One range from each wanted partition that has records; waits up to the timeout for the first.

    `wanted` is asked with the bytes that this call has taken so far. Partitions that are not wanted keep their fetched
    records (one fetch at most), so memory stays bounded. Whoever was served goes to the back: where room is scarce, the
    next one to get it is the one that waited longest. `bare`: see `take`. `wake` ends the wait early, when a partition
    has become wanted. A fetch error of a partition is raised.
    """
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
