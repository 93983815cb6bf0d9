"""The partitions that this worker owns: taken over, checkpointed, given back."""

import asyncio
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

import structlog

from schemas.topics import TopicNames
from streams.batches import BatchError, Revoked
from streams.delivery.codec import CHECKPOINT_KEY, DUE
from streams.delivery.ledger import Ledger
from streams.delivery.ports import Owner, Publisher, Rows
from streams.delivery.receipts import Desk
from streams.delivery.sender import ListSender
from streams.delivery.shared import Shared
from streams.delivery.takeover import (
    Checkpoint,
    ReceiptsTopic,
    SweepMark,
    Window,
    apply,
    ids_of,
    keys_of,
    read_checkpoint,
    unfolded,
    write_checkpoint,
)
from streams.domain.rows import Millis
from streams.domain.sending import Queue

log = structlog.get_logger(__name__)

# How long a revoked partition's requests may take to come back; whoever takes over asks about those that did not.
LAST_ANSWERS_SECONDS = 8.0
LOOK_SECONDS = 0.02

Senders = Callable[[], Sequence[ListSender]]


@dataclass(slots=True)
class Partition:
    """One partition that this worker owns."""

    ledger: Ledger
    checkpoint: Checkpoint = field(default_factory=Checkpoint)
    sweeps: dict[str, asyncio.Task[None]] = field(default_factory=dict)
    moves: dict[bytes, asyncio.Task[None]] = field(default_factory=dict)
    unsure: dict[str, Window] = field(default_factory=dict)
    """By list: people to whom a crashed predecessor's sweep may have sent something."""


