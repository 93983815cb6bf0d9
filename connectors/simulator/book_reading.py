"""Verbs that read the books: what the oracle of a test asks."""

from collections.abc import Iterator
from itertools import islice
from typing import Any

from connectors.simulator.books import Write
from connectors.simulator.entities import Json
from connectors.simulator.roster import fold
from connectors.simulator.state import SimulatorState
from connectors.simulator.subscriber_listings import subscriber_json
from connectors.simulator.transitions import STATE_OF_TEXT, STATE_TEXTS


class BookReading:
    """Everything is returned as JSON values, so that it reads the same in this process and from another one."""

    state: SimulatorState

    def summary(self) -> Json:
        """Return the counters: writes, calls per endpoint, answers, most calls in flight, webhooks."""
        return {**self.state.books.summary(), "queued_adds": self.state.queued, "time": self.state.clock.time()}

    def writes(self, after: int = 0, limit: int | None = None, list_id: str | None = None) -> list[Json]:
        """Return the applied writes with a sequence number above `after`, oldest first."""
        found = (one for one in self.state.books.writes if one.seq > after and list_id in (None, one.list_id))
        return [self._write(one) for one in islice(found, limit)]

    def dropped(self) -> list[Json]:
        """Return the values that were ignored without an error."""
        return [one._asdict() for one in self.state.books.dropped]

    def automations(self, list_id: str | None = None) -> dict[str, Json]:
        """Return by `list id/address` how often subscription-based automations were queued and restarted."""
        return {
            f"{owner}/{email}": triggered._asdict()
            for (owner, email), triggered in self.state.books.automations.items()
            if list_id in (None, owner)
        }

    def shared_addresses(self) -> dict[str, int]:
        """Return each `list id/address` that was in more than one open write call at once, with the most."""
        return dict(self.state.books.shared_addresses)

    def deliveries(self, *, payloads: bool = False) -> list[Json]:
        """Return every attempt to deliver a webhook batch, with the body as text when asked."""
        rows = []
        for one in self.state.books.deliveries:
            row = one._asdict()
            row["payload"] = one.payload.decode() if payloads and one.payload is not None else None
            rows.append(row)
        return rows

    def list_state(self, list_id: str) -> Json:
        """Return the counts by state of a list."""
        target = self.state.lists[list_id]
        return dict(zip(STATE_TEXTS, target.roster.counts, strict=True))

    def subscriber(self, list_id: str, email: str) -> Json | None:
        """Return a subscriber as the API shows it, in whatever state, None when it never was on the list."""
        target = self.state.lists[list_id]
        row = target.roster.find(fold(email))
        return None if row is None else subscriber_json(self.state, target, row, tracking=True, sms=True)

    def subscribers(
        self, list_id: str, state: str | None = None, start: int = 0, limit: int | None = None
    ) -> list[Json]:
        """Return the subscribers of a list in the order of joining."""
        return [*islice(self.each_subscriber(list_id, state), start, None if limit is None else start + limit)]

    def each_subscriber(self, list_id: str, state: str | None = None) -> Iterator[Json]:
        """Yield the subscribers of a list, of one state or all."""
        target = self.state.lists[list_id]
        wanted = None if state is None else STATE_OF_TEXT[state]
        for row, current in enumerate(target.roster.states):
            if wanted is None or current == wanted:
                yield subscriber_json(self.state, target, row, tracking=True, sms=True)

    def forget(self) -> None:
        """Empty the logs and counters, as if nothing had happened before."""
        books = self.state.books
        books.writes.clear()
        books.dropped.clear()
        books.deliveries.clear()
        for counter in (books.calls, books.answers, books.faults, books.webhook_events):
            counter.clear()
        books.automations.clear()
        books.shared_addresses.clear()
        books.write_count = books.resurrections = books.max_in_flight = books.max_writes_at_once = 0

    def _write(self, one: Write) -> dict[str, Any]:
        row = one._asdict()
        target = self.state.lists.get(one.list_id)
        row["before"] = None if one.before is None else one.before.text
        row["after"] = one.after.text
        back = one.resurrected_from
        row["resurrected_from"] = None if back is None else back.text
        row["values"] = target.custom_fields(one.values, keys="key") if target else []
        return row
