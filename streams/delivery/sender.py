"""The sender of one list: takes who is due, makes requests, applies the answers. Shared by all partitions of a worker.

One request, in the order that makes a crash at any point harmless:

    1 the rows are read as their owner, and what needs no call is settled
    2 fields and options are made before a value uses them
    3 the lease is looked at, then the call is made
    4 receipts, then rows, as the owner, on the newest rows
    5 who changed meanwhile goes again

A crash before 3 has done nothing; between 3 and 4 the rows are still due, and are sent again by whoever takes over,
as an outcome that is not known.
"""

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Protocol

import structlog

from connectors.campaign_monitor.errors import CampaignMonitorError
from connectors.campaign_monitor.limiter import Lane, Limiter
from schemas.audience_delivery import Refusal
from streams.batches import BatchError, Revoked
from streams.delivery.courier import Answered, Courier
from streams.delivery.fields import FieldTypeError, ListFields, Need, needs_of
from streams.delivery.guard import Guard
from streams.delivery.ledger import REFUSALS, Ledger
from streams.delivery.parcel import Parcel, Settled
from streams.delivery.ports import Owner
from streams.delivery.writes import field_name
from streams.domain.exports import ListView
from streams.domain.outcome import (
    Again,
    Delivered,
    Halt,
    Mend,
    NotThere,
    Occupied,
    Refused,
    Split,
    decide,
)
from streams.domain.routing import INACTIVE, Kind, Route
from streams.domain.rows import Millis
from streams.domain.sending import Pick, Queue, Waiting

log = structlog.get_logger(__name__)

DEFECT_WAIT_SECONDS = 10.0
# How long a worker may still own its partitions for a request to be worth starting: less than that, and a successor
# may send something newer while our call is on the wire.
LEAST_LEASE_SECONDS = 1.0


class Shop(Protocol):
    """What a sender needs of the worker around it."""

    owner: Owner

    def ledger(self, partition: int) -> Ledger | None:
        """The rows of a partition that this worker owns; None when it does not."""
        ...

    def listed(self, list_id: str) -> ListView | None:
        """The list's jobs as they are now."""
        ...

    def options(self, listed: ListView) -> dict[str, Need]:
        """The audiences fields of the list with every option that its jobs may use."""
        ...

    async def attend(self, list_id: str, why: str | None) -> None:
        """Say what a person has to do before the list's jobs can go on; None when it is done."""
        ...


