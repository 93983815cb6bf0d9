"""Everything that the simulated Campaign Monitor holds, with its clock and its identifiers."""

from __future__ import annotations

import heapq
import random
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from datetime import datetime
from hashlib import blake2b
from itertools import count
from typing import Any
from zoneinfo import ZoneInfo

from connectors.devkit.simulator.campaigns.mailings import SimulatedCampaign, SimulatedJourney, SimulatedJourneyEmail
from connectors.devkit.simulator.data.encoded_rows import EncodedRows
from connectors.devkit.simulator.data.entities import (
    Json,
    SimulatedAccount,
    SimulatedClient,
    SimulatedSegment,
    SimulatedWebhook,
    SubscriberList,
)
from connectors.devkit.simulator.data.request_log import DroppedValue, RequestLog
from connectors.devkit.simulator.data.transitions import WebhookType
from connectors.devkit.simulator.data.zones import local_text
from connectors.devkit.simulator.protocol.credentials import Keyring
from connectors.devkit.simulator.protocol.faults import FaultPlan, SimulatedLimits
from connectors.devkit.simulator.protocol.late_calls import LateCalls
from connectors.devkit.simulator.settings import SimulatorSettings


class SimulatedClock:
    """Seconds since 1970 (UTC). Only `Clock` reads the machine's time; everything else asks it."""

    def __init__(self, start: datetime | None = None, *, frozen: bool = False) -> None:
        self._frozen_at: float | None = None
        self._offset = 0.0
        if start is not None:
            if start.tzinfo is None:
                raise ValueError("the clock's start needs a time zone, e.g. 2026-03-01T12:00:00+00:00")
            self._offset = start.timestamp() - time.time()
        if frozen:
            self.freeze(None if start is None else start.timestamp())

    def time(self) -> float:
        """Return the current time with its fraction."""
        return time.time() + self._offset if self._frozen_at is None else self._frozen_at

    def now(self) -> int:
        """Return the current time in whole seconds."""
        return int(self.time())

    def freeze(self, at: float | None = None) -> None:
        """Stop the clock, at `at` or where it is."""
        self._frozen_at = self.time() if at is None else at

    def resume(self) -> None:
        """Let the clock run on from its present time."""
        if self._frozen_at is not None:
            self._offset = self._frozen_at - time.time()
            self._frozen_at = None

    def advance(self, seconds: float) -> None:
        """Move the clock, running or frozen."""
        if self._frozen_at is None:
            self._offset += seconds
        else:
            self._frozen_at += seconds


class Identifiers:
    """Makes 32 lower-case hex characters from the seed, the kind of thing and its number."""

    def __init__(self, seed: int) -> None:
        self._seed = seed
        self._numbers: Counter[str] = Counter()

    def new(self, kind: str) -> str:
        """Return the next identifier of a kind."""
        self._numbers[kind] += 1
        return blake2b(f"{self._seed}/{kind}/{self._numbers[kind]}".encode(), digest_size=16).hexdigest()


OF_ONE_RUN = frozenset({"request_log", "late_calls", "emit", "test_webhook", "_queue", "_numbers"})
"""Parts of the state that `_begin_run` makes; they hold functions, or grow with every call."""
EmitEvent = Callable[[SubscriberList, WebhookType, Json], None]
SendTestEvents = Callable[[SubscriberList, SimulatedWebhook, list[Json]], Awaitable[None]]


