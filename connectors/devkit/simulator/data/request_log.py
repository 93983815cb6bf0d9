"""What the simulator records for the oracle of a test: every applied write, every call, every silent drop.

Seeding is not recorded. With `limit` each log keeps its newest entries only; the counters stay complete.
"""

from collections import Counter, deque
from collections.abc import Iterable
from typing import Any, NamedTuple

from connectors.devkit.simulator.data.fields import FieldValues
from connectors.devkit.simulator.data.transitions import SimulatedState


class AppliedWrite(NamedTuple):
    """One applied act on one subscriber, in the order in which they were applied (`seq` has no gaps)."""

    seq: int
    at: float
    who: str  # "account <name>", "client <name>", "oauth <client id>" or "person"
    act: str  # add, import, update, unsubscribe, delete, suppress, or what a person did
    list_id: str
    email: str
    before: SimulatedState | None  # None: was not on the list
    after: SimulatedState
    old_email: str | None  # where the act changed the address
    values: FieldValues  # custom fields after the act, by field number

    @property
    def resurrected_from(self) -> SimulatedState | None:
        """The inactive state out of which the act brought the subscriber back, else None."""
        back = (
            self.before is not None and self.before is not SimulatedState.ACTIVE and self.after is SimulatedState.ACTIVE
        )
        return self.before if back else None


class DroppedValue(NamedTuple):
    """A value that the API ignored without an error."""

    at: float
    list_id: str
    email: str
    key: str
    value: str
    reason: str


class WrittenAddresses(NamedTuple):
    """The subscribers that a call writes, by their folded addresses."""

    list_id: str = ""
    emails: frozenset[str] = frozenset()

    def named(self) -> list[str]:
        """Return each as `list id/address`."""
        return [f"{self.list_id}/{email}" for email in self.emails]


NOTHING_WRITTEN = WrittenAddresses()


class AutomationCount(NamedTuple):
    """Subscription-based automations of one subscriber: started as new, restarted."""

    queued: int = 0
    restarted: int = 0


class WebhookAttempt(NamedTuple):
    """One attempt to POST a batch. `status` is None when no answer came; `copy` marks a deliberate duplicate."""

    at: float
    webhook_id: str
    list_id: str
    batch: int
    attempt: int
    events: int
    status: int | None
    error: str
    payload: bytes | None


class RequestLog:
    """The logs and counters. Everything is appended on the server's loop, so a reader sees whole entries."""

    def __init__(self, limit: int | None = None) -> None:
        self.writes: deque[AppliedWrite] = deque(maxlen=limit)
        self.dropped: deque[DroppedValue] = deque(maxlen=limit)
        self.deliveries: deque[WebhookAttempt] = deque(maxlen=limit)
        self.webhook_events: Counter[str] = Counter()  # emitted, delivered, lost and unsent, per outcome
        self.write_count = 0
        self.resurrections = 0
        self.calls: Counter[str] = Counter()  # by endpoint, e.g. "POST /subscribers/{listid}/import"
        self.answers: Counter[str] = Counter()  # by status and code, e.g. "400/210"
        self.faults: Counter[str] = Counter()  # injected, by kind
        self.in_flight = 0
        self.max_in_flight = 0
        self.automations: dict[tuple[str, str], AutomationCount] = {}  # by list id and folded address
        self.max_writes_at_once = 0  # of any one (list, address)
        self.shared_addresses: dict[str, int] = {}  # "list id/address" -> most writes in flight, where above one
        self._open: list[WrittenAddresses] = []

    def record_write(
        self,
        at: float,
        who: str,
        act: str,
        list_id: str,
        email: str,
        before: SimulatedState | None,
        after: SimulatedState,
        values: FieldValues,
        old_email: str | None = None,
    ) -> None:
        """Record an applied act."""
        self.write_count += 1
        entry = AppliedWrite(self.write_count, at, who, act, list_id, email, before, after, old_email, values)
        if entry.resurrected_from is not None:
            self.resurrections += 1
        self.writes.append(entry)

    def record_writes(
        self,
        at: float,
        who: str,
        act: str,
        list_id: str,
        people: Iterable[tuple[str, FieldValues]],
        *,
        before: SimulatedState | None,
        after: SimulatedState,
    ) -> None:
        """Record one act on several subscribers, addresses and values given; nobody comes back from being inactive."""
        # A thousand of them for each import: the tuples are made without the call of their class.
        make, seq = tuple.__new__, self.write_count
        self.writes.extend(
            [
                make(AppliedWrite, (seq := seq + 1, at, who, act, list_id, email, before, after, None, values))
                for email, values in people
            ]
        )
        self.write_count = seq

    def count_automation(self, list_id: str, folded: str, *, restarted: bool) -> None:
        """Count a start or a restart of the list's subscription-based automations for a subscriber."""
        queued, restarts = self.automations.get((list_id, folded), AutomationCount())
        self.automations[list_id, folded] = AutomationCount(queued + (not restarted), restarts + restarted)

    def begin_call(self, written: WrittenAddresses) -> None:
        """Record that a call is being served, and what it writes."""
        self.in_flight += 1
        self.max_in_flight = max(self.max_in_flight, self.in_flight)
        if not written.emails:
            return
        others = [other.emails for other in self._open if other.list_id == written.list_id]
        self._open.append(written)
        self.max_writes_at_once = max(self.max_writes_at_once, 1)
        for email in {email for other in others for email in written.emails & other}:
            count = 1 + sum(email in other for other in others)
            address = f"{written.list_id}/{email}"
            self.max_writes_at_once = max(self.max_writes_at_once, count)
            self.shared_addresses[address] = max(count, self.shared_addresses.get(address, 0))

    def end_call(self, written: WrittenAddresses) -> None:
        """Undo `begin_call`."""
        self.in_flight -= 1
        if written.emails:
            self._open.remove(written)

    def summary(self) -> dict[str, Any]:
        """Return the counters, without the logs."""
        return {
            "writes": self.write_count,
            "resurrections": self.resurrections,
            "dropped": len(self.dropped),
            "calls": dict(self.calls),
            "answers": dict(self.answers),
            "faults": dict(self.faults),
            "in_flight": self.in_flight,
            "max_in_flight": self.max_in_flight,
            "max_writes_at_once": self.max_writes_at_once,
            "webhook_events": dict(self.webhook_events),
            "webhook_posts": len(self.deliveries),
        }