class ListSender:
    """Sends one list's people."""

    def __init__(
        self,
        list_id: str,
        shop: Shop,
        couriers: Mapping[Lane, Courier],
        fields: ListFields,
        limiter: Limiter,
        guard: Guard,
        *,
        import_size: int = 1000,
        requests: int = 4,
        probe_seconds: float = 60.0,
        after_fields: Callable[[dict[str, str]], Awaitable[None]] | None = None,
        clock: Callable[[], float] = time.monotonic,
        wall: Callable[[], Millis] = lambda: int(time.time() * 1000),
    ) -> None:
        self.list_id = list_id
        self.queue = Queue(import_size)
        self.guard = guard
        self.fields = fields
        self.halted: str | None = None
        self._shop = shop
        self._couriers = couriers
        self._limiter = limiter
        self._requests = requests
        self._probe_seconds = probe_seconds
        self._after_fields = after_fields
        self._clock = clock
        self._wall = wall
        self._gate = 0.0
        self._failures = 0
        self._open: dict[asyncio.Task[None], bool] = {}
        self._wake = asyncio.Event()
        self._read_back = False

    # -- what others tell it

    def touch(self, partition: int, key: bytes, *, live: bool = True, unsure: bool = False) -> None:
        """A row may have something to send to this list."""
        self.queue.touch((partition, key), self._clock(), live=live, unsure=unsure)
        self._wake.set()

    def wake(self) -> None:
        """Look again: a slot or a pause may be over."""
        self._wake.set()

    def repaired(self) -> None:
        """A job, an authorization or the list was changed by a person: try at once."""
        self._gate = 0.0
        self._failures = 0
        self.fields.doubt()
        self.queue.release_all(self._clock())
        self._wake.set()

    def forget_partition(self, partition: int) -> None:
        """The partition has another owner."""
        self.queue.forget_partition(partition)

    @property
    def idle(self) -> bool:
        """Nothing waits and nothing is under way."""
        return not len(self.queue) and not self._open

    # -- the loop

    async def run(self) -> None:
        """Send until cancelled; requests under way are waited for by `finish`."""
        while True:
            self._wake.clear()
            while (pick := self._next()) is not None:
                task = asyncio.create_task(self._send(pick))
                self._open[task] = pick.live
                task.add_done_callback(self._ended)
            await self._sleep()

    async def finish(self) -> None:
        """Wait for the requests that are under way."""
        while self._open:
            await asyncio.wait(list(self._open))

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._open.pop(task, None)
        self._wake.set()

    def _next(self) -> Pick | None:
        now = self._clock()
        if now < self._gate:
            return None
        most = 1 if self.halted or self._failures else self._requests
        free = most - len(self._open)
        background = max(1, most - 1) - sum(not live for live in self._open.values())
        if not self._limiter.free(self.list_id) and not self._limiter_ready():
            return None
        return self.queue.pick(now, free, min(free, background))

    def _limiter_ready(self) -> bool:
        """Whether our own requests are what fills the limiter: they have not reached it, or are about to leave it."""
        return not self._limiter.waiting and self._limiter.pause_left() == 0 and not self._open

    async def _sleep(self) -> None:
        now = self._clock()
        times = [self._gate] if now < self._gate else []
        if (at := self.queue.next_time()) is not None:
            times.append(max(at, self._gate))
        if self.queue.waits(True) or self.queue.waits(False):
            pause = self._limiter.pause_left()
            times.append(max(now + pause, now + 0.05, self._gate))
        timeout = max(0.0, min(times) - now) if times else None
        with contextlib.suppress(TimeoutError):  # not wait_for: in Python 3.11 it may swallow a cancellation
            async with asyncio.timeout(timeout):
                await self._wake.wait()

    # -- one request

    async def _send(self, pick: Pick) -> None:
        people = list(pick.people)
        try:
            parcels = await self._prepare(people)
            chosen, route = self._chosen(parcels)
            if not chosen or route is None:
                return
            lane: Lane = "live" if pick.live else "background"
            await self._request(chosen, route, lane)
        except BatchError as error:
            log.warning("rows could not be written", list_id=self.list_id, error=str(error))
            self._later(people, 1.0, unsure=True)
        except Exception:
            # A defect of ours must not keep these people in flight for ever, nor stop the others.
            log.exception("request failed", list_id=self.list_id, people=len(people))
            self._later(people, DEFECT_WAIT_SECONDS, unsure=True)

    async def _prepare(self, people: Sequence[Waiting]) -> list[Parcel]:
        listed = self._shop.listed(self.list_id)
        by_partition: dict[int, list[Waiting]] = {}
        for waiting in people:
            by_partition.setdefault(waiting.key[0], []).append(waiting)
        found = await asyncio.gather(*(self._read(part, listed, group) for part, group in by_partition.items()))
        order = {waiting.key: n for n, waiting in enumerate(people)}
        return sorted((it for group in found for it in group), key=lambda it: order[it.waiting.key])

    async def _read(self, partition: int, listed: ListView | None, group: Sequence[Waiting]) -> list[Parcel]:
        ledger = self._shop.ledger(partition)
        if ledger is None or listed is None:
            for waiting in group:
                self.queue.drop(waiting.key)
            return []
        try:
            return await self._shop.owner.run_as_owner(
                partition, ledger.account.generation, lambda: ledger.prepare(listed, group)
            )
        except Revoked:
            self.queue.forget_partition(partition)
            return []

    def _chosen(self, parcels: Sequence[Parcel]) -> tuple[list[Parcel], Route | None]:
        """Return who shares the next request; the others go back, settled ones are done."""
        now = self._clock()
        chosen: list[Parcel] = []
        addresses: set[str] = set()
        route: Route | None = None
        for parcel in parcels:
            waiting = parcel.waiting
            if parcel.settled or parcel.route is None or parcel.carried is None:
                self.queue.done(waiting.key, now)
                continue
            if not parcel.carried.wanted.present and (after := self.guard.holds(parcel.carried, now)) is not None:
                self.queue.again(waiting, now + after)
                continue
            address = parcel.carried.wanted.address or (parcel.held.address if parcel.held else None) or ""
            alone = route is not None and route.kind is not Kind.IMPORT
            if (route is None or route == parcel.route) and not alone and address not in addresses:
                route = parcel.route
                addresses.add(address)
                if parcel.held is not None and parcel.held.address:
                    addresses.add(parcel.held.address)
                chosen.append(parcel)
            else:
                self.queue.put_back(waiting, parcel.route)
        return chosen, route

    async def _request(self, chosen: Sequence[Parcel], route: Route, lane: Lane) -> None:
        people = [parcel.waiting for parcel in chosen]
        try:
            keys = await self._keys(chosen)
        except FieldTypeError as fault:
            await self._halt(str(fault), people)
            return
        except CampaignMonitorError as error:
            await self._failed(error, people)
            return
        if self._shop.owner.lease_seconds() < LEAST_LEASE_SECONDS:
            self._later(people, LEAST_LEASE_SECONDS)
            return
        answers = await self._couriers[lane].carry(route, chosen, keys)
        await self._apply(answers, self._wall())
        await self._check_once(answers)

    async def _keys(self, chosen: Sequence[Parcel]) -> dict[str, str]:
        needs = needs_of(parcel.carried.wanted for parcel in chosen if parcel.carried is not None)
        listed = self._shop.listed(self.list_id)
        if listed is not None:
            for plain, need in self._shop.options(listed).items():
                if plain in needs:
                    needs[plain].options |= need.options
        keys = await self.fields.ensure(needs)
        if self._after_fields is not None:
            await self._after_fields(keys)
        return keys

    # -- answers

    async def _apply(self, answers: Sequence[Answered], accepted: Millis) -> None:
        now = self._clock()
        settled: list[Settled] = []
        worst: Again | Halt | None = None
        for answer in answers:
            outcome = self._judge(answer, len(answers), now)
            if isinstance(outcome, Settled):
                settled.append(outcome)
            elif isinstance(outcome, Halt) or (isinstance(outcome, Again) and not isinstance(worst, Halt)):
                worst = outcome
        if worst is None and answers:
            self._failures = 0
            await self._recovered()
        elif isinstance(worst, Halt):
            await self._halt(worst.why, [], worst.after)
        elif isinstance(worst, Again) and worst.scope != "person":
            self._failures += 1
            self._gate = max(self._gate, now + worst.after)
        await self._write(settled, accepted)

    def _judge(self, answer: Answered, together: int, now: float) -> Settled | Again | Halt | None:
        parcel, decision = answer.parcel, answer.decision
        waiting, carried = parcel.waiting, parcel.carried
        if carried is None or parcel.route is None:
            return None
        waiting.attempts += 1
        match decision:
            case Delivered():
                return Settled(carried, waiting, answer.address, answer.added)
            case Refused(code=code) if (
                code in INACTIVE and parcel.route.kind is Kind.IMPORT and not waiting.doubts.code
            ):
                waiting.doubts.code = code  # what the list still holds, or the jobs' rule, has a word first
                self.queue.put_back(waiting, Route(Kind.REFUSE if carried.wanted.present else Kind.UPDATE))
                return None
            case Refused(code=code):
                return Settled(carried, waiting, refusal=Refusal(REFUSALS.get(code, "invalid")), code=code)
            case NotThere() if answer.absent:
                waiting.doubts.absent = True
                self.queue.put_back(waiting, Route(Kind.IMPORT))
            case NotThere() | Occupied():
                waiting.doubts.moved_on = True
                self.queue.put_back(waiting, Route(Kind.IMPORT))
            case Split(code=code) if together == 1:
                return Settled(
                    carried,
                    waiting,
                    refusal=Refusal.INVALID,
                    code=code,
                    message="Campaign Monitor does not understand it",
                )
            case Split():
                waiting.share = max(1, together // 2)
                self.queue.put_back(waiting, parcel.route)
            case Mend():
                self.fields.doubt()
                self.queue.again(waiting, now + 1.0)
            case Again(after=after, unsure=unsure):
                waiting.doubts.unsure = waiting.doubts.unsure or unsure
                waiting.doubts.absent = waiting.doubts.absent and not unsure
                self.queue.again(waiting, now + after)
                return decision
            case Halt(after=after):
                self.queue.again(waiting, now + after)
                return decision
        return None

    async def _write(self, settled: Sequence[Settled], accepted: Millis) -> None:
        by_partition: dict[int, list[Settled]] = {}
        for it in settled:
            by_partition.setdefault(it.waiting.key[0], []).append(it)
        await asyncio.gather(*(self._settle(part, group, accepted) for part, group in by_partition.items()))

    async def _settle(self, partition: int, group: Sequence[Settled], accepted: Millis) -> None:
        ledger = self._shop.ledger(partition)
        if ledger is None:
            self.queue.forget_partition(partition)
            return
        while True:
            try:
                await self._shop.owner.run_as_owner(
                    partition, ledger.account.generation, lambda: ledger.settle(self.list_id, group, accepted)
                )
            except Revoked:
                self.queue.forget_partition(partition)
                return
            except BatchError as error:
                log.warning("answers could not be written yet", list_id=self.list_id, error=str(error))
                await asyncio.sleep(1.0)
                continue
            break
        now = self._clock()
        for it in group:
            self.guard.settled(it, now)
            self.queue.done(it.waiting.key, now)

    # -- trouble

    def _later(self, people: Sequence[Waiting], after: float, *, unsure: bool = False) -> None:
        now = self._clock()
        for waiting in people:
            if self.queue.carries(waiting.key):
                waiting.doubts.unsure = waiting.doubts.unsure or unsure
                self.queue.again(waiting, now + after)

    async def _failed(self, error: CampaignMonitorError, people: Sequence[Waiting]) -> None:
        """Fields could not be read or made."""
        decision = decide(error.verdict, self._failures + 1)
        self._failures += 1
        match decision:
            case Halt(why=why, after=after):
                await self._halt(why, people, after)
            case Again(after=after):
                self._gate = max(self._gate, self._clock() + after)
                self._later(people, after)
            case Mend():
                self.fields.doubt()
                self._later(people, 1.0)
            case _:
                await self._halt(f"the list's fields could not be made: {error}", people)

    async def _halt(self, why: str, people: Sequence[Waiting], after: float | None = None) -> None:
        self._gate = self._clock() + min(self._probe_seconds, after or self._probe_seconds)
        self._later(people, 0.0)
        if self.halted != why:
            self.halted = why
            log.error("list halted", list_id=self.list_id, why=why)
            await self._shop.attend(self.list_id, why)

    async def _recovered(self) -> None:
        if self.halted is not None:
            log.info("list goes on", list_id=self.list_id)
            self.halted = None
            await self._shop.attend(self.list_id, None)

    async def _check_once(self, answers: Sequence[Answered]) -> None:
        """Read one subscriber after the first write: unknown keys and options would have been dropped silently."""
        if self._read_back:
            return
        for answer in answers:
            carried = answer.parcel.carried
            if isinstance(answer.decision, Delivered) and carried is not None and carried.wanted.present:
                self._read_back = True
                kept = await self._couriers["live"].kept(answer.parcel)
                if kept is False:
                    log.error("values were not kept", list_id=self.list_id)
                    self.fields.doubt()
                return


def option_needs(listed: ListView, options: dict[str, set[str]]) -> dict[str, Need]:
    """Return needs for the audiences fields of a list: custom field's name -> options."""
    return {field_name(name): Need(name, "MultiSelectMany", set(texts)) for name, texts in options.items()}
