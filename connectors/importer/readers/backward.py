"""Reading a listing from its last page to its first (pure): the five states of a list; `suppression` builds on it.

Ordered by date, oldest first: people come in at the end and may leave anywhere. When somebody leaves, all behind move
left. Read forward, a row would slip from the next page to one that we have; read backward it can only slip to a page
that is still to come. So nothing is lost, and what repeats is recognised by the ids of the page read before. Who came
in meanwhile has a date after the beginning, and is found by the catch-up read that follows a full one.
A long listing is divided at pages read first (borders): each chain reads down until it meets a row of its border.
"""

from collections.abc import Iterator

from connectors.campaign_monitor import events
from connectors.campaign_monitor.client.entities import Page
from connectors.campaign_monitor.events import pack, unpack
from connectors.importer.readers.reader import (
    UNKNOWN_PAGES,
    NewestRows,
    OrderField,
    PageQuery,
    PageRead,
    chain_borders,
    overlap_from,
)
from connectors.importer.translated import Translate
from schemas.import_task import Border, Cursor, Mark, Source


class BackwardReader:
    """Reads a listing of subscribers or the suppression list, newest rows first."""

    order_field: OrderField = "date"

    def __init__(self, source: Source) -> None:
        self._source = source

    def first_cursor(self, mark: Mark | None, accounted: int = 0) -> Cursor:
        """Return where a read begins: with a mark, shortly before what it knows."""
        if mark is None or mark.known_from is None:
            return Cursor(phase="first")
        start = Cursor(phase="first", known_from=mark.known_from, known=mark.known, floor=mark.known_from)
        if self._source.resource == "suppression":
            return start  # takes no date; the read ends at the first row that is known
        return start.model_copy(update={"anchor": mark.known_from})

    def page_query(self, cursor: Cursor, size: int) -> PageQuery:
        """Return the page that the cursor asks for."""
        page = cursor.borders[0] if cursor.phase == "borders" else cursor.page
        return PageQuery(cursor.anchor, page, size)

    def read_page(self, cursor: Cursor, page: Page, translate: Translate, fresh: int, max_chains: int) -> PageRead:
        """Return what to publish of a page and what to read next."""
        if cursor.phase == "first":
            if page.pages <= 1:
                return _read(cursor, page, translate)
            borders = chain_borders(page.pages, max_chains) if cursor.known_from is None else []
            start: dict[str, object] = {"page": page.pages, "pages": page.pages, "borders": borders}
            start["phase"] = "borders" if borders else "down"
            return PageRead(next=cursor.model_copy(update=start), rows_total=page.total, pages_total=page.pages)
        if cursor.phase == "borders":
            return _read_border(cursor, page, translate)
        return _read(cursor, page, translate)

    def likely_next(self, cursor: Cursor, page: Page, size: int, max_chains: int) -> Iterator[PageQuery]:
        """Guess the pages that follow. Borders may be read in any order; going down, one page must follow the other."""
        if cursor.phase == "down":
            following = [cursor.page - 1] if cursor.page > cursor.low else []
        elif cursor.phase == "borders":
            following = cursor.borders[1:] or [cursor.page]
        else:
            borders = chain_borders(page.pages, max_chains) if cursor.known_from is None else []
            following = borders or [page.pages]
        return (PageQuery(cursor.anchor, number, size) for number in following if page.pages > 1)

    def pages_left(self, cursor: Cursor, page: Page | None) -> int:
        """Return how many pages the chain has left."""
        if cursor.phase == "first":
            return UNKNOWN_PAGES if page is None else page.pages
        return max(cursor.page - cursor.low, 0)

    def in_order(self, cursor: Cursor, page: Page) -> bool:
        """Return True: pages are only prefetched in an order in which they may be read."""
        return True


def _read(cursor: Cursor, page: Page, translate: Translate) -> PageRead:
    rows = translate(page.rows, None, frozenset())
    read = PageRead(rows_total=page.total, pages_total=cursor.pages or page.pages)
    border = unpack(cursor.border.ids) if cursor.border else set()
    known = unpack(cursor.known) | unpack(cursor.previous)
    newest = NewestRows(cursor.newest, cursor.newest_date, cursor.newest_cut)
    here: list[bytes] = []
    met_border = met_known = False
    for row in reversed(rows):
        short = row.event_id[: events.SHORT_BYTES]
        here.append(short)
        if cursor.border is not None and (short in border or row.date < cursor.border.date):
            met_border = True
        if cursor.known_from is not None and row.date and row.date < cursor.known_from:
            met_known = True
            continue
        is_there = row.record is not None or row.was_published
        if is_there and cursor.newest_cut is None and not cursor.divided:
            newest.add(row.date, short)
        if short in known or short in border:
            read.repeats += 1
        else:
            read.new_rows.append(row)
    if rows and newest.latest is not None and rows[0].date < overlap_from(newest.latest):
        newest.skip(rows[0].date)  # older than any overlap: what follows need not be remembered
    held = newest.packed()
    number = cursor.page if cursor.phase == "down" else 1
    ended = (
        number <= 1
        or (met_known and not cursor.whole)
        or (cursor.border is not None and number < cursor.low and met_border)
    )
    if cursor.border is None and number <= cursor.low:
        ended = True
    if not ended:
        # The next page holds older rows; once a day lies between, they are no longer among the newest.
        update = {"phase": "down", "page": number - 1, "previous": pack(here), "newest": held}
        cut = newest.cut or cursor.newest_cut
        read.next = cursor.model_copy(update={**update, "newest_date": newest.latest, "newest_cut": cut})
        return read
    if not cursor.divided:
        if cursor.border is not None:
            newest.skip(cursor.border.last)  # other chains read from here on down
        read.known_rows, read.newest_date = newest.known_rows(cursor.floor), newest.latest
    return read


def _read_border(cursor: Cursor, page: Page, translate: Translate) -> PageRead:
    """Read the page at a border, and hand the part below it to a chain of its own."""
    rows = translate(page.rows, None, frozenset())
    read = PageRead(new_rows=rows, rows_total=page.total, pages_total=cursor.pages)
    ids = pack(row.event_id[: events.SHORT_BYTES] for row in rows)
    below = cursor.border
    here = Border(
        date=rows[0].date if rows else "", last=rows[-1].date if rows else "", ids=ids, page=cursor.borders[0]
    )
    read.divided.append(
        Cursor(
            phase="down",
            page=cursor.borders[0] - 1,
            low=(below.page + 1) if below else 1,
            border=below,
            previous=ids,
            divided=True,
            pages=cursor.pages,
        )
    )
    borders = cursor.borders[1:]
    update: dict[str, object] = {"borders": borders, "border": here, "low": here.page + 1, "parts": cursor.parts + 1}
    read.next = cursor.model_copy(update={**update, "phase": "borders" if borders else "down"})
    return read
