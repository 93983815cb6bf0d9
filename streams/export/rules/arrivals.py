"""Events that come while the row of a former address is awaited: their receipts follow once it was merged. Pure.

Until then it is not known which jobs export the person, nor which audiences a snapshot leaves: those of the former
address are in the other row.
"""

from collections.abc import Callable, Mapping

from streams.export.rules.immediate import record_not_exported
from streams.export.rules.jobs import Exports, JobView
from streams.export.rules.membership import MembershipEvent
from streams.export.rules.outstanding import not_exported_now, settle
from streams.export.rules.row import REPEATED, MembershipRow, PendingChange
from streams.export.rules.settlement import Receipt
from streams.export.rules.tenures import tenure_at
from streams.export.rules.unentered import HasRequest, is_answered


def note_snapshot(row: MembershipRow, event: MembershipEvent) -> None:
    """Keep the position of the latest snapshot, in place, while a row is awaited whose audiences it may leave."""
    if not row.awaits or event.snapshot is None or event.at < row.snapshot_at:
        return
    row.awaited_at = (event.position, event.appended)
    if row.tenures:
        tenure_at(row, event.at).awaited_at = row.awaited_at


def receipts_of_arrived(
    row: MembershipRow,
    exports: Exports,
    has_request: HasRequest,
    already_sent: Callable[[str, int], bool],
) -> list[Receipt]:
    """Return the receipts of what no job exports of a row that awaits no other any more; the others follow the call.

    Changes the row in place: what the awaited snapshot left has outstanding receipts from here on.
    """
    if row.awaits:
        return []
    jobs: Mapping[str, JobView] = {view.id: view for listed in exports.lists.values() for view in listed.jobs}
    if row.awaited_at is not None:
        _record_left(row, *row.awaited_at, exports, already_sent)
        _await_call(row, *row.awaited_at, jobs)
        row.awaited_at = None
        for _, tenure in row.tenures:
            tenure.awaited_at = None
    receipts = [receipt for receipt in not_exported_now(row, jobs) if not has_request(receipt.list_id)]
    for receipt in receipts:
        record_not_exported(row, receipt.job_id, receipt.position)
    settle(row, receipts)
    return receipts


def _record_left(
    row: MembershipRow,
    position: int,
    appended: int,
    exports: Exports,
    already_sent: Callable[[str, int], bool],
) -> None:
    left = [audience for audience, entry in row.audiences.items() if entry.position == position and not entry.inside]
    known = {job for job, _, outstanding, _ in row.outstanding if outstanding == position}
    for view in {view.id: view for audience in left for view in exports.of(audience)}.values():
        if view.id not in known and not is_answered(row, view, position) and not already_sent(view.id, position):
            row.outstanding.append((view.id, view.job.list_id, position, appended))


def _await_call(row: MembershipRow, position: int, appended: int, jobs: Mapping[str, JobView]) -> None:
    """Keep the snapshot until the next call where all that it left belonged to somebody who had the address before."""
    pending: list[PendingChange] = []
    for job_id, list_id, outstanding, _ in row.outstanding:
        view = jobs.get(job_id)
        if view is not None and outstanding == position:
            entries = {audience: entry for audience, entry in row.audiences.items() if view.exports(audience)}
            if all(entry.position != position for entry in entries.values()):
                at = row.snapshot_at
                pending += [PendingChange(list_id, name, REPEATED, position, appended, at) for name in [*entries][:1]]
    row.pending += pending
