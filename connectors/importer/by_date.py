"""Reading a report forward by date (pure): opens, clicks, bounces, unsubscribes, complaints.

Rows have no ids and equal rows are legitimate, so a row's ordinal counts equal rows of the same minute, from 0. Rows
of one minute stand together, so it is enough to remember the ids of the minute at which the last page ended.
Rows are appended while we read, and late ones appear in the middle: then rows move right, and the next page begins
with rows that we have. That shows in the total. Where it may have happened, the read starts again at the beginning of
the last minute, with `date` and page 1, which no shift can touch; ids remove what is read twice.
"""

from collections.abc import Iterator
from math import ceil

from connectors import event_ids
from connectors.campaign_monitor.client.entities import Page
from connectors.importer.packed import MAX_REMEMBERED, Newest, Window, minute_before, pack, unpack
from connectors.importer.step import PROBE_SIZE, Kept, Step, Wanted, parts
from connectors.importer.translate import Identified
from schemas.import_task import Cursor, Mark, Source


def begin(source: Source, mark: Mark | None, accounted: int) -> Cursor:
    """Return where a read begins. `accounted`: rows that earlier runs published or left out."""
    if mark is None:
        return Cursor(phase="first", anchor=source.since)
    return Cursor(phase="probe", anchor=source.since, known_from=mark.known_from, known=mark.known, accounted=accounted)


