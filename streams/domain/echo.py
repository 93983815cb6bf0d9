"""What a webhook tells about a subscriber of ours: our own write coming back, somebody who left, or a change by hand.

Every write of ours comes back as a Subscribe or Update event; the webhook receiver marks those that it recognises by
the receipts. What it does not know is judged here by the one field that is ours: the audiences. When the list holds
others than were written, the row is sent again, but once for the same content: a list that does not keep an option
would otherwise be written for ever, each write telling us so anew. Who left is noted, and who came back by themselves
is exported again. What people change in other fields is theirs to change.
"""

import enum
from collections.abc import Callable, Iterable

from schemas.cm_activity import CmActivity
from streams.domain.rows import Held, Row
from streams.domain.values import option_text


class Drift(enum.Enum):
    """What a webhook event says about a row."""

    NONE = "none"
    """Our own write, or about nobody of ours."""
    STATE = "state"
    """The person left: only the row changes."""
    CHANGED = "changed"
    """The list holds something else than was wanted, or the person came back: the row is due."""


_CODES = {"unsubscribe": 206, "unsubscribed": 206, "bounce": 207, "bounced": 207, "delete": 205, "deleted": 205}


def seen_at_the_list(row: Row, activity: CmActivity, fields: Iterable[str], name_of: Callable[[str], str]) -> Drift:
    """Take a webhook event into the row, in place, and say what it meant. `fields`: names of the audiences fields."""
    held = row.lists.get(activity.list_id or "")
    if held is None or held.address is None or activity.echo:
        return Drift.NONE
    if activity.event == "deactivate":
        code = _CODES.get(activity.status or "", 206)
        if held.code == code:
            return Drift.NONE
        held.code, held.asked = code, False
        return Drift.STATE
    if activity.event not in ("subscribe", "update"):
        return Drift.NONE
    active = activity.event == "subscribe" or activity.status in (None, "", "active")
    came_back = held.code > 0 and active
    if not came_back and (not active or is_echo(held, activity, fields, name_of) or held.mended == held.digest):
        return Drift.NONE
    held.code = 0
    held.mended = held.digest
    for said in held.said.values():
        said.digest = ""
    row.due = True
    return Drift.CHANGED


def is_echo(held: Held, activity: CmActivity, fields: Iterable[str], name_of: Callable[[str], str]) -> bool:
    """Say whether the event tells the audiences that were written last."""
    ours = {_plain(name) for name in fields}
    told = {it.value for it in activity.custom_fields if _plain(it.key) in ours}
    return told == {option_text(name_of(audience)) for audience in held.audiences}


def _plain(name: str) -> str:
    return name.strip().strip("[]").replace(" ", "").casefold()
