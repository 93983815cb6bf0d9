"""Delivery of one worker: a sender for each list, shared by all partitions that the worker owns.

Partitions come and go with the group; lists come and go with the jobs. This is where both meet, and nothing is
decided here.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, field

import structlog

from connectors.campaign_monitor.errors import CampaignMonitorError
from connectors.campaign_monitor.limiter import Lane
from schemas.control import ExportJob
from schemas.topics import TopicNames
from streams.batches import BatchError, Revoked
from streams.delivery.accounts import Accounts, NoCredentialError
from streams.delivery.codec import CHECKPOINT_KEY, DUE
from streams.delivery.courier import Courier
from streams.delivery.fields import ListFields, Need
from streams.delivery.guard import Guard
from streams.delivery.ledger import Ledger
from streams.delivery.ports import Owner, Publisher, Rows
from streams.delivery.receipts import Desk
from streams.delivery.segments import ListSegments, SegmentPlan, planned
from streams.delivery.sender import ListSender, option_needs
from streams.delivery.settings import ExportSettings
from streams.delivery.shared import Shared
from streams.delivery.sweep import Sweep
from streams.delivery.takeover import (
    Checkpoint,
    ReceiptsTopic,
    apply,
    ids_of,
    keys_of,
    read_checkpoint,
    unfolded,
    write_checkpoint,
)
from streams.domain.exports import Exports, ListView
from streams.domain.rows import Millis, Row
from streams.domain.sending import Queue
from streams.domain.values import option_text

log = structlog.get_logger(__name__)

# How long a revoked partition's requests may take to come back; whoever takes over asks about those that did not.
LAST_ANSWERS_SECONDS = 8.0

Attend = Callable[[str, str | None], Awaitable[None]]
"""Told (job id, what a person has to do) whenever that changes; None: it is done."""


@dataclass(slots=True)
class Partition:
    """One partition that this worker owns."""

    ledger: Ledger
    checkpoint: Checkpoint
    sweeps: dict[str, asyncio.Task[None]] = field(default_factory=dict)
    told: bool = False
    """Whether receipts were written since the last checkpoint."""


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
        *,
        clock: Callable[[], float] = time.monotonic,
        wall: Callable[[], Millis] = lambda: int(time.time() * 1000),
    ) -> None:
        self.owner = owner
        self.senders: dict[str, ListSender] = {}
        self._settings = settings
        self._names = names
        self._shared = shared
        self._rows = rows
        self._publisher = publisher
        self._accounts = accounts
        self._receipts = receipts
        self._attend = attend
        self._clock = clock
        self._wall = wall
        self._partitions: dict[int, Partition] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._segments: dict[str, ListSegments] = {}
        self._background_tasks: dict[str, asyncio.Task[None]] = {}
        self._opening = asyncio.Lock()
        self._changed = asyncio.Event()
        shared.on_change(self._exports_changed)

    # -- what the senders ask

    def ledger(self, partition: int) -> Ledger | None:
        """The rows of a partition that this worker owns."""
        owned = self._partitions.get(partition)
        return None if owned is None else owned.ledger

    def listed(self, list_id: str) -> ListView | None:
        """The list's jobs as they are now."""
        return self._shared.exports.lists.get(list_id)

    def options(self, listed: ListView) -> dict[str, Need]:
        """The audiences fields of the list with every option that its jobs may use."""
        fields: dict[str, set[str]] = {}
        catalogue = self._shared.catalogue
        for view in listed.running:
            options = fields.setdefault(view.job.custom_field_name, set())
            for audience in catalogue if view.audiences is None else view.audiences:
                if (entry := catalogue.get(audience)) is not None:
                    options.add(option_text(entry.name))
        return option_needs(listed, fields)

    async def attend(self, list_id: str, why: str | None) -> None:
        """Pass on what a person has to do, for each running job of the list."""
        listed = self.listed(list_id)
        for view in listed.running if listed is not None else ():
            try:
                await self._attend(view.id, why)
            except Exception as error:
                log.warning("attention could not be published", job_id=view.id, error=repr(error))

    # -- what the agent tells

    def carries(self, partition: int, key: bytes) -> Callable[[str], bool]:
        """Return a test: is a request with this person to the list under way?"""

        def carried(list_id: str) -> bool:
            sender = self.senders.get(list_id)
            return sender is not None and sender.queue.carries((partition, key))

        return carried

    def touch(self, partition: int, key: bytes, row: Row) -> None:
        """A row was folded and is due: every list that it may concern looks at it."""
        if row.went_to is not None:
            self._move(partition, key)
            return
        for list_id, sender in self.senders.items():
            listed = self.listed(list_id)
            if listed is not None and listed.running and concerns(row, listed):
                sender.touch(partition, key)

    def partition(self, partition: int) -> Partition:
        """Return a partition that is owned. Raises Revoked."""
        owned = self._partitions.get(partition)
        if owned is None:
            raise Revoked(f"partition {partition} is not owned")
        return owned

    # -- partitions

    async def assigned(self, partition: int, generation: int) -> None:
        """Take a partition over: receipts first, then who is due, then what was being swept."""
        desk = Desk(
            self._names["audience-delivery"],
            partition,
            self._names["audience-membership"],
            self._shared.catalogue.name_of,
        )
        ledger = Ledger(
            self._rows,
            self._publisher,
            self._shared,
            desk,
            generation,
            self._queues,
            self._wall,
            lambda key: self._move(partition, key),
        )
        owned = Partition(ledger, Checkpoint())
        self._partitions[partition] = owned
        await self.owner.run_as_owner(partition, generation, lambda: self._catch_up(partition, owned))
        await self._find_due(partition, list(self.senders.values()))
        self._sweep_all(partition, owned)

    async def _find_due(self, partition: int, senders: Sequence[ListSender]) -> None:
        """Have senders look at every row that is marked due; whether a predecessor sent them is not known."""
        async for pairs in self._rows.due(partition, DUE):
            for _, key in pairs:
                for sender in senders:
                    sender.touch(partition, key, unsure=True)

    def _move(self, partition: int, key: bytes) -> None:
        """Hand a frozen row over in a task of its own, which waits until no request carries it."""
        name = f"move-{partition}-{key!r}"
        running = self._background_tasks.get(name)
        if running is None or running.done():
            self._background(name, self._hand_over(partition, key))

    async def _hand_over(self, partition: int, key: bytes) -> None:
        """Give a frozen row to the owner of the person's new address, once no request carries it any more."""
        owned = self.partition(partition)
        generation = owned.ledger.account.generation
        while any(sender.queue.carries((partition, key)) for sender in self.senders.values()):  # noqa: ASYNC110 - bounded by the answers on their way
            await asyncio.sleep(0.05)

        async def job() -> None:
            row = (await self._rows.read(partition, [key]))[key]
            if row.data.went_to is None:
                return
            await owned.ledger.hand_over(row, self._names["cm_membership-commands"], self._shared.exports)

        try:
            await self.owner.run_as_owner(partition, generation, job)
        except Revoked:
            return
        except BatchError as error:
            log.warning("row not handed over yet", partition=partition, error=str(error))
            await asyncio.sleep(1.0)
            await self._hand_over(partition, key)

    async def revoked(self, partition: int, generation: int) -> None:
        """Give a partition back: answers that come soon are still written, then how far it got."""
        owned = self._partitions.get(partition)
        if owned is None:
            return
        for task in owned.sweeps.values():
            task.cancel()
        deadline = self._clock() + LAST_ANSWERS_SECONDS
        while self._clock() < deadline and any(it.queue.carries_any(partition) for it in self.senders.values()):  # noqa: ASYNC110 - bounded by the deadline
            await asyncio.sleep(0.02)
        try:
            await self._write_checkpoint(partition, owned)
        except BatchError as error:
            log.info("checkpoint not written", partition=partition, error=str(error))
        self._partitions.pop(partition, None)
        for sender in self.senders.values():
            sender.forget_partition(partition)

    async def catch_up_again(self, partition: int) -> None:
        """A receipt may or may not have been written: look, before the next one. As the owner."""
        owned = self.partition(partition)
        await self._catch_up(partition, owned)
        owned.ledger.account.in_doubt = False

    async def _catch_up(self, partition: int, owned: Partition) -> None:
        checkpoint_row = (await self._rows.read(partition, [CHECKPOINT_KEY]))[CHECKPOINT_KEY]
        owned.checkpoint = read_checkpoint(checkpoint_row.data)
        end = await self._receipts.end(partition)
        if owned.checkpoint.receipts < 0:
            owned.checkpoint.receipts = end
            write_checkpoint(checkpoint_row.data, owned.checkpoint)
            await self._rows.write_rows(partition, owned.ledger.account.generation, [checkpoint_row])
            return
        tail = await self._receipts.read(partition, owned.checkpoint.receipts, end)
        if tail:
            rows = await self._rows.read(partition, keys_of(tail))
            changed = apply({key: row.data for key, row in rows.items()}, tail)
            await self._rows.write_rows(
                partition, owned.ledger.account.generation, [row for key, row in rows.items() if key in changed]
            )
            log.info("receipts read", partition=partition, receipts=len(tail), rows=len(changed))
        owned.ledger.account.published |= ids_of(tail)
        owned.ledger.account.unfolded = unfolded(tail)

    async def checkpoints(self) -> None:
        """Write checkpoints from time to time, until cancelled."""
        while True:
            await asyncio.sleep(self._settings.checkpoint_seconds)
            for partition, owned in list(self._partitions.items()):
                try:
                    await self._write_checkpoint(partition, owned)
                except BatchError as error:
                    log.info("checkpoint not written", partition=partition, error=str(error))

    async def _write_checkpoint(self, partition: int, owned: Partition) -> None:
        generation = owned.ledger.account.generation

        async def job() -> None:
            upto = owned.ledger.account.checkpoint(await self._receipts.end(partition))
            if upto is None:
                return
            row = (await self._rows.read(partition, [CHECKPOINT_KEY]))[CHECKPOINT_KEY]
            before = read_checkpoint(row.data)
            owned.checkpoint.receipts = upto
            if owned.checkpoint != before:
                write_checkpoint(row.data, owned.checkpoint)
                await self._rows.write_rows(partition, generation, [row])

        await self.owner.run_as_owner(partition, generation, job)

    # -- lists

    async def run(self) -> None:
        """Keep a sender for each list with running jobs, until cancelled."""
        try:
            while True:
                self._changed.clear()
                await self._open_senders()
                for partition, owned in list(self._partitions.items()):
                    self._sweep_all(partition, owned)
                try:
                    async with asyncio.timeout(self._settings.fields_check_seconds):
                        await self._changed.wait()
                except TimeoutError:
                    self._keep_all_segments()
        finally:
            for task in [*self._tasks.values(), *self._background_tasks.values()]:
                task.cancel()
            await asyncio.gather(*self._tasks.values(), return_exceptions=True)

    def repaired(self) -> None:
        """An authorization changed: whoever waits for a person tries at once."""
        for sender in self.senders.values():
            sender.repaired()
        self._changed.set()

    def idle(self) -> bool:
        """Nothing waits anywhere: for tests and summaries."""
        sweeping = any(not task.done() for owned in self._partitions.values() for task in owned.sweeps.values())
        segments = any(not task.done() for task in self._background_tasks.values())
        return not sweeping and not segments and all(sender.idle for sender in self.senders.values())

    def _queues(self) -> Iterable[tuple[str, Queue]]:
        return ((list_id, sender.queue) for list_id, sender in self.senders.items())

    def _exports_changed(self, before: Exports, after: Exports) -> None:
        for list_id, listed in after.lists.items():
            known = before.lists.get(list_id)
            sender = self.senders.get(list_id)
            if sender is not None and known is not None and asked_for(known) != asked_for(listed):
                sender.repaired()
        for owned in self._partitions.values():
            for list_id, (revision, _) in list(owned.checkpoint.sweeps.items()):
                if list_id not in after.lists or after.lists[list_id].revision != revision:
                    del owned.checkpoint.sweeps[list_id]  # swept for jobs that are not these any more
        self._changed.set()

    async def _open_senders(self) -> None:
        for list_id, listed in list(self._shared.exports.lists.items()):
            if not listed.running or list_id in self.senders:
                continue
            try:
                await self._open(list_id, listed)
            except NoCredentialError as fault:
                log.error("job has no credential", list_id=list_id, why=str(fault))
                await self.attend(list_id, str(fault))

    async def _open(self, list_id: str, listed: ListView) -> None:
        job = listed.running[0].job
        access = await self._accounts.access(job)

        async def lost(_why: str) -> None:
            await self._shared.values_lost(list_id, fields.made)

        async def after_fields(_keys: dict[str, str]) -> None:
            await self._shared.fields_made(list_id, fields.made)
            self._keep_segments(list_id)

        fields = ListFields(
            access.apis["live"],
            list_id,
            check_seconds=self._settings.fields_check_seconds,
            made=self._shared.list_state(list_id).made,
            lost=lost,
            clock=self._clock,
        )
        lanes: tuple[Lane, Lane] = ("live", "background")
        couriers = {
            lane: Courier(
                access.apis[lane],
                list_id,
                self._shared.catalogue.name_of,
                lambda text: access.to_utc(job.client_id, text),
            )
            for lane in lanes
        }
        guard = Guard(
            lambda: self.listed(list_id),
            window_seconds=self._settings.guard_window_seconds,
            minimum=self._settings.guard_minimum,
            tripped=lambda why: self._tripped(list_id, why),
        )
        sender = ListSender(
            list_id,
            self,
            couriers,
            fields,
            access.limiter,
            guard,
            import_size=self._settings.import_size,
            probe_seconds=self._settings.probe_seconds,
            after_fields=after_fields,
            clock=self._clock,
            wall=self._wall,
        )
        self._segments[list_id] = ListSegments(access.apis["background"], list_id)
        self.senders[list_id] = sender
        self._tasks[list_id] = asyncio.create_task(sender.run(), name=f"sender-{list_id}")
        for partition, owned in list(self._partitions.items()):
            try:
                await self._find_due(partition, [sender])
            except Revoked:
                continue
            sender.guard.exported += owned.checkpoint.people.get(list_id, 0)

    def _tripped(self, list_id: str, why: str) -> None:
        log.error("removals held back", list_id=list_id, why=why)
        self._background(f"guard-{list_id}", self.attend(list_id, why))

    # -- segments

    def _keep_all_segments(self) -> None:
        for list_id, segments in self._segments.items():
            segments.doubt()
            self._keep_segments(list_id)

    def _keep_segments(self, list_id: str) -> None:
        listed, sender, segments = self.listed(list_id), self.senders.get(list_id), self._segments[list_id]
        running = self._background_tasks.get(list_id)
        if listed is None or sender is None or (running is not None and not running.done()):
            return
        plans = planned(listed, self._shared.catalogue)
        ready = {it.title: it for it in plans.values() if it.option in sender.fields.options_of(it.field)}
        keys = {it.field: key for it in ready.values() if (key := sender.fields.key_of(it.field)) is not None}
        if segments.missing(ready):
            self._background_tasks[list_id] = asyncio.create_task(self._make_segments(list_id, segments, ready, keys))

    async def _make_segments(
        self, list_id: str, segments: ListSegments, plans: dict[str, SegmentPlan], keys: dict[str, str]
    ) -> None:
        try:
            await segments.keep(plans, keys)
        except CampaignMonitorError as error:
            log.warning("segments could not be made", list_id=list_id, error=str(error))
            segments.doubt()

    def _background(self, name: str, work: Awaitable[None]) -> None:
        async def run() -> None:
            await work

        for done in [it for it, task in self._background_tasks.items() if task.done()]:
            del self._background_tasks[done]
        self._background_tasks[name] = asyncio.create_task(run())

    # -- sweeps

    def _sweep_all(self, partition: int, owned: Partition) -> None:
        for list_id, sender in self.senders.items():
            listed = self.listed(list_id)
            running = owned.sweeps.get(list_id)
            if listed is None or not listed.running or (running is not None and not running.done()):
                continue
            revision, after = owned.checkpoint.sweeps.get(list_id, ("", None))
            if revision == listed.revision and after is None and list_id in owned.checkpoint.sweeps:
                continue
            start = after.encode() if after is not None and revision == listed.revision else None
            owned.sweeps[list_id] = asyncio.create_task(
                self._sweep(partition, owned, list_id, sender, start), name=f"sweep-{list_id}-{partition}"
            )

    async def _sweep(
        self, partition: int, owned: Partition, list_id: str, sender: ListSender, after: bytes | None
    ) -> None:
        def progress(revision: str, key: bytes | None) -> None:
            owned.checkpoint.sweeps[list_id] = (revision, None if key is None else key.decode())

        sweep = Sweep(
            self._rows,
            partition,
            sender,
            lambda: self.listed(list_id),
            self._shared.catalogue,
            most=self._settings.backfill_rows,
            after=after,
            progress=progress,
        )
        await sweep.run()
        self._changed.set()


def asked_for(listed: ListView) -> list[ExportJob]:
    """Return the list's jobs without what we write into them ourselves."""
    return [view.job.model_copy(update={"attention": None, "updated_at": view.job.created_at}) for view in listed.jobs]


def concerns(row: Row, listed: ListView) -> bool:
    """Say whether a list may have something to do with the person."""
    if listed.list_id in row.lists:
        return True
    return any(view.exports(audience) for view in listed.jobs for audience in row.audiences)
