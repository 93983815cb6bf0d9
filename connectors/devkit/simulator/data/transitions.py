"""The five states of a subscriber on a list, and what each act does to them. No side effects here."""

from enum import IntEnum
from typing import Literal, NamedTuple

WebhookType = Literal["Subscribe", "Update", "Deactivate"]


class State(IntEnum):
    """A subscriber's state on one list; the names are Campaign Monitor's."""

    ACTIVE = 0
    UNCONFIRMED = 1
    UNSUBSCRIBED = 2
    BOUNCED = 3
    DELETED = 4

    @property
    def text(self) -> str:
        """The state as the API writes it."""
        return STATE_TEXTS[self]


STATE_TEXTS = ("Active", "Unconfirmed", "Unsubscribed", "Bounced", "Deleted")
STATE_OF_TEXT = {text: State(number) for number, text in enumerate(STATE_TEXTS)}

REFUSALS = {State.UNCONFIRMED: 208, State.UNSUBSCRIBED: 206, State.BOUNCED: 207, State.DELETED: 205}
IN_SUPPRESSION_LIST = 204


class Outcome(NamedTuple):
    """What an add or a row of an import does: a new state and an event, or a refusal with its code."""

    state: State | None
    webhook: WebhookType | None
    refusal: int | None = None


_CREATED = Outcome(State.ACTIVE, "Subscribe")
_TO_CONFIRM = Outcome(State.UNCONFIRMED, None)
_EDITED = Outcome(State.ACTIVE, "Update")
_SUPPRESSED = Outcome(None, None, IN_SUPPRESSION_LIST)
_REFUSED = {state: Outcome(None, None, code) for state, code in REFUSALS.items()}


def submit(
    current: State | None, *, suppressed: bool, by_suppression: bool, resubscribe: bool, confirmed_opt_in: bool
) -> Outcome:
    """Decide what adding or importing an address does.

    `suppressed` counts only where the list honours the suppression list. `by_suppression` says that it was the
    suppression list, not an act on this list, that took the subscriber off: the refusal is then 204 and not 206.
    """
    if not resubscribe and suppressed and (current is None or current is State.ACTIVE or by_suppression):
        return _SUPPRESSED
    if current is State.ACTIVE:
        return _EDITED
    if current is not None and not resubscribe:
        return _REFUSED[current]
    return _TO_CONFIRM if confirmed_opt_in else _CREATED


def leave(current: State, to: State) -> tuple[State, WebhookType | None] | None:
    """Decide what unsubscribing, deleting, bouncing or complaining does; None when there is nobody to take off.

    Only an Active subscriber's leaving is announced by a webhook.
    """
    if current is to or current is State.DELETED or (to is not State.DELETED and current > State.UNCONFIRMED):
        return None
    return to, "Deactivate" if current is State.ACTIVE else None
