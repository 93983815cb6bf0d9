"""Reading the recipients of a campaign (pure): forward, by address, for they have no date.

A person is sent a campaign once per list, so a row's id needs no ordinal, and what is read twice is recognised by it.
People are added while a campaign is being sent: rows move right and repeat, which the ids of the last page remove;
those added behind us are missed, which the total shows, and then the next run reads again. Should rows move left, the
page before is read again.
"""

from collections.abc import Iterator

from connectors.campaign_monitor import events
from connectors.campaign_monitor.client.entities import Page
from connectors.campaign_monitor.events import pack, unpack
from connectors.importer.readers import late_rows
from connectors.importer.readers.reader import (
    MAX_REMEMBERED,
    PROBE_SIZE,
    KnownRows,
    OrderField,
    PageQuery,
    PageRead,
    forward_pages_left,
)
from connectors.importer.readers.sketch import Sketch
from connectors.importer.translated import Translate
from schemas.import_task import Cursor, LateRows, Mark

TOO_MANY = "too many"
"""In place of a date: the rows were not remembered one by one."""


class EmailReader:
    """Reads a report whose rows are ordered by address."""

    order_field: OrderField = "email"

    def first_cursor(self, mark: Mark | None, accounted: int = 0) -> Cursor:
        """Return where a read begins. `accounted`: rows that earlier runs published or left out."""
        if mark is None:
            return Cursor(phase="first")
        return Cursor(phase="probe", known=mark.known, accounted=accounted, sketch=mark.sketch)

    def page_query(self, cursor: Cursor, size: int) -> PageQuery:
        """Return the page that the cursor asks for."""
        return PageQuery(None, 1, PROBE_SIZE) if cursor.phase == "probe" else PageQuery(None, cursor.page, size)

    def read_page(self, cursor: Cursor, page: Page, translate: Translate, fresh: int, max_chains: int) -> PageRead:
        """Return what to publish of a page and what to read next.

        `fresh`: rows that this run has published or left out before this page.
        """
        if cursor.phase == "probe":
            if page.total == cursor.accounted:
                return PageRead(
                    known_rows=KnownRows(None, cursor.known),
                    accounted_before=cursor.accounted,
                    sketch=cursor.sketch,
                    rows_total=0,
                    pages_total=1,
                )
            if cursor.accounted and not cursor.known:
                return PageRead(next=late_rows.search(cursor, None, KnownRows(None, "")))
            return PageRead(next=cursor.model_copy(update={"phase": "first", "accounted": 0, "sketch": ""}))
        if cursor.total is not None and page.total < cursor.total and cursor.page > 1:
            back = {"page": cursor.page - 1, "total": page.total}
            return PageRead(restarted=True, next=cursor.model_copy(update=back))
        if cursor.late is not None:
            return _search(cursor, cursor.late, page, translate, fresh)
        return _read(cursor, page, translate)

    def likely_next(self, cursor: Cursor, page: Page, size: int, max_chains: int) -> Iterator[PageQuery]:
        """Guess the pages that follow."""
        if cursor.phase != "probe":
            yield from (PageQuery(None, number, size) for number in range(page.number + 1, page.pages + 1))

    def pages_left(self, cursor: Cursor, page: Page | None) -> int:
        """Return how many pages the chain has left."""
        return forward_pages_left(cursor, page)

    def in_order(self, cursor: Cursor, page: Page) -> bool:
        """Return whether the total is still that of the page before.

        Only that page's ids are known, so an answer from before it must not be read after it.
        """
        return cursor.total is None or page.total == cursor.total


def _read(cursor: Cursor, page: Page, translate: Translate) -> PageRead:
    read = PageRead(rows_total=page.total, pages_total=page.pages)
    known, previous = unpack(cursor.known), unpack(cursor.previous)
    here: list[bytes] = []
    counted: list[bytes] = []
    met = 0
    for row in translate(page.rows, None, frozenset()):
        short = row.event_id[: events.SHORT_BYTES]
        here.append(short)
        if short in previous:
            read.repeats += 1
            continue
        previous.add(short)
        counted.append(short)
        if short in known or row.was_published:
            read.repeats += 1
            met += 1
        elif row.in_scope:
            read.new_rows.append(row)
        else:
            read.left_out += 1
    held = (unpack(cursor.newest) | set(here)) if cursor.newest_cut is None else set[bytes]()
    begins = cursor.phase == "first"  # what a narrower read has counted is read again
    seen = (0 if begins else cursor.accounted) + met
    sketch = Sketch("" if begins else cursor.sketch)
    sketch.add(counted)
    if page.last:
        # Seen: every row of this pass, once. The next probe compares its total with it, and reads again if it differs.
        read.known_rows = KnownRows(None, pack(held) if len(held) <= MAX_REMEMBERED else "")
        read.accounted_before, read.sketch = seen, sketch.packed()
        return read
    read.next = cursor.model_copy(
        update={
            "phase": "forward",
            "page": page.number + 1,
            "total": page.total,
            "previous": pack(here),
            "accounted": seen,
            "sketch": sketch.packed(),
            "pages": page.pages,
            "newest": pack(held) if len(held) <= MAX_REMEMBERED else "",
            "newest_cut": cursor.newest_cut if len(held) <= MAX_REMEMBERED else TOO_MANY,
        }
    )
    return read


def _search(cursor: Cursor, late: LateRows, page: Page, translate: Translate, fresh: int) -> PageRead:
    """Find the people that were added to a report which is too large to be remembered one by one."""
    read = PageRead(rows_total=page.total, pages_total=page.pages)
    rows = translate(page.rows, None, frozenset())
    late = late_rows.read_rows(cursor, late, rows, unpack(cursor.previous), read)
    if page.last or late_rows.is_over(cursor, late, rows):
        return late_rows.end_pass(cursor, late, None, fresh + len(read.new_rows) + read.left_out, read)
    here = pack(row.event_id[: events.SHORT_BYTES] for row in rows)
    update = {"phase": "forward", "page": page.number + 1, "total": page.total, "previous": here, "late": late}
    read.next = cursor.model_copy(update={**update, "pages": page.pages})
    return read
