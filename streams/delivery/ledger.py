"""The rows' side of delivery, run as the owner of one partition: what to send, and what the answers change.

    prepare   rows -> what each person needs; what needs no call is settled at once
    settle    answers -> newest rows and receipts

Both end in the same two writes, in the order that makes a crash harmless: receipts, acknowledged; then rows.
"""

import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, field

from schemas.audience_delivery import Outcome, Refusal
from streams.batches import NotDelivered, Output
from streams.batches import Row as TableRow
from streams.delivery import commands
from streams.delivery.parcel import Parcel, Settled
from streams.delivery.ports import Publisher, Rows
from streams.delivery.receipts import Desk, output
from streams.delivery.shared import Shared
from streams.domain.desired import wanted
from streams.domain.exports import Exports, ListView
from streams.domain.moving import hand_over
from streams.domain.routing import Kind, route_of
from streams.domain.rows import Held, Millis, Row, copy_of_held
from streams.domain.sending import Queue, Waiting
from streams.domain.settlement import Carried, Receipt, answers_owed, delivered, refused, seen_up_to, unchanged

REFUSALS = {
    203: "not_a_subscriber",
    204: "suppressed",
    205: "deleted",
    206: "unsubscribed",
    207: "bounced",
    208: "unconfirmed",
}


@dataclass(slots=True)
class Account:
    """What a partition has told, as long as this worker owns it."""

    generation: int
    published: set[str] = field(default_factory=set)
    """Ids of receipts that the predecessor wrote after its last checkpoint: replays must not tell them again."""
    told: set[str] = field(default_factory=set)
    """Ids of receipts of an attempt whose rows are not written yet: its repetition must not tell them again."""
    unfolded: list[tuple[int, int]] = field(default_factory=list)
    """(source offset, receipt offset) of those among them whose event may come again, by source offset."""
    people: Counter[str] = field(default_factory=Counter)
    """By list: how many of the partition's people it holds for us."""
    in_doubt: bool = False
    """A receipt may or may not have been written: the topic has to be read before the next one."""

    def folded(self, upto: int) -> None:
        """The source was folded up to this offset: nothing before it comes again."""
        while self.unfolded and self.unfolded[0][0] <= upto:
            self.unfolded.pop(0)

    def checkpoint(self, end: int) -> int | None:
        """Return up to which receipt the rows are complete, `end` being the topic's; None when that is not known."""
        if self.in_doubt or self.told:
            return None
        return min((receipt for _, receipt in self.unfolded), default=end)


