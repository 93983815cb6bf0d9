"""The sender of one list: takes who is due, makes requests, applies the answers. Shared by all partitions of a worker.

One request, in the order that makes a crash at any point harmless:

    1 the rows are read as their owner, and what needs no call is settled; the next request does so meanwhile
    2 fields and options are made before a value uses them
    3 it waits for its turn; the lease is looked at, then the call is made
    4 dead letters of what can never be taken; receipts, then rows, as the owner, on the newest rows
    5 who changed meanwhile goes again

A crash before 3 has done nothing; between 3 and 4 the rows are still due, and are sent again by whoever takes over,
as an outcome that is not known.
"""

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence

import structlog

from connectors.campaign_monitor.errors.exceptions import CampaignMonitorError
from connectors.campaign_monitor.limits.limiter import Limiter, Priority
from streams.batches import BatchError
from streams.delivery.choosing import choose
from streams.delivery.courier import Answered, Courier
from streams.delivery.fields import FieldTypeError, ListFields, needs_of
from streams.delivery.gate import Gate
from streams.delivery.guard import Guard
from streams.delivery.judging import MEND_SECONDS, judge
from streams.delivery.parcel import Parcel, Settled
from streams.delivery.picking import Picker
from streams.delivery.rows_of_list import RowsOfList
from streams.delivery.shop import Shop
from streams.delivery.wire import Passage, Wire
from streams.domain.exports import ListView
from streams.domain.outcome import Again, Delivered, Halt, Mend, decide
from streams.domain.routing import Route
from streams.domain.rows import Millis
from streams.domain.sending import Pick, Queue, Waiting

log = structlog.get_logger(__name__)

DEFECT_WAIT_SECONDS = 10.0
# Between two looks whether a slot of the account, which other lists use too, has become free.
LOOK_SECONDS = 0.05
# How long a worker may still own its partitions for a request to be worth starting: less than that, and a successor
# may send something newer while our call is on the wire.
LEAST_LEASE_SECONDS = 1.0


