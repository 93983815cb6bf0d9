"""All verbs of the simulator's own interface, for the same process and, by name, for others."""

import inspect
from collections.abc import Iterator, Mapping
from itertools import islice
from typing import Any

from connectors.devkit.simulator.controls.people import PersonVerbs
from connectors.devkit.simulator.controls.seeding import SeedingVerbs
from connectors.devkit.simulator.data.entities import Json
from connectors.devkit.simulator.data.request_log import AppliedWrite
from connectors.devkit.simulator.data.subscriber_store import REMOVED, fold
from connectors.devkit.simulator.data.transitions import STATE_OF_TEXT, STATE_TEXTS
from connectors.devkit.simulator.protocol.errors import MESSAGES
from connectors.devkit.simulator.protocol.faults import Fault
from connectors.devkit.simulator.protocol.oauth import grant
from connectors.devkit.simulator.state import SimulatorState
from connectors.devkit.simulator.subscribers.listings import subscriber_json


class OperatorVerbs:
    """Verbs for whoever runs the tests."""

    state: SimulatorState

    def inject(self, **fault: Any) -> int:
        """Put a `Fault` in force, see its fields; return its number."""
        return self.state.faults.inject(Fault(**fault))

    def clear_faults(self, number: int | None = None) -> None:
        """Take one fault or all out of force, the refusals of rows too when all."""
        self.state.faults.clear(number)
        if number is None:
            self.state.row_refusals.clear()

    def held_calls(self) -> list[dict[str, Any]]:
        """Return the writes that faults with `late` hold: number, endpoint and `list id/address` of each."""
        return self.state.late_calls.shown()

    def release_calls(self, number: int | None = None) -> list[str]:
        """Apply one held write, or all in the order of their arrival; return what each would have been answered."""
        return self.state.late_calls.release(number)

    def drop_calls(self, number: int | None = None) -> int:
        """Let one held write, or all, never be applied; return how many there were."""
        return self.state.late_calls.drop(number)

    def faults(self) -> list[dict[str, Any]]:
        """Return the faults in force."""
        return self.state.faults.shown()

    def refuse_rows(self, rows: Mapping[str, int]) -> None:
        """Make imports refuse addresses with a code each (1, 204 to 208, 220 ...), until cleared."""
        unknown = set(rows.values()) - MESSAGES.keys()
        if unknown:
            raise ValueError(f"no such codes: {sorted(unknown)}")
        self.state.row_refusals.update({fold(email): code for email, code in rows.items()})

    def change_settings(self, **switches: Any) -> None:
        """Set switches of `SimulatorSettings`, by name."""
        for name, value in switches.items():
            setattr(self.state.settings, name, value)

    def clock(self, *, advance: float = 0, freeze: bool | None = None, at: float | None = None) -> float:
        """Move, freeze (`at` seconds since 1970) or release the clock; return its time."""
        if freeze is True or at is not None:
            self.state.clock.freeze(at)
        elif freeze is False:
            self.state.clock.resume()
        self.state.clock.advance(advance)
        self.state.run_due()
        return self.state.clock.time()

    def answer_credential(self, credential: str, code: int | None) -> None:
        """Let an API key or token answer 60, 100, 102, 120, 121, 122 or 403 from now on; None ends it."""
        if code is None:
            self.state.keyring.override.pop(credential, None)
        else:
            self.state.keyring.override[credential] = code

    def grant_token(self, scopes: list[str] | None = None, expires_in: float | None = None) -> dict[str, Any]:
        """Make an access and a refresh token without the pages; all scopes when none are named."""
        return grant(self.state, self.state.account, self.state.settings.oauth_client_id, scopes, expires_in)

    def expire_tokens(self, *, refresh: bool = False) -> int:
        """Let every access token expire, and the refresh tokens when asked; return how many there are."""
        for token in self.state.keyring.tokens.values():
            token.expires_at = self.state.clock.time()
        if refresh:
            self.state.keyring.refresh_tokens.clear()
        return len(self.state.keyring.tokens)

    def revoke_tokens(self) -> int:
        """Revoke every token, as the account's owner can; refreshing fails too. Return how many there are."""
        for token in self.state.keyring.tokens.values():
            token.revoked = True
        self.state.keyring.refresh_tokens.clear()
        return len(self.state.keyring.tokens)

    def suppress(self, client_id: str, email: str, reason: str = "Reason Unavailable") -> None:
        """Put an address on a client's suppression list and nothing else."""
        self.state.clients[client_id].suppress(email, reason, self.state.clock.now())


