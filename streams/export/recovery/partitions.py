"""The partitions that this worker owns: taken over, checkpointed, given back; and their rows transferred."""

import asyncio
from collections.abc import Callable, Iterable, Sequence

import structlog

from streams.batches import BatchError, Revoked
from streams.export.recovery.receipts import ReceiptContext
from streams.export.recovery.takeover import CallNote, ScanMark, read_checkpoint, write_checkpoint
from streams.export.sending.partition_rows import PartitionRows
from streams.export.sending.queue import SendQueue
from streams.export.sending.row_transfers import RowTransfers
from streams.export.sending.scan_calls import note_calls
from streams.export.state import ExportState, OpenList, OwnedPartition
from streams.export.table import CHECKPOINT_KEY, DUE, LATE, ExportRuntime, late_key

log = structlog.get_logger(__name__)

# How long a revoked partition's requests may take to come back; the next owner treats the others as unknown outcomes.
LAST_ANSWERS_SECONDS = 8.0
POLL_SECONDS = 0.02
# Some seconds more matter little after minutes; each look reads the index of every partition.
MAX_RECHECK_SECONDS = 5.0


class Partitions:
    """Takes partitions over and gives them back. The only place that changes `ExportState.owned`."""

    def __init__(self, state: ExportState, runtime: ExportRuntime, rows: PartitionRows) -> None:
        self._state = state
        self._names = runtime.names
        self._table = runtime.rows
        self._owner = runtime.owner
        self._receipts = runtime.receipts
        self._clock = runtime.clocks.monotonic
        self._wall = runtime.clocks.wall
        self._rows = rows
        self._transfers = RowTransfers(state, runtime, rows)

    # -- taking over

    async def assigned(self, partition: int, generation: int) -> OwnedPartition:
        """Take a partition over: receipts that are ahead of the rows first, then the people who are due."""
        topic, source = self._names["audience-delivery"], self._names["audience-membership"]
        context = ReceiptContext(topic, partition, source, self._state.names.option_of)
        owned = OwnedPartition(partition, generation, context)
        self._state.owned[partition] = owned
        await self._owner.run_as_owner(partition, generation, lambda: self._begin(owned))
        await self.queue_due(owned, self._state.open.values())
        return owned

    async def _begin(self, owned: OwnedPartition) -> None:
        row = (await self._table.read(owned.number, [CHECKPOINT_KEY]))[CHECKPOINT_KEY]
        owned.checkpoint = read_checkpoint(row.data)
        owned.receipts.people.update(owned.checkpoint.people)
        owned.sent.update(owned.checkpoint.sent)
        for list_id, mark in owned.checkpoint.scans.items():
            if (keys := mark.open_range) is not None:
                owned.unanswered[list_id] = keys
        if owned.checkpoint.receipts >= 0:
            await self._rows.resync(owned, always=True)
            await self.settle_notes(owned, owned.checkpoint.calls, unknown=True)
            return
        owned.checkpoint.receipts = await self._receipts.end(owned.number)
        write_checkpoint(row.data, owned.checkpoint)
        await self._table.write_rows(owned.number, owned.generation, [row])

    async def queue_due(self, owned: OwnedPartition, lists: Iterable[OpenList]) -> None:
        """Queue every row that is marked due for these lists; of which of them the outcome is known, the row says."""
        opened = list(lists)
        async for pairs in self._table.due(owned.number, DUE):
            for _, key in pairs:
                for of_list in opened:
                    of_list.touch(owned.number, key, self._clock(), found_due=True)

    async def run_rechecks(self, late_call_seconds: float, max_waiting: int) -> None:
        """Queue people again whose calls without an answer are over, at most so many a partition, until cancelled."""
        while True:
            await asyncio.sleep(min(MAX_RECHECK_SECONDS, late_call_seconds / 4))
            for owned in list(self._state.owned.values()):
                try:
                    await self._queue_rechecks(owned, max_waiting)
                except Revoked:
                    continue

    async def _queue_rechecks(self, owned: OwnedPartition, max_waiting: int) -> None:
        upto = late_key(self._wall() + 1)
        async for pairs in self._table.due(owned.number, LATE, upto=upto):
            for opened in list(self._state.open.values()):
                if opened.queue.background_of(owned.number) < max_waiting:
                    for _, key in pairs:
                        opened.recheck(owned.number, key, self._clock())

    # -- scans

    async def write_mark(self, owned: OwnedPartition, list_id: str, mark: ScanMark) -> None:
        """Store, as the owner, how far a scan got. Raises BatchError when it could not be written."""
        owned.checkpoint.scans[list_id] = mark
        if mark.after is None:
            owned.unanswered.pop(list_id, None)
        await self._store_checkpoint(owned)

    async def settle_notes(self, owned: OwnedPartition, notes: Sequence[CallNote], *, unknown: bool) -> None:
        """Record in rows, as the owner, what notes of calls say, and forget the notes. `unknown`: their outcome is.

        Raises BatchError.
        """
        if not notes:
            return
        await note_calls(self._state, self._table, owned, notes, unknown=unknown)
        owned.checkpoint.calls = [note for note in owned.checkpoint.calls if note not in notes]
        await self._store_checkpoint(owned)

    # -- transfers

    async def run_transfers(self) -> None:
        """Transfer frozen rows, each in a task of its own, until cancelled."""
        while True:
            await self._state.transfers_due.wait()
            self._state.transfers_due.clear()
            for owned in list(self._state.owned.values()):
                while owned.frozen:
                    self._start_transfer(owned, owned.frozen.pop())

    def _start_transfer(self, owned: OwnedPartition, key: bytes) -> None:
        running = owned.transfers.get(key)
        if running is None or running.done():
            task = owned.transfers[key] = asyncio.create_task(self._transfer(owned, key))
            task.add_done_callback(lambda _task: owned.transfers.pop(key, None))

    async def _transfer(self, owned: OwnedPartition, key: bytes) -> None:
        """Wait until no request includes the person, and no call can be applied late; then transfer the row."""
        while True:
            await self._until(lambda queue: not queue.has_request((owned.number, key)))
            try:
                wait = await self._owner.run_as_owner(
                    owned.number, owned.generation, lambda: self._transfers.transfer(owned, key)
                )
            except Revoked:
                return
            except BatchError as error:
                log.warning("row not transferred yet", partition=owned.number, error=str(error))
                wait = 1000
            if not wait:
                return
            await asyncio.sleep(wait / 1000)

    async def _until(self, holds: Callable[[SendQueue], bool]) -> None:
        """Wait until something is true of every list's queue; requests come back within seconds."""
        while not all(holds(opened.queue) for opened in self._state.open.values()):  # noqa: ASYNC110 - queues wake nobody
            await asyncio.sleep(POLL_SECONDS)

    # -- giving back

    async def revoked(self, partition: int) -> None:
        """Give a partition back: answers that come soon are still written, then how far it got."""
        owned = self._state.owned.get(partition)
        if owned is None:
            return
        for task in [*owned.scans.values(), *owned.transfers.values()]:
            task.cancel()
        for opened in self._state.open.values():
            opened.give_back_scanned(partition)
        try:
            async with asyncio.timeout(LAST_ANSWERS_SECONDS):
                await self._until(lambda queue: not queue.has_request_of(partition))
        except TimeoutError:
            log.info("outcomes abandoned", partition=partition)
        # First, so that nobody is picked any more: a call that started now would be answered for the next owner.
        self._state.owned.pop(partition, None)
        for opened in self._state.open.values():
            opened.queue.forget_partition(partition)
        await self._checkpoint(owned)

    async def checkpoints(self, every_seconds: float) -> None:
        """Store from time to time how far each partition got, until cancelled."""
        while True:
            await asyncio.sleep(every_seconds)
            for owned in list(self._state.owned.values()):
                await self._checkpoint(owned)

    async def _checkpoint(self, owned: OwnedPartition) -> None:
        try:
            await self._write_checkpoint(owned)
        except BatchError as error:
            log.info("checkpoint not written", partition=owned.number, error=str(error))

    async def _write_checkpoint(self, owned: OwnedPartition) -> None:
        await self._owner.run_as_owner(owned.number, owned.generation, lambda: self._store_checkpoint(owned))

    async def _store_checkpoint(self, owned: OwnedPartition) -> None:
        upto = owned.receipts.complete_up_to(await self._receipts.end(owned.number))
        row = (await self._table.read(owned.number, [CHECKPOINT_KEY]))[CHECKPOINT_KEY]
        before = read_checkpoint(row.data)
        if upto is not None:
            owned.checkpoint.receipts = upto
        owned.checkpoint.people = {name: count for name, count in owned.receipts.people.items() if count}
        if owned.checkpoint != before:
            write_checkpoint(row.data, owned.checkpoint)
            await self._table.write_rows(owned.number, owned.generation, [row])
