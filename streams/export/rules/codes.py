"""Campaign Monitor's codes about people: which state each is of, which refusal it gives, and what a receipt says. Pure.

The one table: states as a read subscriber has them, and the words of webhooks for the same.
"""

from schemas.audience_delivery import Refusal

ACTIVE, NOT_ON_LIST, SUPPRESSED, DELETED, UNSUBSCRIBED, BOUNCED, UNCONFIRMED = 0, 203, 204, 205, 206, 207, 208

INACTIVE = frozenset({SUPPRESSED, DELETED, UNSUBSCRIBED, BOUNCED, UNCONFIRMED})
"""With these an import refuses who may not be made active."""

_CODES = {
    "active": ACTIVE,
    "delete": DELETED,
    "deleted": DELETED,
    "unsubscribe": UNSUBSCRIBED,
    "unsubscribed": UNSUBSCRIBED,
    "bounce": BOUNCED,
    "bounced": BOUNCED,
    "unconfirmed": UNCONFIRMED,
}

REFUSALS = {
    NOT_ON_LIST: Refusal.NOT_A_SUBSCRIBER,
    SUPPRESSED: Refusal.SUPPRESSED,
    DELETED: Refusal.DELETED,
    UNSUBSCRIBED: Refusal.UNSUBSCRIBED,
    BOUNCED: Refusal.BOUNCED,
    UNCONFIRMED: Refusal.UNCONFIRMED,
}
"""Campaign Monitor's code -> why it refuses the person; any other code: the address or the values are invalid."""

_SENTENCES = {
    Refusal.NOT_A_SUBSCRIBER: "They are not on the list, and the job only updates: add them at Campaign Monitor, or "
    "turn Update only off",
    Refusal.SUPPRESSED: "They are on the client's suppression list: only a new entry with Resubscribe users on makes "
    "them active again; where the account put the address there, remove it there",
    Refusal.DELETED: "They were deleted from the list: only a new entry with Resubscribe users on adds them again",
    Refusal.UNSUBSCRIBED: "They unsubscribed: only a new entry with Resubscribe users on makes them active again",
    Refusal.BOUNCED: "Mails to the address bounced: correct the address upstream, or turn Resubscribe users on before "
    "a new entry",
    Refusal.UNCONFIRMED: "They have not confirmed the subscription yet: they have to follow the link of the mail",
    Refusal.INVALID: "It is no valid e-mail address: correct it upstream",
    Refusal.NO_ADDRESS: "The field that the job reads the address from is empty: send it upstream, or choose another "
    "field",
    Refusal.ADDRESS_IN_USE: "The address in the job's e-mail field is another person's on this list: they get it when "
    "that person does not use it any more; correct the field upstream if it is wrong",
}


def code_of_state(state: str) -> int:
    """Return the code of a state, as a subscriber or a webhook has it; one that is not known counts as unsubscribed."""
    return _CODES.get(state.casefold(), UNSUBSCRIBED)


def refused_sentence(reason: Refusal, code: int | None) -> str:
    """Return what a person has to know, or to do, about a refusal."""
    if reason is Refusal.INVALID and code is not None:
        return f"Campaign Monitor does not accept the address or a value (code {code}): correct it upstream"
    return _SENTENCES[reason]
