"""Reading a report forward by date (pure): opens, clicks, bounces, unsubscribes, complaints.

Rows have no ids and equal rows are legitimate, so a row's ordinal counts equal rows of the same minute, from 0. Rows
of one minute are adjacent, so it is enough to remember the ids of the minute at which the last page ended.
Rows are appended while we read, and late ones appear in the middle: then rows move right, and the next page begins
with rows that we have. That shows in the total. Where it may have happened, the read starts again at the beginning of
the last minute, with `date` and page 1, which no shift can touch; ids remove what is read twice.
"""

from collections.abc import Iterator
from math import ceil

from connectors.campaign_monitor import events
from connectors.campaign_monitor.client.entities import Page
from connectors.importer.readers.reader import (
    MAX_REMEMBERED,
    PROBE_SIZE,
    KnownRows,
    NewestRows,
    NewRow,
    OrderField,
    PageQuery,
    PageRead,
    chain_borders,
    minute_before,
    pack,
    unpack,
)
from connectors.importer.translate import RowIdentity
from schemas.import_task import Cursor, Mark, Source


class DateReader:
    """Reads a report whose rows are ordered by date."""

    order_field: OrderField = "date"

    def __init__(self, source: Source) -> None:
        self._since = source.since

    def first_cursor(self, mark: Mark | None, accounted: int = 0) -> Cursor:
        """Return where a read begins. `accounted`: rows that earlier runs published or left out."""
        if mark is None:
            return Cursor(phase="first", anchor=self._since)
        return Cursor(
            phase="probe", anchor=self._since, known_from=mark.known_from, known=mark.known, accounted=accounted
        )

    def page_query(self, cursor: Cursor, size: int) -> PageQuery:
        """Return the page that the cursor asks for."""
        if cursor.phase == "probe":
            return PageQuery(cursor.anchor, 1, PROBE_SIZE)
        if cursor.phase == "cuts":
            return PageQuery(cursor.anchor, (cursor.borders[0] - 1) * (size // PROBE_SIZE) + 1, PROBE_SIZE)
        return PageQuery(cursor.anchor, cursor.page, size)

    def read_page(self, cursor: Cursor, page: Page, rows: list[RowIdentity], fresh: int, max_chains: int) -> PageRead:
        """Return what to publish of a page and what to read next.

        `fresh`: rows that this run has published or left out before this page.
        """
        if cursor.phase == "probe":
            return _read_probe(cursor, page)
        if cursor.phase == "cuts":
            return _read_cut(cursor, page, rows)
        if _moved(cursor, page, rows):
            return PageRead(restarted=True, next=_last_minute_again(cursor))
        return _read(self._since, cursor, page, rows, fresh, max_chains)

    def likely_next(self, cursor: Cursor, page: Page, size: int, max_chains: int) -> Iterator[PageQuery]:
        """Guess the pages that follow. Rows that moved between two answers show in the totals, in either order."""
        if cursor.phase == "probe":
            return
        borders = cursor.borders[1:]
        if cursor.phase == "first" and cursor.known_from is None:
            borders = [border for border in chain_borders(page.pages, max_chains) if border > 1]
        if borders:
            cuts = cursor.model_copy(update={"phase": "cuts"})
            yield from (self.page_query(cuts.model_copy(update={"borders": [border]}), size) for border in borders)
        elif cursor.phase == "cuts":
            yield PageQuery(cursor.anchor, cursor.page, size)
        else:
            last = page.pages if cursor.high is None else min(page.pages, cursor.high)
            yield from (PageQuery(cursor.anchor, number, size) for number in range(page.number + 1, last + 1))

    def in_order(self, cursor: Cursor, page: Page) -> bool:
        """Return True: `read_page` recognises by the totals and ids which rows it has."""
        return True


def _read_probe(cursor: Cursor, page: Page) -> PageRead:
    if page.total == cursor.accounted:
        unchanged = KnownRows(cursor.known_from, cursor.known)
        return PageRead(known_rows=unchanged, accounted_before=cursor.accounted, rows_total=0, pages_total=1)
    start: dict[str, object] = {
        "phase": "first",
        "expected": page.total,
        "accounted": min(cursor.accounted, page.total),
    }
    if cursor.known_from is not None:
        anchor = max(minute_before(cursor.known_from), cursor.anchor or "")
        start |= {"anchor": anchor, "floor": cursor.known_from}
    return PageRead(next=cursor.model_copy(update=start))


def _read(
    since: str | None, cursor: Cursor, page: Page, rows: list[RowIdentity], fresh: int, max_chains: int
) -> PageRead:
    read = PageRead()
    known, held = unpack(cursor.known) | unpack(cursor.previous), unpack(cursor.minute_ids)
    newest = NewestRows(cursor.newest, cursor.newest_date, cursor.newest_cut)
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
        event_id = events.digest(row.base, ordinal)
        while held and event_id[: events.SHORT_BYTES] in held:
            ordinal += 1
            event_id = events.digest(row.base, ordinal)
        ordinals[row.base] = ordinal
        short = event_id[: events.SHORT_BYTES]
        minute_ids.append(short)
        if near_end:
            newest.add(row.date, short)
        elif cursor.until is None:
            newest.skip(row.date)
        if short in known:
            read.repeats += 1
        elif row.in_scope:
            read.new_rows.append(NewRow(index, event_id))
        else:
            read.left_out += 1
    read.rows_total, read.pages_total = page.total, page.pages
    if ended or page.last:
        return _end(since, cursor, read, newest, fresh)
    read.next = cursor.model_copy(
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
    # Only a full read is divided: an increment is short, and its end must see whether all that was expected has come.
    full = cursor.phase == "first" and cursor.known_from is None
    borders = [border for border in chain_borders(page.pages, max_chains) if border > 1] if full else []
    if borders:
        read.next = read.next.model_copy(update={"phase": "cuts", "borders": borders})
    return read


def _end(since: str | None, cursor: Cursor, read: PageRead, newest: NewestRows, fresh: int) -> PageRead:
    if cursor.until is not None:
        return read
    fresh += len(read.new_rows) + read.left_out
    if cursor.expected is not None and not cursor.deep and cursor.accounted + fresh < cursor.expected:
        # Rows came later than the overlap reaches back. Everything is read again; ids remove what is read twice.
        read.next = Cursor(phase="first", anchor=since, accounted=-fresh, deep=True)
        return read
    read.known_rows, read.newest_date = newest.known_rows(cursor.floor), newest.latest
    read.accounted_before = cursor.accounted
    return read


def _read_cut(cursor: Cursor, page: Page, rows: list[RowIdentity]) -> PageRead:
    """Learn the date at a border; when all are known, divide the rest of the report among chains."""
    cuts = list(cursor.cuts)
    if rows:
        cut = rows[0].date[:16]
        if cut > (cuts[-1] if cuts else cursor.minute or ""):
            cuts.append(cut)
    borders = cursor.borders[1:]
    if borders:
        return PageRead(next=cursor.model_copy(update={"borders": borders, "cuts": cuts}))
    read = PageRead()
    # Only a guess, for prefetching: a part ends at the first row of the next one.
    width = ceil(cursor.pages / (len(cuts) + 1))
    for cut, until in zip(cuts, [*cuts[1:], None], strict=False):
        read.divided.append(
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
    read.next = cursor.model_copy(update={"phase": "forward", "borders": [], "cuts": [], **rest})
    return read


def _moved(cursor: Cursor, page: Page, rows: list[RowIdentity]) -> bool:
    """Return whether rows before this page may have moved since the page before it was read."""
    if cursor.total is None or page.total == cursor.total:
        return False
    if page.total < cursor.total or not rows:
        return True
    first = rows[0]
    if first.date[:16] != cursor.minute:
        return first.date[:16] < (cursor.minute or "")
    return events.digest(first.base)[: events.SHORT_BYTES] in unpack(cursor.minute_ids)


def _last_minute_again(cursor: Cursor) -> Cursor:
    """Return the cursor that reads the last minute again, from its beginning."""
    start: dict[str, object] = {"phase": "forward", "page": 1, "total": None, "minute": None, "minute_ids": ""}
    if cursor.minute is not None:
        # Started again at the same minute, this pass may not have come as far as the one before: both are known.
        earlier = unpack(cursor.previous) if cursor.known_from == cursor.minute else set()
        start |= {"anchor": minute_before(cursor.minute), "known_from": cursor.minute}
        start |= {"previous": pack(earlier | unpack(cursor.minute_ids))}
    return cursor.model_copy(update=start)