class Ledger:
    """Reads and writes one partition's rows on behalf of the lists' senders."""

    def __init__(
        self,
        rows: Rows,
        publisher: Publisher,
        shared: Shared,
        desk: Desk,
        generation: int,
        queues: Callable[[], Iterable[tuple[str, Queue]]],
        now: Callable[[], Millis] = lambda: int(time.time() * 1000),
        frozen: Callable[[bytes], None] = lambda key: None,
        look: Callable[[], Awaitable[None]] | None = None,
    ) -> None:
        """`frozen` is told of rows that wait to be handed over; `look` reads which receipts the topic has."""
        self._rows = rows
        self._publisher = publisher
        self._shared = shared
        self._desk = desk
        self._queues = queues
        self._now = now
        self._frozen = frozen
        self._look = look
        self.account = Account(generation)

    @property
    def partition(self) -> int:
        """The partition."""
        return self._desk.partition

    async def prepare(self, listed: ListView, people: Sequence[Waiting]) -> list[Parcel]:
        """Return what each of these people needs from the list. Who needs no call is settled before this returns."""
        await self.be_sure()
        rows = await self._rows.read(self.partition, [it.key[1] for it in people])
        parcels = [self._parcel(listed, waiting, rows[waiting.key[1]].data) for waiting in people]
        local: list[tuple[TableRow[Row], list[Receipt]]] = []
        for parcel in parcels:
            row = rows[parcel.waiting.key[1]]
            receipts = self._settled_here(row.data, parcel) if listed.running else None
            if receipts is not None:
                parcel.settled = True
                self._still_due(row, listed.list_id)
                local.append((row, receipts))
        self._rows.give_back(self.partition, [rows[it.waiting.key[1]] for it in parcels if not it.settled])
        await self.write(local, self._now())
        return parcels

    async def settle(self, list_id: str, results: Sequence[Settled], accepted: Millis) -> None:
        """Apply answers to the newest rows."""
        await self.be_sure()
        rows = await self._rows.read(self.partition, [it.waiting.key[1] for it in results])
        changed: list[tuple[TableRow[Row], list[Receipt]]] = []
        moved = 0
        for it in results:
            row = rows[it.waiting.key[1]]
            before = held_for_us(row.data, list_id)
            if it.refusal is not None:
                receipts = refused(row.data, it.carried, it.refusal, it.code, it.message)
            else:
                receipts = delivered(row.data, it.carried, it.address, added=it.added)
            moved += held_for_us(row.data, list_id) - before
            self._still_due(row, list_id)
            changed.append((row, receipts))
        await self.write(changed, accepted)
        self.account.people[list_id] += moved

    async def expect(self, list_id: str, keys: Sequence[bytes]) -> None:
        """Note in the rows that a request may be made from here on: jobs may have changed when a successor looks."""
        rows = await self._rows.read(self.partition, keys)
        unheard = [row for row in rows.values() if row.exists and list_id not in row.data.lists]
        for row in unheard:
            row.data.lists[list_id] = Held()
        if unheard:
            await self._rows.write_rows(self.partition, self.account.generation, unheard)

    async def be_sure(self) -> None:
        """After a receipt that may or may not have been written: look, before the next one."""
        if self.account.in_doubt and self._look is not None:
            await self._look()
            self.account.in_doubt = False

    async def write(self, changed: Sequence[tuple[TableRow[Row], list[Receipt]]], accepted: Millis) -> None:
        """Write receipts, then rows."""
        if not changed:
            return
        await self.tell(
            [
                (row.key, receipt, row.data.source, row.data.lists.get(receipt.list_id))
                for row, receipts in changed
                for receipt in receipts
            ],
            accepted,
        )
        await self._rows.write_rows(self.partition, self.account.generation, [row for row, _ in changed])
        self.account.told.clear()

    async def hand_over(self, key: bytes, topic: str, exports: Exports) -> None:
        """Give a frozen row to the person's new address: receipts for what was still to be sent, then the row."""
        await self.be_sure()
        row = (await self._rows.read(self.partition, [key]))[key]
        if row.data.went_to is None:
            return
        to, at = row.data.went_to
        receipts = [
            Receipt(it.job_id, listed.list_id, it.position, Outcome.SUPERSEDED, it.appended, message=f"now {to}")
            for listed in exports.lists.values()
            for it in answers_owed(row.data, listed)
        ]
        source = row.data.source
        await self.tell([(row.key, receipt, source, None) for receipt in receipts], self._now())
        arrive = commands.Arrive(row.key.decode(), at, hand_over(row.data))
        await self._publisher.publish_all([commands.write(topic, to, arrive)])
        await self._rows.write_rows(self.partition, self.account.generation, [row])
        self.account.told.clear()

    def told(self, source: int, job_id: str, position: int) -> bool:
        """Say whether a receipt was in the topic when the partition was taken over."""
        published = self.account.published
        return bool(published) and self._desk.event_id(job_id, position, source) in published

    async def tell(self, receipts: Iterable[tuple[bytes, Receipt, int, Held | None]], accepted: Millis) -> None:
        """Publish receipts of (key, receipt, source, held), but none that the topic has already."""
        outputs: list[Output] = []
        ids: list[str] = []
        for key, receipt, source, held in receipts:
            told = self._desk.event_id(receipt.job_id, receipt.position, source)
            if told not in self.account.published and told not in self.account.told:
                ids.append(told)
                outputs.append(output(self._desk, key, receipt, source, held, accepted))
        if not outputs:
            return
        try:
            await self._publisher.publish_all(outputs)
        except NotDelivered:
            self.account.in_doubt = True
            raise
        self.account.told.update(ids)

    def _parcel(self, listed: ListView, waiting: Waiting, row: Row) -> Parcel:
        key = waiting.key[1]
        held = row.lists.get(listed.list_id)
        want = None
        if row.went_to is not None:
            self._frozen(key)
        if row.awaits is None and row.went_to is None:
            want = wanted(row, key.decode(), listed, held, self._shared.catalogue.name_of)
        if want is None:
            return Parcel(waiting)
        answers, seen = answers_owed(row, listed), seen_up_to(row)
        carried = Carried(key, self.partition, listed.list_id, want, answers, seen, waiting.attempts + 1)
        return Parcel(waiting, carried, route_of(held, want, waiting.doubts), held and copy_of_held(held))

    def _settled_here(self, row: Row, parcel: Parcel) -> list[Receipt] | None:
        """Settle who needs no call; None for who does."""
        if parcel.carried is None or parcel.route is None:
            return None if row.awaits is not None or row.went_to is not None else []
        if parcel.route.kind not in (Kind.ANSWER, Kind.REFUSE):
            return None
        want, held = parcel.carried.wanted, row.lists.get(parcel.carried.list_id)
        if want.present and want.refused is not None:
            return refused(row, parcel.carried, want.refused, None)
        code = parcel.waiting.doubts.code or (0 if held is None else held.code)
        if want.present and code > 0:
            return refused(row, parcel.carried, Refusal(REFUSALS.get(code, "invalid")), code)
        return unchanged(row, parcel.carried)

    def _still_due(self, row: TableRow[Row], list_id: str) -> None:
        """Keep the mark while another list's queue has the person, or this one looks at them once more."""
        key = (self.partition, row.key)
        row.data.due = any(
            queue.touched(key) if queued == list_id else key in queue for queued, queue in self._queues()
        )
        if row.data.awaits is not None or row.data.went_to is not None or self._for_later(row.data, list_id):
            row.data.due = True

    def _for_later(self, row: Row, list_id: str) -> bool:
        """Whether a list whose jobs are all stopped may have to be told something when one starts again."""
        return any(
            it.list_id != list_id and not it.running and it.list_id in row.lists
            for it in self._shared.exports.lists.values()
        )


def held_for_us(row: Row, list_id: str) -> bool:
    """Say whether a list holds audiences of the person."""
    held = row.lists.get(list_id)
    return held is not None and bool(held.audiences)
