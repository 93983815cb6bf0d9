"""Delivery of one worker: a sender for each list, shared by all partitions that the worker owns.

Partitions come and go with the group; lists come and go with the jobs. This is where both meet, and nothing is
decided here.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence

import structlog

from schemas.control import ExportJob
from schemas.topics import TopicNames
from streams.batches import BatchError, Revoked
from streams.delivery.accounts import Accounts
from streams.delivery.dead_letters import Originals
from streams.delivery.fields import Need
from streams.delivery.ledger import Ledger
from streams.delivery.lists import Lists
from streams.delivery.parcel import Settled
from streams.delivery.partitions import Partition, Partitions
from streams.delivery.ports import Owner, Publisher, Rows
from streams.delivery.sender import ListSender
from streams.delivery.settings import ExportSettings
from streams.delivery.shared import Shared
from streams.delivery.shop import audience_fields
from streams.delivery.sweep import Sweep
from streams.delivery.takeover import ReceiptsTopic, SweepMark
from streams.domain.exports import Exports, ListView
from streams.domain.rows import Millis, Row

log = structlog.get_logger(__name__)

Attend = Callable[[str, str | None], Awaitable[None]]
"""Told (job id, what a person has to do) whenever that changes; None: it is done."""


class Delivery:
    """Everything between due rows and Campaign Monitor."""

    def __init__(
        self,
        settings: ExportSettings,
        names: TopicNames,
        shared: Shared,
        rows: Rows,
        owner: Owner,
        publisher: Publisher,
        accounts: Accounts,
        receipts: ReceiptsTopic,
        attend: Attend,
        originals: Originals | None = None,
        *,
        clock: Callable[[], float] = time.monotonic,
        wall: Callable[[], Millis] = lambda: int(time.time() * 1000),
    ) -> None:
        self.owner = owner
        self.lists = Lists(settings, shared, self, accounts, self._people, clock=clock, wall=wall)
        self.partitions = Partitions(
            names, shared, rows, owner, publisher, receipts, self.lists.senders, clock=clock, wall=wall
        )
        self._settings = settings
        self._shared = shared
        self._rows = rows
        self._attend = attend
        self._originals = originals
        self._changed = asyncio.Event()
        shared.on_change(self._exports_changed)

    # -- what the senders ask

    def ledger(self, partition: int) -> Ledger | None:
        """The rows of a partition that this worker owns."""
        owned = self.partitions.get(partition)
        return None if owned is None else owned.ledger

    def listed(self, list_id: str) -> ListView | None:
        """The list's jobs as they are now."""
        return self._shared.exports.lists.get(list_id)

    def options(self, listed: ListView) -> dict[str, Need]:
        """The audiences fields of the list with every option that its jobs may use."""
        return audience_fields(listed, self._shared.catalogue)

    async def attend(self, list_id: str, why: str | None) -> None:
        """Pass on what a person has to do, for each running job of the list."""
        listed = self.listed(list_id)
        for view in listed.running if listed is not None else ():
            try:
                await self._attend(view.id, why)
            except Exception as error:
                log.warning("attention could not be published", job_id=view.id, error=repr(error))

    async def keep_refused(self, partition: int, refused: Sequence[Settled]) -> None:
        """Keep the records whose content Campaign Monitor can never take as dead letters."""
        if refused and self._originals is not None:
            await self._originals.keep(partition, refused)

    def _people(self, list_id: str) -> int:
        return self.partitions.people(list_id)

    # -- what the agents tell

    def carries(self, partition: int, key: bytes) -> Callable[[str], bool]:
        """Return a test: is a request with this person to the list under way?"""

        def carried(list_id: str) -> bool:
            sender = self.lists.sender(list_id)
            return sender is not None and sender.queue.carries((partition, key))

        return carried

    def touch(self, partition: int, key: bytes, row: Row) -> None:
        """A row was folded and is due: every list that it may concern looks at it."""
        if row.went_to is not None:
            self.partitions.move(partition, key)
            return
        for sender in self.lists.senders():
            listed = self.listed(sender.list_id)
            if listed is not None and listed.running and concerns(row, listed):
                sender.touch(partition, key)

    def partition(self, partition: int) -> Partition:
        """Return a partition that is owned. Raises Revoked."""
        owned = self.partitions.get(partition)
        if owned is None:
            raise Revoked(f"partition {partition} is not owned")
        return owned

    # -- partitions and lists

    async def assigned(self, partition: int, generation: int) -> None:
        """Take a partition over: receipts first, then who is due, then what was being swept."""
        self._sweep_all(partition, await self.partitions.assigned(partition, generation))

    async def revoked(self, partition: int, generation: int) -> None:
        """Give a partition back."""
        await self.partitions.revoked(partition)

    async def checkpoints(self) -> None:
        """Note from time to time how far each partition got, until cancelled."""
        await self.partitions.checkpoints(self._settings.checkpoint_seconds)

    async def run(self) -> None:
        """Keep a sender for each list with running jobs, until cancelled."""
        try:
            while True:
                self._changed.clear()
                for sender in await self.lists.follow():
                    await self._begin(sender)
                for partition, owned in self.partitions.all():
                    self._sweep_all(partition, owned)
                try:
                    async with asyncio.timeout(self._settings.fields_check_seconds):
                        await self._changed.wait()
                except TimeoutError:
                    self.lists.check_segments()
        finally:
            await self.lists.close()

    async def _begin(self, sender: ListSender) -> None:
        for partition, _ in self.partitions.all():
            try:
                await self.partitions.find_due(partition, [sender])
            except Revoked:
                continue

    def repaired(self) -> None:
        """An authorization changed: whoever waits for a person tries at once."""
        for sender in self.lists.senders():
            sender.repaired()
        self._changed.set()

    def idle(self) -> bool:
        """Nothing waits anywhere: for tests and summaries."""
        at_work = any(
            not task.done()
            for _, owned in self.partitions.all()
            for task in [*owned.sweeps.values(), *owned.moves.values()]
        )
        return not at_work and not self.lists.making_segments() and all(it.idle for it in self.lists.senders())

    def state(self) -> Mapping[str, Mapping[str, object]]:
        """What each list's sender is doing, for health pages and metrics."""
        return {
            it.list_id: {"waiting": len(it.queue), "in_flight": it.queue.in_flight, "halted": it.gate.halted}
            for it in self.lists.senders()
        }

    def _exports_changed(self, before: Exports, after: Exports) -> None:
        for list_id, listed in after.lists.items():
            known = before.lists.get(list_id)
            sender = self.lists.sender(list_id)
            if sender is not None and known is not None and asked_for(known) != asked_for(listed):
                sender.repaired()
        for list_id in before.lists.keys() | after.lists.keys():
            if revision_of(before, list_id) != revision_of(after, list_id):
                self.partitions.swept_in_vain(list_id)
        self._changed.set()

    # -- sweeps

    def _sweep_all(self, partition: int, owned: Partition) -> None:
        for sender in self.lists.senders():
            list_id = sender.list_id
            listed = self.listed(list_id)
            running = owned.sweeps.get(list_id)
            if listed is None or not listed.running or (running is not None and not running.done()):
                continue
            known = owned.checkpoint.sweeps.get(list_id)
            if known is not None and known.revision == listed.revision:
                if known.after is None:
                    continue
                mark = known
            else:
                mark = SweepMark(listed.revision, "", "", known.open_window if known is not None else None)
            owned.sweeps[list_id] = asyncio.create_task(
                self._sweep(partition, owned, sender, listed, mark), name=f"sweep-{list_id}-{partition}"
            )

    async def _sweep(
        self, partition: int, owned: Partition, sender: ListSender, listed: ListView, mark: SweepMark
    ) -> None:
        async def keep(mark: SweepMark) -> None:
            await self.partitions.mark(partition, owned, listed.list_id, mark)

        async def expect(keys: list[bytes]) -> None:
            ledger = owned.ledger
            await self.owner.run_as_owner(
                partition, ledger.account.generation, lambda: ledger.expect(listed.list_id, keys)
            )

        unsure = owned.unsure.get(listed.list_id)
        most = self._settings.backfill_rows
        try:
            await Sweep(
                self._rows, partition, sender, listed, self._shared.catalogue, mark, unsure, keep, expect, most=most
            ).run()
        except Revoked:
            return
        except BatchError as error:
            log.warning("sweep interrupted", list_id=listed.list_id, partition=partition, error=str(error))
            await asyncio.sleep(1.0)
        self._changed.set()


def revision_of(exports: Exports, list_id: str) -> str | None:
    """Return the revision of a list's jobs, None for a list that no job exports to."""
    listed = exports.lists.get(list_id)
    return None if listed is None else listed.revision


def asked_for(listed: ListView) -> list[ExportJob]:
    """Return the list's jobs without what we write into them ourselves."""
    return [view.job.model_copy(update={"attention": None, "updated_at": view.job.created_at}) for view in listed.jobs]


def concerns(row: Row, listed: ListView) -> bool:
    """Say whether a list may have something to do with the person."""
    if listed.list_id in row.lists:
        return True
    return any(view.exports(audience) for view in listed.jobs for audience in row.audiences)