class Partitions:
    """Takes partitions over and gives them back."""

    def __init__(
        self,
        names: TopicNames,
        shared: Shared,
        rows: Rows,
        owner: Owner,
        publisher: Publisher,
        receipts: ReceiptsTopic,
        senders: Senders,
        *,
        clock: Callable[[], float] = time.monotonic,
        wall: Callable[[], Millis] = lambda: int(time.time() * 1000),
    ) -> None:
        self._names = names
        self._shared = shared
        self._rows = rows
        self._owner = owner
        self._publisher = publisher
        self._receipts = receipts
        self._senders = senders
        self._clock = clock
        self._wall = wall
        self._owned: dict[int, Partition] = {}

    def all(self) -> list[tuple[int, Partition]]:
        """All partitions that are owned now."""
        return list(self._owned.items())

    def get(self, partition: int) -> Partition | None:
        """A partition, or None when it is not owned."""
        return self._owned.get(partition)

    def people(self, list_id: str) -> int:
        """How many people of these partitions a list holds for us."""
        return sum(owned.ledger.account.people[list_id] for owned in self._owned.values())

    def swept_in_vain(self, list_id: str) -> None:
        """The list's jobs have changed: what was swept, or is being swept, was for others.

        Also when they are the same again later: people may have been looked at in between, and let go.
        """
        for owned in self._owned.values():
            mark = owned.checkpoint.sweeps.pop(list_id, None)
            if mark is not None and mark.after is not None:
                owned.checkpoint.sweeps[list_id] = mark._replace(revision="")
            if (task := owned.sweeps.pop(list_id, None)) is not None:
                task.cancel()

    async def mark(self, partition: int, owned: Partition, list_id: str, mark: SweepMark) -> None:
        """Make durable how far a sweep got. Raises BatchError when it could not be written."""
        owned.checkpoint.sweeps[list_id] = mark
        if mark.after is None:
            owned.unsure.pop(list_id, None)
        await self._write_checkpoint(partition, owned)

    # -- taking over

    async def assigned(self, partition: int, generation: int) -> Partition:
        """Take a partition over: receipts that are ahead of the rows first, then who is due."""
        topic, source = self._names["audience-delivery"], self._names["audience-membership"]
        ledger = Ledger(
            self._rows,
            self._publisher,
            self._shared,
            Desk(topic, partition, source, self._shared.catalogue.name_of),
            generation,
            self._queues,
            self._wall,
            lambda key: self.move(partition, key),
            lambda: self._look(partition, owned),
        )
        owned = Partition(ledger)
        self._owned[partition] = owned
        await self._owner.run_as_owner(partition, generation, lambda: self._begin(partition, owned))
        await self.find_due(partition, self._senders())
        return owned

    async def _begin(self, partition: int, owned: Partition) -> None:
        row = (await self._rows.read(partition, [CHECKPOINT_KEY]))[CHECKPOINT_KEY]
        owned.checkpoint = read_checkpoint(row.data)
        owned.ledger.account.people.update(owned.checkpoint.people)
        for list_id, mark in owned.checkpoint.sweeps.items():
            if (window := mark.open_window) is not None:
                owned.unsure[list_id] = window
        if owned.checkpoint.receipts >= 0:
            await self._look(partition, owned)
            return
        owned.checkpoint.receipts = await self._receipts.end(partition)
        write_checkpoint(row.data, owned.checkpoint)
        await self._rows.write_rows(partition, owned.ledger.account.generation, [row])

    async def _look(self, partition: int, owned: Partition) -> None:
        """Bring rows up to the receipts that came after the checkpoint, and remember which those are."""
        end = await self._receipts.end(partition)
        tail = await self._receipts.read(partition, owned.checkpoint.receipts, end)
        if tail:
            rows = await self._rows.read(partition, keys_of(tail))
            changed = apply({key: row.data for key, row in rows.items()}, tail)
            generation = owned.ledger.account.generation
            await self._rows.write_rows(partition, generation, [row for key, row in rows.items() if key in changed])
            log.info("receipts read", partition=partition, receipts=len(tail), rows=len(changed))
        owned.ledger.account.published |= ids_of(tail)
        owned.ledger.account.unfolded = unfolded(tail)

    async def find_due(self, partition: int, senders: Iterable[ListSender]) -> None:
        """Have senders look at every row that is marked due; whether a predecessor sent them is not known."""
        asked = list(senders)
        async for pairs in self._rows.due(partition, DUE):
            for _, key in pairs:
                for sender in asked:
                    sender.touch(partition, key, unsure=True)

    def _queues(self) -> Iterable[tuple[str, Queue]]:
        return ((sender.list_id, sender.queue) for sender in self._senders())

    # -- handing rows over

    def move(self, partition: int, key: bytes) -> None:
        """Hand a frozen row over in a task of its own, which waits until no request carries it."""
        owned = self._owned.get(partition)
        if owned is not None and (key not in owned.moves or owned.moves[key].done()):
            owned.moves[key] = asyncio.create_task(self._hand_over(partition, owned, key))
            owned.moves[key].add_done_callback(lambda _task: owned.moves.pop(key, None))

    async def _hand_over(self, partition: int, owned: Partition, key: bytes) -> None:
        topic = self._names["cm_membership-commands"]
        await self._until(lambda queue: not queue.carries((partition, key)))
        while True:
            try:
                await self._owner.run_as_owner(
                    partition,
                    owned.ledger.account.generation,
                    lambda: owned.ledger.hand_over(key, topic, self._shared.exports),
                )
            except Revoked:
                return
            except BatchError as error:
                log.warning("row not handed over yet", partition=partition, error=str(error))
                await asyncio.sleep(1.0)
            else:
                return

    async def _until(self, holds: Callable[[Queue], bool]) -> None:
        """Wait until something holds for every list's queue; requests come back within seconds."""
        while not all(holds(queue) for _, queue in self._queues()):  # noqa: ASYNC110 - queues wake nobody
            await asyncio.sleep(LOOK_SECONDS)

    # -- giving back

    async def revoked(self, partition: int) -> None:
        """Give a partition back: answers that come soon are still written, then how far it got."""
        owned = self._owned.get(partition)
        if owned is None:
            return
        for task in [*owned.sweeps.values(), *owned.moves.values()]:
            task.cancel()
        try:
            async with asyncio.timeout(LAST_ANSWERS_SECONDS):
                await self._until(lambda queue: not queue.carries_any(partition))
        except TimeoutError:
            log.info("answers given up", partition=partition)
        await self._checkpoint(partition, owned)
        self._owned.pop(partition, None)
        for sender in self._senders():
            sender.forget_partition(partition)

    async def checkpoints(self, every_seconds: float) -> None:
        """Note from time to time how far each partition got, until cancelled."""
        while True:
            await asyncio.sleep(every_seconds)
            for partition, owned in self.all():
                await self._checkpoint(partition, owned)

    async def _checkpoint(self, partition: int, owned: Partition) -> None:
        try:
            await self._write_checkpoint(partition, owned)
        except BatchError as error:
            log.info("checkpoint not written", partition=partition, error=str(error))

    async def _write_checkpoint(self, partition: int, owned: Partition) -> None:
        generation = owned.ledger.account.generation

        async def job() -> None:
            upto = owned.ledger.account.checkpoint(await self._receipts.end(partition))
            row = (await self._rows.read(partition, [CHECKPOINT_KEY]))[CHECKPOINT_KEY]
            before = read_checkpoint(row.data)
            if upto is not None:
                owned.checkpoint.receipts = upto
            owned.checkpoint.people = {name: count for name, count in owned.ledger.account.people.items() if count}
            if owned.checkpoint != before:
                write_checkpoint(row.data, owned.checkpoint)
                await self._rows.write_rows(partition, generation, [row])

        await self._owner.run_as_owner(partition, generation, job)
