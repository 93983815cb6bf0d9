"""Rows that came later than any overlap reaches (pure): found by comparing the report with what was published of it.

Totals show that there are some, not which. So the report is read twice: the first time its ids are compared with the
sketch of all that were accounted for, the second time the rows are published that this one lacks.
"""

from collections.abc import Iterable

from connectors.campaign_monitor import events
from connectors.campaign_monitor.events import pack, unpack
from connectors.importer.readers.reader import KnownRows, PageRead
from connectors.importer.readers.sketch import Sketch
from connectors.importer.translated import TranslatedRow
from schemas.import_task import Cursor, LateRows, Published

MAX_LEFT_OUT = 5_000
"""Rows that came late and were left out that a mark remembers for what was published before, 40 KB each. Of more, that
is forgotten: a job that asks for more again publishes it again."""


def search(cursor: Cursor, anchor: str | None, newest: KnownRows, newest_date: str | None = None) -> Cursor:
    """Return where the search begins. `newest`: the rows that are known one by one need not be compared."""
    late = LateRows(until=newest.known_from, known=newest.known, newest_date=newest_date)
    start = Cursor(phase="first", anchor=anchor, accounted=cursor.accounted, expected=cursor.expected)
    return start.model_copy(update={"sketch": cursor.sketch, "widened": cursor.widened, "late": late})


def read_rows(
    cursor: Cursor, late: LateRows, rows: Iterable[TranslatedRow], known: set[bytes], read: PageRead
) -> LateRows:
    """Compare the rows of a page, or publish what is missing; `known`: ids that repeat rows of an earlier page.

    A widened read cannot see whether a row was counted before or came late, and has published either. If there are no
    more such rows now, all of them were there then.
    """
    rows = list(rows)
    older = [row for row in rows if late.until is None or row.date < late.until]
    fresh = [row for row in older if row.event_id[: events.SHORT_BYTES] not in known]
    read.repeats += len(older) - len(fresh)
    if late.phase == "compare":
        seen = Sketch(late.seen)
        seen.add([row.event_id[: events.SHORT_BYTES] for row in fresh])
        widened = sum(row.widens and row.event_id[: events.SHORT_BYTES] not in known for row in rows)
        change = {"rows": late.rows + len(fresh), "widened": late.widened + widened}
        return late.model_copy(update={"seen": seen.packed(), **change})
    missing, left_out = unpack(late.missing), unpack(late.left_out)
    all_widened = late.widened == cursor.widened
    for row in fresh:
        short = row.event_id[: events.SHORT_BYTES]
        if short not in missing and not late.unreadable:
            read.repeats += 1
            continue
        missing.discard(short)
        if row.widens and all_widened:
            read.repeats += 1
        elif row.in_scope:
            read.new_rows.append(row)
        else:
            read.left_out += 1
            left_out.add(short)
    return late.model_copy(update={"missing": pack(missing), "left_out": pack(sorted(left_out)[: MAX_LEFT_OUT + 1])})


def is_over(cursor: Cursor, late: LateRows, rows: list[TranslatedRow]) -> bool:
    """Return whether the rows after this page need no look."""
    if late.phase == "compare" and cursor.widened:
        return False
    if late.phase == "publish" and not late.missing and not late.unreadable:
        return True
    return bool(rows) and late.until is not None and rows[-1].date >= late.until


def end_pass(cursor: Cursor, late: LateRows, anchor: str | None, fresh: int, read: PageRead) -> PageRead:
    """End a pass: with what is missing a second one begins, else the search is over.

    `fresh`: rows that this run has published or left out. When too many are missing to be named, all that were
    compared are published again: ids are the same.
    """
    if late.phase == "compare":
        held, seen = unpack(late.known), Sketch(late.seen)
        seen.add(held)
        found = seen.since(Sketch(cursor.sketch))
        late = late.model_copy(
            update={
                "phase": "publish",
                "seen": seen.packed(),
                "rows": late.rows + len(held),
                "missing": "" if found is None else pack(sorted(found.added)),
                "unreadable": found is None,
            }
        )
        if late.missing or late.unreadable:
            following = Cursor(phase="first", anchor=anchor, expected=cursor.expected, late=late)
            read.next = following.model_copy(
                update={"accounted": cursor.accounted, "sketch": cursor.sketch, "widened": cursor.widened}
            )
            return read
    read.known_rows, read.newest_date = KnownRows(late.until, late.known), late.newest_date
    read.accounted_before, read.sketch = late.rows - fresh, late.seen
    read.late_left_out = late.left_out
    return read


def lacking(earlier: Iterable[Published], left_out: str) -> list[Published]:
    """Return what earlier reads have published, without the rows that came late and were left out since."""
    if not left_out:
        return list(earlier)
    added = unpack(left_out)
    lacks = [(known, unpack(known.lacks) | added) for known in earlier]
    return [known.model_copy(update={"lacks": pack(sorted(ids))}) for known, ids in lacks if len(ids) <= MAX_LEFT_OUT]