def wanted(cursor: Cursor, size: int) -> Wanted:
    """Return the page that the cursor asks for."""
    if cursor.phase == "probe":
        return Wanted(cursor.anchor, 1, PROBE_SIZE)
    if cursor.phase == "cuts":
        return Wanted(cursor.anchor, (cursor.borders[0] - 1) * (size // PROBE_SIZE) + 1, PROBE_SIZE)
    return Wanted(cursor.anchor, cursor.page, size)


def take(source: Source, cursor: Cursor, page: Page, rows: list[Identified], fresh: int, most_parts: int) -> Step:
    """Return what to publish of a page and what to read next.

    `fresh`: rows that this run has published or left out before this page.
    """
    if cursor.phase == "probe":
        return _probed(cursor, page)
    if cursor.phase == "cuts":
        return _cut(cursor, page, rows)
    if _moved(cursor, page, rows):
        return Step(restarted=True, next=_again(cursor))
    return _read(source.since, cursor, page, rows, fresh, most_parts)


def likely_next(cursor: Cursor, page: Page, size: int, most_parts: int) -> Iterator[Wanted]:
    """Guess the pages that follow. Rows that moved between two answers show in the totals, whichever is the older."""
    if cursor.phase == "probe":
        return
    borders = cursor.borders[1:]
    if cursor.phase == "first" and cursor.known_from is None:
        borders = [border for border in parts(page.pages, most_parts) if border > 1]
    if borders:
        cuts = cursor.model_copy(update={"phase": "cuts"})
        yield from (wanted(cuts.model_copy(update={"borders": [border]}), size) for border in borders)
    elif cursor.phase == "cuts":
        yield Wanted(cursor.anchor, cursor.page, size)
    else:
        last = page.pages if cursor.high is None else min(page.pages, cursor.high)
        yield from (Wanted(cursor.anchor, number, size) for number in range(page.number + 1, last + 1))


def _probed(cursor: Cursor, page: Page) -> Step:
    if page.total == cursor.accounted:
        unchanged = Window(cursor.known_from, cursor.known)
        return Step(window=unchanged, before=cursor.accounted, rows_total=0, pages_total=1)
    start: dict[str, object] = {
        "phase": "first",
        "expected": page.total,
        "accounted": min(cursor.accounted, page.total),
    }
    if cursor.known_from is not None:
        anchor = max(minute_before(cursor.known_from), cursor.anchor or "")
        start |= {"anchor": anchor, "floor": cursor.known_from}
    return Step(next=cursor.model_copy(update=start))


def _read(since: str | None, cursor: Cursor, page: Page, rows: list[Identified], fresh: int, most_parts: int) -> Step:
    step = Step()
    known, held = unpack(cursor.known) | unpack(cursor.previous), unpack(cursor.minute_ids)
    newest = Newest(cursor.newest, cursor.newest_date, cursor.newest_cut)
    near_end = page.total - page.number * page.size <= MAX_REMEMBERED
    minute, minute_ids, ordinals = cursor.minute, list(held), dict[str, int]()
    ended = False
    leading = cursor.minute is None and cursor.known_from is not None
    for index, row in enumerate(rows):
        if leading and row.date < (cursor.known_from or ""):
            continue
        leading = False
        if cursor.until is not None and row.date >= cursor.until:
            ended = True
            break
        if row.date[:16] != minute:
            minute, minute_ids, held = row.date[:16], [], set()
            ordinals.clear()
        ordinal = ordinals.get(row.base, -1) + 1
        identity = event_ids.digest(row.base, ordinal)
        while held and identity[: event_ids.SHORT_BYTES] in held:
            ordinal += 1
            identity = event_ids.digest(row.base, ordinal)
        ordinals[row.base] = ordinal
        short = identity[: event_ids.SHORT_BYTES]
        minute_ids.append(short)
        if near_end:
            newest.add(row.date, short)
        elif cursor.until is None:
            newest.skip(row.date)
        if short in known:
            step.repeats += 1
        elif row.wanted:
            step.keep.append(Kept(index, identity))
        else:
            step.left_out += 1
    step.rows_total, step.pages_total = page.total, page.pages
    if ended or page.last:
        return _end(since, cursor, step, newest, fresh)
    step.next = cursor.model_copy(
        update={
            "phase": "forward",
            "page": page.number + 1,
            "total": page.total,
            "minute": minute,
            "minute_ids": pack(minute_ids),
            "newest": newest.packed(),
            "newest_date": newest.latest,
            "newest_cut": newest.cut,
            "pages": page.pages,
        }
    )
    # Only a full read is divided: an increment is short, and its end must see whether all that was owed has come.
    full = cursor.phase == "first" and cursor.known_from is None
    borders = [border for border in parts(page.pages, most_parts) if border > 1] if full else []
    if borders:
        step.next = step.next.model_copy(update={"phase": "cuts", "borders": borders})
    return step


def _end(since: str | None, cursor: Cursor, step: Step, newest: Newest, fresh: int) -> Step:
    if cursor.until is not None:
        return step
    fresh += len(step.keep) + step.left_out
    if cursor.expected is not None and not cursor.deep and cursor.accounted + fresh < cursor.expected:
        # Rows came later than the overlap reaches back. Everything is read again; ids name what is told twice.
        step.next = Cursor(phase="first", anchor=since, accounted=-fresh, deep=True)
        return step
    step.window, step.newest_date = newest.window(cursor.floor), newest.latest
    step.before = cursor.accounted
    return step


def _cut(cursor: Cursor, page: Page, rows: list[Identified]) -> Step:
    """Learn the date at a border; when all are known, divide the rest of the report among chains."""
    cuts = list(cursor.cuts)
    if rows:
        cut = rows[0].date[:16]
        if cut > (cuts[-1] if cuts else cursor.minute or ""):
            cuts.append(cut)
    borders = cursor.borders[1:]
    if borders:
        return Step(next=cursor.model_copy(update={"borders": borders, "cuts": cuts}))
    step = Step()
    # Only a guess, for asking ahead: a part ends at the first row of the next one.
    width = ceil(cursor.pages / (len(cuts) + 1))
    for cut, until in zip(cuts, [*cuts[1:], None], strict=False):
        step.divided.append(
            Cursor(
                phase="forward",
                anchor=minute_before(cut),
                known_from=cut,
                known=cursor.known,
                until=until,
                high=None if until is None else width + 1,
                floor=cut,
                accounted=cursor.accounted if until is None else 0,
                pages=page.pages,
            )
        )
    rest: dict[str, object] = {"until": cuts[0], "high": width} if cuts else {}
    step.next = cursor.model_copy(update={"phase": "forward", "borders": [], "cuts": [], **rest})
    return step


def _moved(cursor: Cursor, page: Page, rows: list[Identified]) -> bool:
    """Say whether rows before this page may have moved since the page before it was read."""
    if cursor.total is None or page.total == cursor.total:
        return False
    if page.total < cursor.total or not rows:
        return True
    first = rows[0]
    if first.date[:16] != cursor.minute:
        return first.date[:16] < (cursor.minute or "")
    return event_ids.digest(first.base)[: event_ids.SHORT_BYTES] in unpack(cursor.minute_ids)


def _again(cursor: Cursor) -> Cursor:
    """Return the cursor that reads the last minute again, from its beginning."""
    start: dict[str, object] = {"phase": "forward", "page": 1, "total": None, "minute": None, "minute_ids": ""}
    if cursor.minute is not None:
        # Started again at the same minute, this pass may not have come as far as the one before: both are known.
        earlier = unpack(cursor.previous) if cursor.known_from == cursor.minute else set()
        start |= {"anchor": minute_before(cursor.minute), "known_from": cursor.minute}
        start |= {"previous": pack(earlier | unpack(cursor.minute_ids))}
    return cursor.model_copy(update=start)
