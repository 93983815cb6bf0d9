"""Verbs for what people do: unsubscribe by a link, edit their profile, confirm, bounce, complain."""

from collections.abc import Mapping
from typing import Any

from connectors.devkit.simulator.controls.mail import MailVerbs
from connectors.devkit.simulator.data.entities import SubscriberList
from connectors.devkit.simulator.data.fields import FieldEntry, apply_entries
from connectors.devkit.simulator.data.subscriber_store import fold
from connectors.devkit.simulator.data.transitions import STATE_OF_TEXT, SimulatedState
from connectors.devkit.simulator.data.value_rules import ValueRules
from connectors.devkit.simulator.subscribers.submission import UNCHANGED, Submission
from connectors.devkit.simulator.subscribers.subscriptions import (
    WriteOptions,
    confirm,
    emit_event,
    opt_out,
    put_on_list,
    remove_from_list,
)

_PERSON = "person"
_KEEP_LONG = ValueRules(limit="keep")


class PersonVerbs(MailVerbs):
    """Every act is recorded with `who` "person" and sent to webhooks. Unknown addresses raise KeyError.

    With `mail_id` (of a campaign or a journey mail) the act shows in that mail's report, too.
    """

    def unsubscribe(self, list_id: str, email: str, mail_id: str | None = None) -> bool:
        """Click the unsubscribe link; False when the person was not on the list."""
        target, row = self._existing_row(list_id, email)
        if mail_id is not None:
            self.record(mail_id, "unsubscribes", email)
        return opt_out(self.state, target, row, _PERSON, "link")

    def sign_up(self, list_id: str, email: str) -> bool:
        """Subscribe by a form, whatever the state was; False when the person is Active already."""
        target = self.state.lists[list_id]
        if target.find(email, SimulatedState.ACTIVE) is not None:
            return False
        submission = Submission(email, None, (), None, UNCHANGED, UNCHANGED)
        put_on_list(self.state, target, submission, WriteOptions(_PERSON, "form", resubscribe=True))
        return True

    def delete_subscriber(self, list_id: str, email: str) -> bool:
        """Delete somebody in the web interface."""
        target, row = self._existing_row(list_id, email)
        return remove_from_list(self.state, target, row, SimulatedState.DELETED, _PERSON, "delete")

    def delete_permanently(self, list_id: str, email: str) -> None:
        """Delete somebody for good: reads answer 203 afterwards, and an import adds the address as a new one."""
        target, row = self._existing_row(list_id, email)
        remove_from_list(self.state, target, row, SimulatedState.DELETED, _PERSON, "delete permanently")
        target.subscribers.remove(row)

    def hard_bounce(self, list_id: str, email: str, mail_id: str | None = None) -> bool:
        """Let the address bounce for good."""
        target, row = self._existing_row(list_id, email)
        if mail_id is not None:
            self.record(mail_id, "bounces", email)
        done = remove_from_list(self.state, target, row, SimulatedState.BOUNCED, _PERSON, "bounce")
        if done and self.state.settings.hard_bounce_suppresses and target.honours_suppression:
            target.client.suppress(target.subscribers.email(row), "Bounced", self.state.clock.now())
        return done

    def complain(self, list_id: str, email: str, mail_id: str | None = None) -> bool:
        """Mark a mail as spam."""
        target, row = self._existing_row(list_id, email)
        if mail_id is not None:
            self.record(mail_id, "spam", email)
        to = STATE_OF_TEXT[self.state.settings.spam_complaint_state]
        done = remove_from_list(self.state, target, row, to, _PERSON, "complain")
        if done and target.honours_suppression:
            target.client.suppress(target.subscribers.email(row), "Unsubscribed", self.state.clock.now())
        return done

    def confirm(self, list_id: str, email: str) -> bool:
        """Click the link of a confirmation mail."""
        target, row = self._existing_row(list_id, email)
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
        target, row = self._existing_row(list_id, email)
        subscribers, old_email = target.subscribers, target.subscribers.email(row)
        if new_email is not None and new_email != old_email:
            if fold(new_email) != fold(old_email) and subscribers.find(fold(new_email)) is not None:
                raise ValueError(f"{new_email} is on the list already")
            subscribers.set_email(row, new_email)
        if name is not None:
            subscribers.set_name(row, name)
        entries = [
            FieldEntry(key, str(text), not str(text))
            for key, value in (fields or {}).items()
            for text in (value if isinstance(value, list) else [value])
        ]
        if entries:
            subscribers.set_values(
                row, apply_entries(target.field_lookup, subscribers.values(row), entries, _refuse, _KEEP_LONG)
            )
        state = subscribers.state(row)
        self.state.request_log.record_write(
            self.state.clock.time(),
            _PERSON,
            "edit",
            list_id,
            subscribers.email(row),
            state,
            state,
            subscribers.values(row),
            old_email if new_email else None,
        )
        emit_event(self.state, target, "Update", row, self.state.clock.now(), old_email=old_email)

    def churn(self, list_id: str, count: int = 1, state: str = "Active") -> list[str]:
        """Let the first `count` subscribers of a state leave: pages of that state shift by as many rows."""
        target = self.state.lists[list_id]
        rows = target.subscribers.ordered(STATE_OF_TEXT[state], "date").slice(0, count)
        to = SimulatedState.UNSUBSCRIBED if state in ("Active", "Unconfirmed") else SimulatedState.DELETED
        emails = [target.subscribers.email(row) for row in rows]
        for row in rows:
            remove_from_list(self.state, target, row, to, _PERSON, "churn")
        return emails

    def _existing_row(self, list_id: str, email: str) -> tuple[SubscriberList, int]:
        target = self.state.lists[list_id]
        row = target.subscribers.find(fold(email))
        if row is None:
            raise KeyError(f"{email} was never on this list")
        return target, row


def _refuse(key: str, value: str, reason: str) -> None:
    raise ValueError(f"{key} = {value!r}: {reason}")
