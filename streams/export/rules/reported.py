"""What a webhook changes in the row. Pure.

Every write of ours comes back as a Subscribe or Update webhook; the receiver marks those that it recognises by the
receipts. The others are compared by the one field that is ours: the audiences. When the list holds others than were
written, the row is sent again, but once for the same content: a list that does not keep an option would otherwise be
written for ever, each write causing the next. Who left is recorded, and who came back by themselves is exported again.
What people change in other fields is theirs to change.
"""

import enum
from collections.abc import Callable, Iterable

from schemas.cm_activity import CmActivity
from streams.export.rules.codes import UNSUBSCRIBED, code_of_state
from streams.export.rules.due import mark_due
from streams.export.rules.row import NEVER, Held, MembershipRow
from streams.export.rules.settlement import CLOCKS_MS
from streams.export.rules.values import field_name


class Drift(enum.Enum):
    """What a webhook event means for a row."""

    NONE = "none"
    """Our own write, or about a person who was never written."""
    STATE = "state"
    """The person left: only the row changes."""
    CHANGED = "changed"
    """The list holds something else than was desired, or the person came back: the row is due."""


def record_activity(
    row: MembershipRow, activity: CmActivity, fields: Iterable[str], option_of: Callable[[str], str]
) -> Drift:
    """Apply a webhook event to the row, in place, and return what it meant. `fields`: names of the audiences fields."""
    held_list = activity.list_id or ""
    held = row.lists.get(held_list)
    if held is None or activity.echo:
        return Drift.NONE
    left_at = int(activity.at.timestamp() * 1000)
    if held.last_removed and left_at <= held.last_removed + CLOCKS_MS:
        return Drift.NONE  # our own removal, or older
    if held.address is None and not (held.removed and activity.event == "deactivate"):
        return Drift.NONE
    if activity.event == "deactivate":
        code = code_of_state(activity.status or "") or UNSUBSCRIBED
        known = held.code == code and row.own_acts.get(held_list, NEVER) >= left_at
        row.own_acts[held_list] = max(left_at, row.own_acts.get(held_list, NEVER))
        if held.code == code:
            return Drift.NONE if known else Drift.STATE
        held.code, held.removed = code, 0
        return Drift.STATE
    if activity.event not in ("subscribe", "update"):
        return Drift.NONE
    active = activity.event == "subscribe" or activity.status in (None, "", "active")
    came_back = held.code > 0 and active
    repaired = held.repaired_digest == held.digest
    if not came_back and (not active or is_echo(held, activity, fields, option_of) or repaired):
        return Drift.NONE
    held.code = 0
    held.repaired_digest = held.digest
    for part in held.delivered.values():
        part.digest = ""
    mark_due(row)
    return Drift.CHANGED


def is_echo(held: Held, activity: CmActivity, fields: Iterable[str], option_of: Callable[[str], str]) -> bool:
    """Whether the event holds exactly the audiences that were written last."""
    ours = {field_name(name) for name in fields}
    reported = {entry.value for entry in activity.custom_fields if field_name(entry.key) in ours}
    return reported == {option_of(audience) for audience in held.audiences}
