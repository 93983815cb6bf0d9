"""Outstanding receipts: one for each change that a job exported when it came, until it is published. Pure.

What waits for a call is found by the jobs as they are now. A job that was edited or removed meanwhile does not export
the change any more, so the row keeps whose receipt for it is outstanding, and it gets one all the same.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace

from schemas.audience_delivery import Outcome
from streams.export.rules.desired import is_concerned
from streams.export.rules.jobs import Exports, JobView
from streams.export.rules.membership import FoldResult, MembershipEvent
from streams.export.rules.row import MembershipRow
from streams.export.rules.settlement import Receipt, concerns_job
from streams.export.rules.unentered import is_answered

FROM_BEFORE = "It is from before the job began, and the job does not export it: see Existing users"
NO_LONGER = "The job was edited or removed before this was delivered, and does not export it any more"


def record_outstanding(
    row: MembershipRow,
    event: MembershipEvent,
    result: FoldResult,
    exports: Exports,
    receipts: Iterable[Receipt],
    already_sent: Callable[[str, int], bool],
) -> None:
    """Record which receipts are outstanding after an event, in place; `receipts`: those that it determined itself.

    Not those that an attempt gave whose rows were lost: the event comes again, and determines them no more.
    """
    settle(row, receipts)
    row.outstanding = [known for known in row.outstanding if not already_sent(known[0], known[2])]
    audiences = (*result.changed, *result.repeated, *result.stale)
    views = {view.id: view for audience in audiences for view in exports.of(audience)}
    given = {receipt.job_id for receipt in receipts if receipt.position == event.position}
    for job_id, view in views.items():
        if job_id not in given and not already_sent(job_id, event.position):
            row.outstanding.append((job_id, view.job.list_id, event.position, event.appended))


def settle(row: MembershipRow, receipts: Iterable[Receipt]) -> None:
    """Record that receipts were given, in place."""
    if row.outstanding:
        given = {(receipt.job_id, receipt.position) for receipt in receipts}
        row.outstanding = [
            outstanding for outstanding in row.outstanding if (outstanding[0], outstanding[2]) not in given
        ]


def left_over(row: MembershipRow, receipts: Iterable[Receipt], outcome: Outcome, message: str) -> list[Receipt]:
    """Return a receipt for everything that is outstanding beside these."""
    given = {(receipt.job_id, receipt.position) for receipt in receipts}
    return [
        Receipt(job_id, list_id, position, outcome, appended, message=message)
        for job_id, list_id, position, appended in row.outstanding
        if (job_id, position) not in given
    ]


def not_exported_now(row: MembershipRow, jobs: Mapping[str, JobView]) -> list[Receipt]:
    """Return receipts of changes that no job as it is now will answer. `jobs`: all, by id."""
    return [
        replace(receipt, message=FROM_BEFORE) if _names(row, jobs.get(receipt.job_id), receipt.position) else receipt
        for receipt in left_over(row, (), Outcome.NOT_EXPORTED, NO_LONGER)
        if not _will_answer(row, jobs.get(receipt.job_id), receipt.position)
    ]


def _names(row: MembershipRow, view: JobView | None, position: int) -> bool:
    """Whether a change is about an audience of the job still: then the job does not export the person."""
    changes: list[tuple[str, int]] = [(change.audience, change.position) for change in row.pending]
    changes += [(audience, entry.position) for audience, entry in row.audiences.items()]
    return view is not None and any(view.exports(audience) for audience, at in changes if at == position)


def _will_answer(row: MembershipRow, view: JobView | None, position: int) -> bool:
    """Whether a job answers a change with a call, as soon as it runs."""
    if view is None or is_answered(row, view, position):
        return False
    in_force = any(
        entry.position == position and view.exports(audience) and concerns_job(row, view, entry.since)
        for audience, entry in row.audiences.items()
    )
    return in_force or any(
        is_concerned(row, view)
        and change.position == position
        and change.list_id == view.job.list_id
        and view.exports(change.audience)
        for change in row.pending
    )


def reset_positions(row: MembershipRow, source: int) -> None:
    """Forget positions of another incarnation of the topic: a recreated topic counts from 0 again."""
    if row.source == source:
        return
    row.source = source
    row.pending.clear()
    row.answered.clear()
    row.outstanding.clear()
    row.awaited_at = None
    for entry in row.audiences.values():
        entry.position = -1
    for held in row.lists.values():
        held.seen = -1
        for part in held.delivered.values():
            part.answered, part.also = -1, ()
