"""Receipts that need no call: what a membership event itself decides, when it is folded.

An event that came too late is superseded, one that repeats what is known is unchanged, and a change that it overtakes
is superseded, unless a request is carrying that one right now: then its receipt is owed until the answer is there.
"""

from collections.abc import Callable, Iterable

from schemas.audience_delivery import Outcome
from streams.domain.exports import Exports, JobView
from streams.domain.membership import Event, Folded, Overtaken
from streams.domain.rows import EXIT, Held, Owed, Row, Said
from streams.domain.settlement import Receipt, counts

Carries = Callable[[str], bool]
"""Says whether a request with this person to the list is under way."""


Told = Callable[[str, int], bool]
"""Says whether a job's receipt for a position is in the topic already, from an attempt whose rows were lost."""


def _nothing_told(_job_id: str, _position: int) -> bool:
    return False


def decided(
    row: Row, event: Event, done: Folded, exports: Exports, carries: Carries, told: Told = _nothing_told
) -> list[Receipt]:
    """Return the receipts, remember in the row what is owed, and mark it due when there is something to look at."""
    receipts: dict[tuple[str, int], Receipt] = {}
    for it in done.overtaken:
        _overtaken(row, it, exports, carries, told, receipts)
    for view in _jobs(done.moved, exports):
        if told(view.id, event.position):
            _answered(row, view, event.position)
    concerned = {view.id for audience in done.moved for view in exports.of(audience)}
    for audiences, outcome in ((done.repeated, Outcome.UNCHANGED), (done.stale, Outcome.SUPERSEDED)):
        for view in _jobs(audiences, exports):
            if view.id in concerned or not counts(view, event.at, inside=_inside(event)):
                continue
            concerned.add(view.id)
            if done.moved:
                _answered(row, view, event.position)
            receipts[view.id, event.position] = Receipt(
                view.id, view.job.list_id, event.position, outcome, event.appended
            )
    for view in _jobs(done.moved, exports):
        # From here on a request may be made: the row says so, for whoever takes over without knowing of it.
        row.lists.setdefault(view.job.list_id, Held())
        row.due = True
    if done.fields and _exported(row, exports):
        row.due = True
    return list(receipts.values())


def _overtaken(
    row: Row,
    it: Overtaken,
    exports: Exports,
    carries: Carries,
    told: Told,
    receipts: dict[tuple[str, int], Receipt],
) -> None:
    owed: set[str] = set()
    for view in exports.of(it.audience):
        list_id = view.job.list_id
        held = row.lists.get(list_id)
        said = held.said.get(view.id) if held is not None else None
        answered = it.position < 0 or (said is not None and (it.position <= said.answered or it.position in said.also))
        if (
            answered
            or told(view.id, it.position)
            or not counts(view, it.since, inside=not it.rank & 1)
            or _still_waits(row, it.position, view)
        ):
            continue
        if not carries(list_id):
            receipts[view.id, it.position] = Receipt(view.id, list_id, it.position, Outcome.SUPERSEDED, it.appended)
            if any(standing.position == it.position for standing in row.audiences.values()):
                _answered(row, view, it.position)
        elif list_id not in owed:
            owed.add(list_id)
            row.owed.append(Owed(list_id, it.audience, it.rank, it.position, it.appended))


def _answered(row: Row, view: JobView, position: int) -> None:
    """Note that a record is answered of which something still stands: the job may come to export that later."""
    said = row.lists.setdefault(view.job.list_id, Held()).said
    known = said.setdefault(view.id, Said("", -1))
    known.also = (*known.also, position)


def _still_waits(row: Row, position: int, view: JobView) -> bool:
    """Whether another audience of the same snapshot still stands: its receipt speaks for the whole snapshot."""
    return any(it.position == position and view.exports(audience) for audience, it in row.audiences.items())


def _jobs(audiences: Iterable[str], exports: Exports) -> list[JobView]:
    return list({view.id: view for audience in audiences for view in exports.of(audience)}.values())


def _inside(event: Event) -> bool:
    return event.snapshot is not None or any(change.rank != EXIT for change in event.changes)


def _exported(row: Row, exports: Exports) -> bool:
    return any(exports.of(audience) for audience, it in row.audiences.items() if it.inside)