class SimulatorState:
    """One simulated Campaign Monitor: accounts and all below them, the clock, the request log.

    Only the server's event loop changes it; code of the same process may read it between awaits.
    """

    def __init__(self, settings: SimulatorSettings) -> None:
        self.settings = settings
        self.clock = SimulatedClock(settings.now, frozen=settings.frozen)
        # Seeded history ends with the day before, so that it is the same for whoever starts on one day.
        self.history_end = self.clock.now() // 86_400 * 86_400
        self.identifiers = Identifiers(settings.seed)
        self.random = random.Random(settings.seed)
        self.encoded_rows = EncodedRows(settings.keep_rows)
        self.limits = SimulatedLimits(settings)
        self.keyring = Keyring({}, {}, {}, {}, {})
        self.accounts: list[SimulatedAccount] = []
        self.clients: dict[str, SimulatedClient] = {}
        self.lists: dict[str, SubscriberList] = {}
        self.segments: dict[str, SimulatedSegment] = {}
        self.campaigns: dict[str, SimulatedCampaign] = {}
        self.journeys: dict[str, SimulatedJourney] = {}
        self.journey_emails: dict[str, SimulatedJourneyEmail] = {}
        self.row_refusals: dict[str, int] = {}  # folded address -> the code that an import answers for it
        self.faults = FaultPlan()
        self._begin_run()
        self.account = self.add_account(settings.account_name, settings.api_key, settings.account_zone, settings.agency)

    def _begin_run(self) -> None:
        """Make what belongs to one run."""
        self.request_log = RequestLog(self.settings.book_limit)
        self.late_calls = LateCalls(self.schedule)
        self.emit: EmitEvent = _emit_nothing
        self.test_webhook: SendTestEvents = _test_nothing
        self._queue: list[tuple[float, int, Callable[[], None]]] = []
        self._numbers = count()

    def __getstate__(self) -> dict[str, Any]:
        """Return what a later run goes on with."""
        return {name: value for name, value in vars(self).items() if name not in OF_ONE_RUN}

    def __setstate__(self, kept: dict[str, Any]) -> None:
        vars(self).update(kept)
        self._begin_run()

    def add_account(self, name: str, api_key: str, zone_label: str, agency: bool = True) -> SimulatedAccount:
        """Add an account with its key."""
        account = SimulatedAccount(name, api_key, zone_label, agency)
        account.admins.append({"EmailAddress": account.primary_contact, "Name": "Account Owner", "Status": "Active"})
        self.accounts.append(account)
        self.keyring.accounts[api_key] = account
        return account

    def add_client(
        self,
        name: str,
        zone_label: str = "(GMT) Coordinated Universal Time",
        country: str = "Belgium",
        api_key: str | None = None,
        account: SimulatedAccount | None = None,
    ) -> SimulatedClient:
        """Add a client; without `api_key` it gets one of its own."""
        client_id = self.identifiers.new("client")
        key = api_key or self.identifiers.new("client key")
        client = SimulatedClient(client_id, account or self.account, name, key, zone_label, country)
        self.clients[client_id] = client
        self.keyring.clients[key] = client
        return client

    def add_list(self, client: SimulatedClient, title: str) -> SubscriberList:
        """Add an empty list."""
        made = SubscriberList(self.identifiers.new("list"), client, title)
        self.lists[made.list_id] = client.lists[made.list_id] = made
        return made

    def remove_list(self, removed: SubscriberList) -> None:
        """Remove a list, and its segments."""
        del self.lists[removed.list_id], removed.client.lists[removed.list_id]
        for segment in [segment for segment in self.segments.values() if segment.parent is removed]:
            del self.segments[segment.segment_id]

    def schedule(self, delay: float, act: Callable[[], None]) -> None:
        """Schedule an act for when the clock is `delay` seconds further; without a delay it runs at once."""
        if delay <= 0:
            act()
        else:
            heapq.heappush(self._queue, (self.clock.time() + delay, next(self._numbers), act))

    def run_due(self) -> None:
        """Run the scheduled acts whose time has come. Called before each answer and by the server's timer."""
        now = self.clock.time()
        while self._queue and self._queue[0][0] <= now:
            heapq.heappop(self._queue)[2]()

    def record_dropped(self, target: SubscriberList, email: str, key: str, value: str, reason: str) -> None:
        """Record a value that was ignored without an error."""
        self.request_log.dropped.append(DroppedValue(self.clock.time(), target.list_id, email, key, value, reason))

    def subscriber_date(self, at: int, zone: ZoneInfo) -> str:
        """Return a subscriber's date as a read shows it."""
        return local_text(at - at % 60 if self.settings.minute_resolution else at, zone)

    @property
    def queued(self) -> int:
        """How many acts wait for their time."""
        return len(self._queue)


def _emit_nothing(_list: SubscriberList, _type: WebhookType, _event: Json) -> None:
    """Used until the server's webhook sender has started."""


async def _test_nothing(_list: SubscriberList, _hook: SimulatedWebhook, _events: list[Json]) -> None:
    """Used until the server's webhook sender has started."""
