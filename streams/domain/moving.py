"""A person's e-mail address changed: their row goes to the new address, and their subscriber with it.

Rows live by address, so this takes two rows, perhaps of two workers, and three steps that may each be repeated:

    the new address's row waits (`awaits`): nothing of it is sent before the old one was handed over
    the old address's row is frozen (`went_to`), and handed over when no request carries it any more
    the new row takes it in (`arrived`): what the list holds under the old address is then changed in place

What happens at the old address afterwards, by event time, is about whoever has it now.
"""

from dataclasses import replace

from streams.domain.membership import Event, fold
from streams.domain.rows import Millis, Row, Said, Standing


def wait_for(row: Row, former: str, at: Millis) -> bool:
    """Note that the person had another address before. False when that row has been handed over already."""
    if former in row.came_from and row.came_from[former] >= at:
        return False
    row.awaits = former
    row.due = True
    return True


def leave(row: Row, to: str, at: Millis) -> None:
    """Freeze the row until it is handed over. Told again afterwards, it is about somebody who has gone already."""
    if row.left is not None and row.left[1] >= at:
        return
    row.went_to = (to, at)
    row.due = True


def hand_over(row: Row) -> Row:
    """Return what goes to the new address, and leave an empty row behind."""
    luggage = Row(
        audiences=row.audiences, fields=row.fields, lists=row.lists, snapshot_at=row.snapshot_at, source=row.source
    )
    row.audiences, row.fields, row.lists = {}, {}, {}
    row.owed = []
    row.snapshot_at = Row().snapshot_at
    row.went_to, row.left = None, row.went_to
    row.due = False
    return luggage


def arrived(row: Row, former: str, at: Millis, luggage: Row) -> bool:
    """Take in what was handed over. False when the lists were taken in before: a repetition, or a late event."""
    known = former in row.came_from and row.came_from[former] >= at
    row.due = True
    if row.awaits == former:
        row.awaits = None
    for audience, standing in luggage.audiences.items():
        mine = row.audiences.get(audience)
        if mine is None or (mine.at, mine.rank) < (standing.at, standing.rank):
            # Its changes were answered at the old address: they have no position here.
            row.audiences[audience] = Standing(standing.rank, standing.at, -1, standing.appended, standing.since)
    for name, (value, told) in luggage.fields.items():
        if name not in row.fields or row.fields[name][1] < told:
            row.fields[name] = (value, told)
    row.snapshot_at = max(row.snapshot_at, luggage.snapshot_at)
    if known:
        return False
    row.came_from[former] = at
    for list_id, held in luggage.lists.items():
        mine_held = row.lists.get(list_id)
        said = {job: Said("", -1) for job in held.said}
        if mine_held is not None:
            said |= {job: Said("", it.answered) for job, it in mine_held.said.items()}
        seen = -1 if mine_held is None else mine_held.seen
        if held.address is not None or mine_held is None:
            row.lists[list_id] = replace(held, said=said, seen=seen, digest="")
        else:
            mine_held.said = said
    return True


def goes_on(row: Row, event: Event) -> Row | None:
    """Return what a late event says about somebody who has another address since; None when it is about this row."""
    if row.left is None or event.at > row.left[1]:
        return None
    luggage = Row()
    fold(luggage, event)
    return luggage
