"""Changes that enter and leave nothing: fields of somebody that are new, or what was known already.

Their receipts follow the call, as those of all others do, unless nothing has to be sent. Pure.
"""

from collections.abc import Callable

from schemas.audience_delivery import Outcome
from streams.export.rules.desired import was_exported
from streams.export.rules.due import mark_due
from streams.export.rules.jobs import Exports, JobView
from streams.export.rules.row import FIELDS_CHANGED, REPEATED, MembershipRow, PendingChange
from streams.export.rules.settlement import Receipt

HasRequest = Callable[[str], bool]
"""True when a request with this person to the list (by id) is under way."""


def rank_of_pending(row: MembershipRow, view: JobView, outcome: Outcome, *, fields: bool) -> int | None:
    """Return as what a change that enters and leaves nothing waits for its receipt; None: it has it at once.

    It waits while something may have to be sent, or was refused: only then it is known what became of it.
    """
    held = row.lists.get(view.job.list_id)
    if row.awaits and view.running and (fields or outcome is Outcome.UNCHANGED):
        return FIELDS_CHANGED if fields else REPEATED  # whether the job exports the person is known with that row
    if held is None or not view.running or not was_exported(view, held):
        return None
    if fields:
        return FIELDS_CHANGED
    return REPEATED if outcome is Outcome.UNCHANGED and (row.due or held.code) else None


def await_call(
    row: MembershipRow,
    change: PendingChange,
    exports: Exports,
    has_request: HasRequest,
    receipts: dict[tuple[str, int], Receipt],
) -> None:
    """Keep a change until its call; earlier ones of its kind are superseded, unless a request includes them."""
    mark_due(row)
    kept: list[PendingChange] = []
    for known in row.pending:
        earlier = known.list_id == change.list_id and known.rank >= FIELDS_CHANGED and known.position < change.position
        if not earlier or has_request(known.list_id):
            kept.append(known)
            continue
        for view in exports.of(known.audience):
            if view.job.list_id == known.list_id and not is_answered(row, view, known.position):
                receipts[view.id, known.position] = Receipt(
                    view.id, known.list_id, known.position, Outcome.SUPERSEDED, known.appended
                )
    row.pending = kept if change in kept else [*kept, change]


def is_answered(row: MembershipRow, view: JobView, position: int) -> bool:
    """Whether a job's change has its receipt, or none is due: transferred changes have no position here."""
    held = row.lists.get(view.job.list_id)
    part = held.delivered.get(view.id) if held is not None else None
    if position in row.answered.get(view.id, ()):
        return True
    return position < 0 or (part is not None and (position <= part.answered or position in part.also))