class LogVerbs:
    """Verbs that read the request log and the subscribers: what the oracle of a test asks.

    Everything is returned as JSON values, so that it is the same in this process and from another one.
    """

    state: SimulatorState

    def summary(self) -> Json:
        """Return the counters: writes, calls per endpoint, answers, most calls in flight, webhooks."""
        return {
            **self.state.request_log.summary(),
            "queued_adds": self.state.queued,
            "held_calls": len(self.state.late_calls),
            "time": self.state.clock.time(),
        }

    def writes(self, after: int = 0, limit: int | None = None, list_id: str | None = None) -> list[Json]:
        """Return the applied writes with a sequence number above `after`, oldest first."""
        found = (
            entry for entry in self.state.request_log.writes if entry.seq > after and list_id in (None, entry.list_id)
        )
        return [self._write(entry) for entry in islice(found, limit)]

    def dropped(self) -> list[Json]:
        """Return the values that were ignored without an error."""
        return [entry._asdict() for entry in self.state.request_log.dropped]

    def automations(self, list_id: str | None = None) -> dict[str, Json]:
        """Return by `list id/address` how often subscription-based automations were queued and restarted."""
        return {
            f"{owner}/{email}": triggered._asdict()
            for (owner, email), triggered in self.state.request_log.automations.items()
            if list_id in (None, owner)
        }

    def shared_addresses(self) -> dict[str, int]:
        """Return each `list id/address` that was in more than one open write call at once, with the most."""
        return dict(self.state.request_log.shared_addresses)

    def deliveries(self, *, payloads: bool = False) -> list[Json]:
        """Return every attempt to deliver a webhook batch, with the body as text when asked."""
        rows = []
        for entry in self.state.request_log.deliveries:
            row = entry._asdict()
            row["payload"] = entry.payload.decode() if payloads and entry.payload is not None else None
            rows.append(row)
        return rows

    def list_state(self, list_id: str) -> Json:
        """Return the counts by state of a list."""
        target = self.state.lists[list_id]
        return dict(zip(STATE_TEXTS, target.subscribers.counts, strict=True))

    def subscriber(self, list_id: str, email: str) -> Json | None:
        """Return a subscriber as the API shows it, in whatever state, None when it never was on the list."""
        target = self.state.lists[list_id]
        row = target.subscribers.find(fold(email))
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
        for row, current in enumerate(target.subscribers.states):
            if current == wanted or (wanted is None and current != REMOVED):
                yield subscriber_json(self.state, target, row, tracking=True, sms=True)

    def forget(self) -> None:
        """Empty the logs and counters, as if nothing had happened before."""
        log = self.state.request_log
        log.writes.clear()
        log.dropped.clear()
        log.deliveries.clear()
        for counter in (log.calls, log.answers, log.faults, log.webhook_events):
            counter.clear()
        log.automations.clear()
        log.shared_addresses.clear()
        log.write_count = log.resurrections = log.max_in_flight = log.max_writes_at_once = 0

    def _write(self, entry: AppliedWrite) -> dict[str, Any]:
        row = entry._asdict()
        target = self.state.lists.get(entry.list_id)
        row["before"] = None if entry.before is None else entry.before.text
        row["after"] = entry.after.text
        back = entry.resurrected_from
        row["resurrected_from"] = None if back is None else back.text
        row["values"] = target.custom_fields(entry.values, keys="key") if target else []
        return row


class Controls(SeedingVerbs, PersonVerbs, OperatorVerbs, LogVerbs):
    """Synchronous: an act is done when the call returns."""

    def do(self, verb: str, arguments: Mapping[str, Any]) -> Any:
        """Carry out a verb by its name. Raises LookupError for an unknown verb or thing, TypeError for arguments."""
        if verb not in VERBS:
            raise LookupError(f"no verb {verb!r}; there are: {', '.join(sorted(VERBS))}")
        return getattr(self, verb)(**arguments)


_INTERNAL = {"do", "client", "list", "each_subscriber"}

VERBS = frozenset(
    name
    for name, member in inspect.getmembers(Controls, inspect.isfunction)
    if not name.startswith("_") and name not in _INTERNAL
)
"""What `do` and `POST /simulator/do/{verb}` take."""
