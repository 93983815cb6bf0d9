"""Reading the recipients of a campaign (pure): forward, by address, for they have no date.

A person is sent a campaign once per list, so a row's id needs no ordinal, and what is read twice is recognised by it.
People are added while a campaign is being sent: rows move right and repeat, which the ids of the last page remove;
those added behind us are missed, which the total shows, and then the next run reads again. Should rows move left, the
page before is read again.
"""

from collections.abc import Iterator

from connectors import event_ids
from connectors.campaign_monitor.client.entities import Page
from connectors.importer.packed import MAX_REMEMBERED, Window, pack, unpack
from connectors.importer.step import PROBE_SIZE, Kept, Step, Wanted, parts
from connectors.importer.translate import Identified
from schemas.import_task import Cursor, Mark

TOO_MANY = "too many"
"""Says in place of a date that the rows were not remembered one by one."""


def begin(mark: Mark | None, accounted: int) -> Cursor:
    """Return where a read begins. `accounted`: rows that earlier runs published or left out."""
    if mark is None:
        return Cursor(phase="first")
    return Cursor(phase="probe", known=mark.known, accounted=accounted)


def wanted(cursor: Cursor, size: int) -> Wanted:
    """Return the page that the cursor asks for."""
    return Wanted(None, 1, PROBE_SIZE) if cursor.phase == "probe" else Wanted(None, cursor.page, size)


def take(cursor: Cursor, page: Page, rows: list[Identified], fresh: int, most_parts: int) -> Step:
    """Return what to publish of a page and what to read next.

    `fresh`: rows that this run has published or left out before this page.
    """
    if cursor.phase == "probe":
        if page.total == cursor.accounted:
            return Step(window=Window(None, cursor.known), before=cursor.accounted, rows_total=0, pages_total=1)
        return Step(next=cursor.model_copy(update={"phase": "first", "accounted": 0}))
    if cursor.total is not None and page.total < cursor.total and cursor.page > max(1, cursor.low):
        back = {"page": cursor.page - 1, "total": page.total}
        return Step(restarted=True, next=cursor.model_copy(update=back))
    return _read(cursor, page, rows, fresh, most_parts)


def likely_next(cursor: Cursor, page: Page, size: int, most_parts: int) -> Iterator[Wanted]:
    """Guess the pages that follow."""
    if cursor.phase == "probe":
        return
    last = page.pages if cursor.high is None else min(page.pages, cursor.high)
    if cursor.phase == "first":
        last = min([last, *parts(page.pages, most_parts)[:1]])
    yield from (Wanted(None, number, size) for number in range(page.number + 1, last + 1))


def _read(cursor: Cursor, page: Page, rows: list[Identified], fresh: int, most_parts: int) -> Step:
    step = Step(rows_total=page.total, pages_total=page.pages)
    known, previous = unpack(cursor.known), unpack(cursor.previous)
    here: list[bytes] = []
    met = 0
    for index, row in enumerate(rows):
        identity = event_ids.digest(row.base)
        short = identity[: event_ids.SHORT_BYTES]
        here.append(short)
        if short in previous:
            step.repeats += 1
            continue
        previous.add(short)
        if short in known:
            step.repeats += 1
            met += 1
        elif row.wanted:
            step.keep.append(Kept(index, identity))
        else:
            step.left_out += 1
    held = (unpack(cursor.newest) | set(here)) if cursor.newest_cut is None else set[bytes]()
    seen = cursor.accounted + met
    ended = page.last or (cursor.high is not None and page.number >= cursor.high)
    if ended and cursor.high is not None:
        return step
    if ended:
        # Seen: every row of this pass, once. The next probe compares its total with it, and reads again if it differs.
        step.window = Window(None, pack(held) if len(held) <= MAX_REMEMBERED else "")
        step.before = seen
        return step
    step.next = cursor.model_copy(
        update={
            "phase": "forward",
            "page": page.number + 1,
            "total": page.total,
            "previous": pack(here),
            "accounted": seen,
            "pages": page.pages,
            "newest": pack(held) if len(held) <= MAX_REMEMBERED else "",
            "newest_cut": cursor.newest_cut if len(held) <= MAX_REMEMBERED else TOO_MANY,
        }
    )
    borders = parts(page.pages, most_parts) if cursor.phase == "first" else []
    for border, end in zip(borders, [*borders[1:], None], strict=False):
        part = Cursor(phase="forward", page=border + 1, low=border + 1, high=end, known=cursor.known, pages=page.pages)
        step.divided.append(part.model_copy(update={"newest_cut": TOO_MANY}))
    if borders:
        step.next = step.next.model_copy(update={"high": borders[0], "newest": "", "newest_cut": TOO_MANY})
    return step
