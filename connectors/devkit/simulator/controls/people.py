"""Verbs for what people do: leave by a link, edit their profile, confirm, bounce, complain."""

from collections.abc import Mapping
from typing import Any

from connectors.devkit.simulator.controls.mail import Sending
from connectors.devkit.simulator.data.entities import SubscriberList
from connectors.devkit.simulator.data.fields import Entry, written
from connectors.devkit.simulator.data.roster import fold
from connectors.devkit.simulator.data.transitions import STATE_OF_TEXT, State
from connectors.devkit.simulator.subscribers.subscriptions import announce, confirm, opt_out, take_off

_PERSON = "person"


class PeopleActs(Sending):
    """Every act is booked with `who` "person" and announced to webhooks. Unknown addresses raise KeyError.

    With `mail_id` (of a campaign or a journey mail) the act shows in that mail's report, too.
    """

    def unsubscribe(self, list_id: str, email: str, mail_id: str | None = None) -> bool:
        """Click the unsubscribe link; False when the person was not on the list."""
        target, row = self._there(list_id, email)
        if mail_id is not None:
            self.record(mail_id, "unsubscribes", email)
        return opt_out(self.state, target, row, _PERSON, "link")

    def delete_subscriber(self, list_id: str, email: str) -> bool:
        """Delete somebody in the web interface."""
        target, row = self._there(list_id, email)
        return take_off(self.state, target, row, State.DELETED, _PERSON, "delete")

    def hard_bounce(self, list_id: str, email: str, mail_id: str | None = None) -> bool:
        """Let the address bounce for good."""
        target, row = self._there(list_id, email)
        if mail_id is not None:
            self.record(mail_id, "bounces", email)
        done = take_off(self.state, target, row, State.BOUNCED, _PERSON, "bounce")
        if done and self.state.settings.hard_bounce_suppresses and target.honours_suppression:
            target.client.suppress(target.roster.email(row), "Bounced", self.state.clock.now())
        return done

    def complain(self, list_id: str, email: str, mail_id: str | None = None) -> bool:
        """Mark a mail as spam."""
        target, row = self._there(list_id, email)
        if mail_id is not None:
            self.record(mail_id, "spam", email)
        to = STATE_OF_TEXT[self.state.settings.spam_complaint_state]
        done = take_off(self.state, target, row, to, _PERSON, "complain")
        if done and target.honours_suppression:
            target.client.suppress(target.roster.email(row), "Unsubscribed", self.state.clock.now())
        return done

    def confirm(self, list_id: str, email: str) -> bool:
        """Click the link of a confirmation mail."""
        target, row = self._there(list_id, email)
        return confirm(self.state, target, row)

    def edit_profile(
        self,
        list_id: str,
        email: str,
        *,
        new_email: str | None = None,
        name: str | None = None,
        fields: Mapping[str, Any] | None = None,
    ) -> None:
        """Change one's own data in the preference center; `fields`: key or name to text or list of texts."""
        target, row = self._there(list_id, email)
        roster, old_email = target.roster, target.roster.email(row)
        if new_email is not None and new_email != old_email:
            if fold(new_email) != fold(old_email) and roster.find(fold(new_email)) is not None:
                raise ValueError(f"{new_email} is on the list already")
            roster.set_email(row, new_email)
        if name is not None:
            roster.set_name(row, name)
        entries = [
            Entry(key, str(text), not str(text))
            for key, value in (fields or {}).items()
            for text in (value if isinstance(value, list) else [value])
        ]
        if entries:
            roster.set_values(row, written(target.field_lookup, roster.values(row), entries, _refuse, "keep"))
        state = roster.state(row)
        self.state.books.wrote(
            self.state.clock.time(),
            _PERSON,
            "edit",
            list_id,
            roster.email(row),
            state,
            state,
            roster.values(row),
            old_email if new_email else None,
        )
        announce(self.state, target, "Update", row, self.state.clock.now(), old_email=old_email)

    def churn(self, list_id: str, count: int = 1, state: str = "Active") -> list[str]:
        """Let the first `count` subscribers of a state leave: pages of that state shift by as many rows."""
        target = self.state.lists[list_id]
        rows = target.roster.ordered(STATE_OF_TEXT[state], "date").slice(0, count)
        to = State.UNSUBSCRIBED if state in ("Active", "Unconfirmed") else State.DELETED
        emails = [target.roster.email(row) for row in rows]
        for row in rows:
            take_off(self.state, target, row, to, _PERSON, "churn")
        return emails

    def _there(self, list_id: str, email: str) -> tuple[SubscriberList, int]:
        target = self.state.lists[list_id]
        row = target.roster.find(fold(email))
        if row is None:
            raise KeyError(f"{email} was never on this list")
        return target, row


def _refuse(key: str, value: str, reason: str) -> None:
    raise ValueError(f"{key} = {value!r}: {reason}")
