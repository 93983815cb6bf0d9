"""Making accounts, clients, lists and subscribers without calls of the API: nothing is sent to webhooks or recorded."""

import builtins
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from connectors.devkit.simulator.data.entities import ALL_CLIENT_LISTS, Json, SimulatedClient, SubscriberList
from connectors.devkit.simulator.data.fields import FieldEntry, apply_entries
from connectors.devkit.simulator.data.population import Population
from connectors.devkit.simulator.data.subscriber_store import SubscriberStore, fold
from connectors.devkit.simulator.data.transitions import STATE_OF_TEXT
from connectors.devkit.simulator.state import SimulatorState
from connectors.devkit.simulator.subscribers.submission import CONSENTS

_HISTORY_SECONDS = 400 * 86_400  # more than a year: every zone with daylight saving changes twice in it


class SeedingVerbs:
    """Verbs that put data in place."""

    def __init__(self, state: SimulatorState) -> None:
        self.state = state

    def add_account(
        self, name: str, api_key: str, zone_label: str = "(GMT) Coordinated Universal Time", agency: bool = True
    ) -> str:
        """Add an account of its own; return its key."""
        return self.state.add_account(name, api_key, zone_label, agency).api_key

    def add_client(
        self,
        name: str,
        zone_label: str = "(GMT) Coordinated Universal Time",
        country: str = "Belgium",
        api_key: str | None = None,
        account_key: str | None = None,
    ) -> str:
        """Add a client to the first account, or to the one of `account_key`; return its id."""
        account = self.state.keyring.accounts[account_key] if account_key else None
        client = self.state.add_client(name, zone_label, country, api_key, account)
        client.people.append(
            {"EmailAddress": f"contact@{client.client_id[:8]}.example", "Name": "Ada", "AccessLevel": 63,
             "Status": "Active"}
        )  # fmt: skip
        client.primary_contact = str(client.people[0]["EmailAddress"])
        return client.client_id

    def add_list(
        self,
        client_id: str,
        title: str,
        *,
        unsubscribe_setting: str = ALL_CLIENT_LISTS,
        confirmed_opt_in: bool = False,
    ) -> str:
        """Add an empty list; return its id."""
        made = self.state.add_list(self.client(client_id), title)
        made.unsubscribe_setting, made.confirmed_opt_in = unsubscribe_setting, confirmed_opt_in
        return made.list_id

    def rename_list(self, list_id: str, title: str) -> None:
        """Give a list another title."""
        self.list(list_id).title = title

    def delete_list(self, list_id: str) -> None:
        """Delete a list, as a person would in the web interface."""
        self.state.remove_list(self.list(list_id))

    def delete_client(self, client_id: str) -> None:
        """Delete a client with its lists."""
        client = self.client(client_id)
        for target in [*client.lists.values()]:
            self.state.remove_list(target)
        client.deleted = True

    def add_field(self, list_id: str, name: str, data_type: str = "Text", options: Sequence[str] | None = None) -> str:
        """Add a custom field; return its key."""
        return self.list(list_id).add_field(name, data_type, [*(options or ())]).key

    def rename_field(self, list_id: str, key: str, name: str) -> str:
        """Rename a custom field; return its new key."""
        target = self.list(list_id)
        target.field_lookup[_bare(key)].rename(name)
        target.fields_changed()
        return target.field_lookup[_bare(name)].key

    def delete_field(self, list_id: str, key: str) -> None:
        """Delete a custom field."""
        target = self.list(list_id)
        del target.fields[target.field_lookup[_bare(key)].number]
        target.fields_changed()

    def set_options(self, list_id: str, key: str, options: Sequence[str]) -> None:
        """Replace the options of a select field; values that are no options any more are removed."""
        target = self.list(list_id)
        target.set_options(target.field_lookup[_bare(key)], [*options])

    def seed_subscribers(
        self,
        list_id: str,
        count: int,
        *,
        since: str | None = None,
        until: str | None = None,
        first_person: int = 0,
        all_active: bool = False,
        seed: int | None = None,
    ) -> int:
        """Fill an empty list with computed people, about 45 bytes each; return how many are Active.

        `since` and `until` bound the joining dates (ISO, with offset; default: the 400 days before today). Lists
        with overlapping person numbers have these people in common. Add the custom fields before: people have values
        in the fields that exist now.
        """
        target = self.list(list_id)
        if len(target.subscribers):
            raise ValueError("seed_subscribers needs an empty list")
        end = self.state.history_end
        people = Population(
            self.state.settings.seed if seed is None else seed,
            count,
            _instant(since, end - _HISTORY_SECONDS),
            _instant(until, end),
            tuple(target.fields.values()),
            first_person=first_person,
            all_active=all_active,
        )
        target.subscribers = SubscriberStore(people)
        return target.subscribers.counts[0]

    def add_subscriber(
        self,
        list_id: str,
        email: str,
        name: str = "",
        *,
        state: str = "Active",
        fields: dict[str, Any] | None = None,
        joined: str | None = None,
        changed: str | None = None,
        consent: str = "Unchanged",
        mobile: str | None = None,
    ) -> None:
        """Put one subscriber on a list. `fields`: key or name to text or list of texts; dates ISO with offset."""
        target = self.list(list_id)
        if target.subscribers.find(fold(email)) is not None:
            raise ValueError(f"{email} is on the list already")
        entries = [
            FieldEntry(key, str(text), False)
            for key, value in (fields or {}).items()
            for text in (value if isinstance(value, (tuple, builtins.list)) else [value])
        ]
        values = apply_entries(target.field_lookup, (), entries, _refuse)
        at = _instant(joined, self.state.clock.now())
        row = target.subscribers.add(email, fold(email), name, values, STATE_OF_TEXT[state], at)
        target.subscribers.move(row, STATE_OF_TEXT[state], _instant(changed, at))
        target.subscribers.consents[row] = CONSENTS[consent.lower()]
        if mobile:
            target.subscribers.set_phone(row, mobile, "")

    def client(self, client_id: str) -> SimulatedClient:
        """Return a client. Raises KeyError."""
        return self.state.clients[client_id]

    def list(self, list_id: str) -> SubscriberList:
        """Return a list. Raises KeyError."""
        return self.state.lists[list_id]

    def find_lists(self) -> Sequence[Json]:
        """Return every list with its client: ids, titles and counts by state."""
        return [
            {
                "ClientID": target.client.client_id,
                "ListID": target.list_id,
                "Title": target.title,
                "Counts": dict(zip(STATE_OF_TEXT, target.subscribers.counts, strict=True)),
            }
            for target in self.state.lists.values()
        ]


def _instant(text: str | None, default: int) -> int:
    if text is None:
        return default
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        raise ValueError(f"{text!r} needs an offset, e.g. 2026-03-01T12:00:00+00:00")
    return int(moment.timestamp())


def _bare(key: str) -> str:
    return key.strip("[]").replace(" ", "").lower()


def _refuse(key: str, value: str, reason: str) -> None:
    raise ValueError(f"{key} = {value!r}: {reason}")