class ListSender:
    """Sends one list's people."""

    def __init__(
        self,
        list_id: str,
        shop: Shop,
        couriers: Mapping[Priority, Courier],
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
        self.gate = Gate(probe_seconds)
        self._shop = shop
        self._rows = RowsOfList(list_id, shop, self.queue, clock)
        self._couriers = couriers
        self._limiter = limiter
        self._wire = Wire(requests)
        self._after_fields = after_fields
        self._clock = clock
        self._wall = wall
        self._picker = Picker(list_id, self.queue, self.gate, self._wire, limiter)
        self._open: dict[asyncio.Task[None], Passage] = {}
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
        self.gate.open()
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
        """Send until cancelled; requests that are under way then go on."""
        while True:
            self._wake.clear()
            while (pick := self._picker.next(self._clock(), self._open.values())) is not None:
                passage = Passage(pick.live)
                task = asyncio.create_task(self._send(pick, passage))
                self._open[task] = passage
                task.add_done_callback(self._ended)
            await self._sleep()

    async def give_up(self) -> None:
        """End the requests that are under way, answers or not."""
        for task in list(self._open):
            task.cancel()
        await asyncio.gather(*self._open, return_exceptions=True)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._open.pop(task, None)
        self._wake.set()

    async def _sleep(self) -> None:
        now = self._clock()
        opens_at = self.gate.opens_at
        times = [opens_at] if now < opens_at else []
        if (at := self.queue.next_time()) is not None:
            times.append(max(at, opens_at))
        if self.queue.waits(True) or self.queue.waits(False):
            pause = self._limiter.pause_left()
            times.append(max(now + pause, now + LOOK_SECONDS, opens_at))
        timeout = max(0.0, min(times) - now) if times else None
        with contextlib.suppress(TimeoutError):  # not wait_for: in Python 3.11 it may swallow a cancellation
            async with asyncio.timeout(timeout):
                await self._wake.wait()

    # -- one request

    async def _send(self, pick: Pick, passage: Passage) -> None:
        people = list(pick.people)
        try:
            listed = self._shop.listed(self.list_id)
            parcels = await self._rows.prepare(people, listed)
            chosen, route = choose(parcels, self.queue, self.guard, self._clock())
            if not chosen or route is None:
                return
            await self._request(chosen, route, passage, listed)
        except BatchError as error:
            log.warning("rows could not be written", list_id=self.list_id, error=str(error))
            self._later(people, 1.0, unsure=True)
        except Exception:
            # A defect of ours must not keep these people in flight for ever, nor stop the others.
            log.exception("request failed", list_id=self.list_id, people=len(people))
            self._later(people, DEFECT_WAIT_SECONDS, unsure=True)

    async def _request(self, chosen: Sequence[Parcel], route: Route, passage: Passage, listed: ListView | None) -> None:
        people = [parcel.waiting for parcel in chosen]
        try:
            keys = await self._keys(chosen)
        except FieldTypeError as fault:
            await self._halt(str(fault), people)
            return
        except CampaignMonitorError as error:
            await self._failed(error, people)
            return
        async with self._wire.turn(passage):
            if self._shop.owner.lease_seconds() < LEAST_LEASE_SECONDS:
                self._later(people, LEAST_LEASE_SECONDS)
                return
            if self._stale(people, listed):
                self._later(people, 0.0)
                return
            lane: Priority = "live" if passage.live else "background"
            answers = await self._couriers[lane].carry(route, chosen, keys)
            accepted = self._wall()
        self._wake.set()
        if self._jobs_changed(listed):
            for waiting in people:  # carried for jobs that have changed meanwhile: looked at once more afterwards
                self.queue.touch(waiting.key, self._clock(), live=waiting.live)
        await self._apply(answers, accepted)
        await self._check_once(answers)

    def _stale(self, people: Sequence[Waiting], listed: ListView | None) -> bool:
        """Say whether trouble began, a partition went or jobs changed while the request waited for its turn."""
        gone = not all(self.queue.carries(it.key) for it in people)
        return gone or self.gate.closed(self._clock()) or self._jobs_changed(listed)

    def _jobs_changed(self, listed: ListView | None) -> bool:
        now_listed = self._shop.listed(self.list_id)
        return listed is None or now_listed is None or listed.revision != now_listed.revision

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
            outcome = judge(answer, len(answers), self.queue, now)
            if isinstance(outcome, Settled):
                settled.append(outcome)
            elif isinstance(outcome, Mend):
                self.fields.doubt()
            elif isinstance(outcome, Halt) or (isinstance(outcome, Again) and not isinstance(worst, Halt)):
                worst = outcome
        if isinstance(worst, Halt):
            await self._halt(worst.why, [], worst.after)
        elif worst is not None and worst.scope != "person":
            self.gate.failed(worst, now)
        elif answers and self.gate.succeeded():
            log.info("list goes on", list_id=self.list_id)
            await self._shop.attend(self.list_id, None)
        await self._rows.settle(settled, accepted)

    # -- trouble

    def _later(self, people: Sequence[Waiting], after: float, *, unsure: bool = False) -> None:
        now = self._clock()
        for waiting in people:
            if self.queue.carries(waiting.key):
                waiting.doubts.unsure = waiting.doubts.unsure or unsure
                self.queue.again(waiting, now + after)

    async def _failed(self, error: CampaignMonitorError, people: Sequence[Waiting]) -> None:
        """Fields could not be read or made."""
        match decide(error.verdict, self.gate.failures + 1):
            case Halt(why=why, after=after):
                await self._halt(why, people, after)
            case Again() as again:
                self.gate.failed(again, self._clock())
                self._later(people, again.after)
            case Mend():
                self.fields.doubt()
                self._later(people, MEND_SECONDS)
            case _:
                await self._halt(f"the list's fields could not be made: {error}", people)

    async def _halt(self, why: str, people: Sequence[Waiting], after: float | None = None) -> None:
        news = self.gate.halt(why, self._clock(), after)
        self._later(people, 0.0)
        if news:
            log.error("list halted", list_id=self.list_id, why=why)
            await self._shop.attend(self.list_id, why)

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
