"""One list's people in the rows: read before a request, written after its answers. Each as the partition's owner."""

import asyncio
import time
from collections.abc import Callable, Sequence

import structlog

from schemas.audience_delivery import Refusal
from streams.batches import BatchError, Revoked
from streams.delivery.parcel import Parcel, Settled
from streams.delivery.shop import Shop
from streams.domain.exports import ListView
from streams.domain.rows import Millis
from streams.domain.sending import Queue, Waiting

log = structlog.get_logger(__name__)

# Answers are not given up while the partition is ours: they are written as soon as the broker takes them.
WRITE_AGAIN_SECONDS = 1.0


class RowsOfList:
    """Reads and settles the people of one list, whichever partitions they are in."""

    def __init__(self, list_id: str, shop: Shop, queue: Queue, clock: Callable[[], float] = time.monotonic) -> None:
        self._list_id = list_id
        self._shop = shop
        self._queue = queue
        self._clock = clock

    async def prepare(self, people: Sequence[Waiting], listed: ListView | None) -> list[Parcel]:
        """Return what each of these people needs, in their order; who cannot be looked at leaves the queue."""
        by_partition: dict[int, list[Waiting]] = {}
        for waiting in people:
            by_partition.setdefault(waiting.key[0], []).append(waiting)
        found = await asyncio.gather(*(self._read(part, listed, group) for part, group in by_partition.items()))
        order = {waiting.key: n for n, waiting in enumerate(people)}
        return sorted((it for group in found for it in group), key=lambda it: order[it.waiting.key])

    async def settle(self, settled: Sequence[Settled], accepted: Millis) -> None:
        """Write answers into the rows, and take their people out of the queue."""
        by_partition: dict[int, list[Settled]] = {}
        for it in settled:
            by_partition.setdefault(it.waiting.key[0], []).append(it)
        await asyncio.gather(*(self._settle(part, group, accepted) for part, group in by_partition.items()))

    async def _read(self, partition: int, listed: ListView | None, group: Sequence[Waiting]) -> list[Parcel]:
        ledger = self._shop.ledger(partition)
        if ledger is None or listed is None:
            for waiting in group:
                self._queue.drop(waiting.key)
            return []
        try:
            return await self._shop.owner.run_as_owner(
                partition, ledger.account.generation, lambda: ledger.prepare(listed, group)
            )
        except Revoked:
            self._queue.forget_partition(partition)
            return []

    async def _settle(self, partition: int, group: Sequence[Settled], accepted: Millis) -> None:
        ledger = self._shop.ledger(partition)
        if ledger is None:
            self._queue.forget_partition(partition)
            return
        refused = [it for it in group if it.refusal is Refusal.INVALID and it.code is not None]
        while True:
            try:
                await self._shop.keep_refused(partition, refused)
                await self._shop.owner.run_as_owner(
                    partition, ledger.account.generation, lambda: ledger.settle(self._list_id, group, accepted)
                )
            except Revoked:
                self._queue.forget_partition(partition)
                return
            except BatchError as error:
                log.warning("answers could not be written yet", list_id=self._list_id, error=str(error))
                await asyncio.sleep(WRITE_AGAIN_SECONDS)
                continue
            break
        now = self._clock()
        for it in group:
            self._queue.done(it.waiting.key, now)
