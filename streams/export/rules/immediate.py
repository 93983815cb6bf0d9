"""Receipts that need no call, since the event itself determines them.

An event that came too late is superseded, one
that repeats what is known is unchanged, and a change that it replaces is superseded, unless a request includes that
change right now: then its receipt is pending until the answer is there. Pure.

While the row of a former address is awaited, what is known of the person is not all: then only what is superseded has
its receipt here (see `rules/arrivals.py`).

A change from before a job began has its receipt here, too, unless the job exports the person anyway: then it follows
the answer like any other. The row keeps the positions of such receipts while they are in force.
"""

from collections.abc import Callable, Iterable

from schemas.audience_delivery import Outcome
from streams.export.rules.due import mark_due
from streams.export.rules.jobs import Exports, JobView
from streams.export.rules.membership import FoldResult, MembershipEvent, SupersededChange
from streams.export.rules.orders import mark_answered, note_export
from streams.export.rules.outstanding import FROM_BEFORE, not_exported_now, settle
from streams.export.rules.row import MembershipRow, PendingChange
from streams.export.rules.settlement import Receipt, concerns_job
from streams.export.rules.unentered import HasRequest, await_call, is_answered, rank_of_pending

AlreadySent = Callable[[str, int], bool]
"""True when a job's receipt for a position is in the topic already, from an attempt whose rows were lost."""


def _nothing_sent(_job_id: str, _position: int) -> bool:
    return False


def immediate_receipts(
    row: MembershipRow,
    event: MembershipEvent,
    result: FoldResult,
    exports: Exports,
    has_request: HasRequest,
    already_sent: AlreadySent = _nothing_sent,
) -> list[Receipt]:
    """Return the receipts that the event itself determines; one for each job and position at most.

    Changes the row in place: pending receipts are recorded, and it is marked due when a list may have to be written.
    """
    receipts: dict[tuple[str, int], Receipt] = {}
    for change in result.superseded:
        receipts |= receipts_of_superseded(row, change, exports, has_request, already_sent)
    for view in _jobs(result.changed, exports):
        if already_sent(view.id, event.position):
            mark_answered(row, view.job.list_id, view.id, event.position)
    answered = {view.id for audience in result.changed for view in exports.of(audience)}
    early = [] if row.awaits else _not_exported(row, result, exports, has_request)
    for view in early:
        record_not_exported(row, view.id, event.position)
        receipts[view.id, event.position] = Receipt(
            view.id, view.job.list_id, event.position, Outcome.NOT_EXPORTED, event.appended, message=FROM_BEFORE
        )
    for audiences, outcome in ((result.repeated, Outcome.UNCHANGED), (result.stale, Outcome.SUPERSEDED)):
        for view in _jobs(audiences, exports):
            if view.id in answered:
                continue
            answered.add(view.id)
            fields = result.fields or (bool(row.awaits) and event.previous is not None)
            rank = rank_of_pending(row, view, outcome, fields=fields)
            if rank is not None and not already_sent(view.id, event.position):
                audience = next(audience for audience in audiences if view.exports(audience))
                waiting = PendingChange(view.job.list_id, audience, rank, event.position, event.appended, event.at)
                await_call(row, waiting, exports, has_request, receipts)
                continue
            if result.changed or row.awaits:
                mark_answered(row, view.job.list_id, view.id, event.position)
            receipts[view.id, event.position] = Receipt(
                view.id, view.job.list_id, event.position, outcome, event.appended
            )
    awaited = {change.list_id for change in row.pending if change.position == event.position}
    for view in _jobs([*result.repeated, *result.stale], exports):
        if view.job.list_id in awaited and (view.id, event.position) in receipts:
            record_not_exported(row, view.id, event.position)  # another job of the list waits for the same change
    for view in _jobs(result.changed, exports):
        if view in early:
            continue
        note_export(row, view)
        mark_due(row)
    if result.fields and any(exports.of(audience) for audience, entry in row.audiences.items() if entry.inside):
        mark_due(row)
    return list(receipts.values())


def receipts_of_superseded(
    row: MembershipRow, change: SupersededChange, exports: Exports, has_request: HasRequest, already_sent: AlreadySent
) -> dict[tuple[str, int], Receipt]:
    """Return the receipts of a change that is no longer in force, by job and position.

    Those that a request may give are kept in the row until it is answered.
    """
    receipts: dict[tuple[str, int], Receipt] = {}
    pending: set[str] = set()
    for view in exports.of(change.audience):
        list_id = view.job.list_id
        if (
            is_answered(row, view, change.position)
            or already_sent(view.id, change.position)
            or not _was_counted(view, change)
            or _is_answered_later(row, change.position, view)
        ):
            continue
        if not has_request(list_id):
            receipts[view.id, change.position] = Receipt(
                view.id, list_id, change.position, Outcome.SUPERSEDED, change.appended
            )
            awaited = row.awaited_at is not None and row.awaited_at[0] == change.position
            if awaited or any(entry.position == change.position for entry in row.audiences.values()):
                mark_answered(row, list_id, view.id, change.position)
        elif list_id not in pending:
            pending.add(list_id)
            row.pending.append(
                PendingChange(list_id, change.audience, change.rank, change.position, change.appended, change.since)
            )
    return receipts


def _not_exported(row: MembershipRow, result: FoldResult, exports: Exports, has_request: HasRequest) -> list[JobView]:
    """Return the jobs that do not export what changed, since all of it is from before they began."""
    return [
        view
        for view in _jobs(result.changed, exports)
        if not has_request(view.job.list_id)
        and not any(
            concerns_job(row, view, row.audiences[audience].since)
            for audience in result.changed
            if view.exports(audience)
        )
    ]


def add_not_exported(row: MembershipRow, list_id: str, receipts: list[Receipt], exports: Exports) -> None:
    """Add receipts of what no job of the list answers, and record all of them, in place. No request is under way.

    One was when such a change came, or the row of a former address: its receipt had to wait for that.
    """
    settle(row, receipts)
    if not row.outstanding or row.awaits or row.leaving:
        return
    jobs = {view.id: view for listed in exports.lists.values() for view in listed.jobs}
    left = [receipt for receipt in not_exported_now(row, jobs) if receipt.list_id == list_id]
    for receipt in left:
        record_not_exported(row, receipt.job_id, receipt.position)
    settle(row, left)
    receipts += left


def record_not_exported(row: MembershipRow, job_id: str, position: int) -> None:
    """Record, in place, that a change in force, or pending, has a receipt by which the job does not export it."""
    in_force = {entry.position for entry in row.audiences.values()} | {change.position for change in row.pending}
    known = row.answered.get(job_id, ())
    row.answered[job_id] = (*(answered for answered in known if answered in in_force), position)


def _was_counted(view: JobView, change: SupersededChange) -> bool:
    """Whether the job was there when the change was folded, or exports such changes from before it began."""
    inside = not change.rank & 1
    return max(change.since, change.appended) >= view.started or (inside and view.job.existing_users)


def _is_answered_later(row: MembershipRow, position: int, view: JobView) -> bool:
    """Whether another audience of the same snapshot is in force, or waits for a call: one receipt is for all of it."""
    in_force = [(audience, entry.position) for audience, entry in row.audiences.items()]
    waiting = [(known.audience, known.position) for known in row.pending if known.list_id == view.job.list_id]
    return any(at == position and view.exports(audience) for audience, at in (*in_force, *waiting))


def _jobs(audiences: Iterable[str], exports: Exports) -> list[JobView]:
    return list({view.id: view for audience in audiences for view in exports.of(audience)}.values())
