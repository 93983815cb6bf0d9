"""The five states of a subscriber on a list, and what each act does to them. No side effects here."""

from enum import IntEnum
from typing import Literal, NamedTuple

WebhookType = Literal["Subscribe", "Update", "Deactivate"]


class SimulatedState(IntEnum):
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
STATE_OF_TEXT = {text: SimulatedState(number) for number, text in enumerate(STATE_TEXTS)}

REFUSALS = {
    SimulatedState.UNCONFIRMED: 208,
    SimulatedState.UNSUBSCRIBED: 206,
    SimulatedState.BOUNCED: 207,
    SimulatedState.DELETED: 205,
}
IN_SUPPRESSION_LIST = 204


class SubmissionOutcome(NamedTuple):
    """What an add or a row of an import does: a new state and an event, or a refusal with its code."""

    state: SimulatedState | None
    webhook: WebhookType | None
    refusal: int | None = None


_CREATED = SubmissionOutcome(SimulatedState.ACTIVE, "Subscribe")
_TO_CONFIRM = SubmissionOutcome(SimulatedState.UNCONFIRMED, None)
_EDITED = SubmissionOutcome(SimulatedState.ACTIVE, "Update")
_SUPPRESSED = SubmissionOutcome(None, None, IN_SUPPRESSION_LIST)
_REFUSED = {state: SubmissionOutcome(None, None, code) for state, code in REFUSALS.items()}


def outcome_of_submission(
    current: SimulatedState | None, *, suppressed: bool, by_suppression: bool, resubscribe: bool, confirmed_opt_in: bool
) -> SubmissionOutcome:
    """Return what adding or importing an address does.

    `suppressed` counts only where the list honours the suppression list. `by_suppression`: it was the
    suppression list, not an act on this list, that removed the subscriber: the refusal is then 204 and not 206.
    """
    if not resubscribe and suppressed and (current is None or current is SimulatedState.ACTIVE or by_suppression):
        return _SUPPRESSED
    if current is SimulatedState.ACTIVE:
        return _EDITED
    if current is not None and not resubscribe:
        return _REFUSED[current]
    return _TO_CONFIRM if confirmed_opt_in else _CREATED


def outcome_of_removal(current: SimulatedState, to: SimulatedState) -> tuple[SimulatedState, WebhookType | None] | None:
    """Return state and event after unsubscribing, deleting, bouncing or complaining; None when nothing changes.

    Only an Active subscriber's leaving is announced by a webhook.
    """
    if (
        current is to
        or current is SimulatedState.DELETED
        or (to is not SimulatedState.DELETED and current > SimulatedState.UNCONFIRMED)
    ):
        return None
    return to, "Deactivate" if current is SimulatedState.ACTIVE else None
