"""Whether a row is due, and for which lists it is known that nothing can be on its way. Pure.

A due row is in the index that a new owner reads. What its predecessor sent of it is not known, so it is sent again:
that must not reach lists whose outcome is recorded. Somebody who was deleted for good since then would be added, and
everybody on two lists would be imported at each restart.

    an event, a message           mark_due, mark_changed    every list with a running job may get something
    the outcome of one list       mark_settled              that list is settled, whatever the others do
    no list is due any more       mark_settled              the row leaves the index, and nothing is kept of it

`settled` names the lists. It is empty while the row is not due: then all are, and a row costs no byte more.

Whoever changes a row for another reason than an event (a claim, a transfer, a webhook) uses `mark_due` alone: every
list is unknown then, which may cost a call after a restart, and never loses one.
"""

from collections.abc import Iterable

from streams.export.rules.row import MembershipRow


def mark_due(row: MembershipRow) -> None:
    """Something may have to be sent or receipted, to any list."""
    row.due, row.settled = True, ()


def mark_settled(row: MembershipRow, list_id: str, *, due: bool) -> None:
    """The outcome for a list is recorded. `due`: for other lists, or for another reason."""
    row.due = due
    row.settled = tuple(sorted({*row.settled, list_id})) if due else ()


def mark_changed(row: MembershipRow, stopped: Iterable[str], *, was_due: bool, settled: Iterable[str]) -> None:
    """Events were folded. Nothing is on its way to lists without a running job (`stopped`), if nothing was before.

    `was_due`, `settled`: of the row before them. What they left alone stays settled. Without this a list that was
    stopped before the events would be written when it starts again, though nothing of it had changed.
    """
    if row.due and not row.settled:
        row.settled = tuple(sorted(list_id for list_id in stopped if not was_due or list_id in settled))
