"""Reading a report forward by date (pure): opens, clicks, bounces, unsubscribes, complaints.

Rows have no ids and equal rows are legitimate, so a row's ordinal counts equal rows of the same minute, from 0. Rows
of one minute are adjacent, so it is enough to remember the ids of the minute at which the last page ended.
Rows are appended while we read, and late ones appear in the middle: then rows move right, and the next page begins
with rows that we have. That shows in the total. Where it may have happened, the read starts again at the beginning of
the last minute, with `date` and page 1, which no shift can touch; ids remove what is read twice.
"""

from collections.abc import Iterator
from itertools import dropwhile

from connectors.campaign_monitor import events
from connectors.campaign_monitor.client.entities import Page
from connectors.campaign_monitor.events import pack, unpack
from connectors.importer.readers import late_rows
from connectors.importer.readers.reader import (
    MAX_REMEMBERED,
    PROBE_SIZE,
    KnownRows,
    NewestRows,
    OrderField,
    PageQuery,
    PageRead,
    forward_pages_left,
    minute_before,
)
from connectors.importer.readers.sketch import Sketch
from connectors.importer.translated import Translate, TranslatedRow
from schemas.import_task import Cursor, Mark, Source

MAX_HELD = 40_000
"""Rows of one minute, or of the repeated hour, that a task holds: 320 KB of text, where a record may have 1 MB. Fewer:
equal rows of a busy hour in autumn share an id; more: the task is refused by the brokers."""


class DateReader:
    """Reads a report whose rows are ordered by date."""

    order_field: OrderField = "date"

    def __init__(self, source: Source) -> None:
        self._since = source.read_since
        self._keeps_acts = source.report == "unsubscribes"
        self._widened = bool(source.published)

    def first_cursor(self, mark: Mark | None, accounted: int = 0) -> Cursor:
        """Return where a read begins. `accounted`: rows that earlier runs published or left out."""
        if mark is None:
            return Cursor(phase="first", anchor=self._since)
        return Cursor(
            phase="probe",
            anchor=self._since,
            known_from=mark.known_from,
            known=mark.known,
            accounted=accounted,
            sketch=mark.sketch,
            acts=mark.acts,
        )

    def page_query(self, cursor: Cursor, size: int) -> PageQuery:
        """Return the page that the cursor asks for."""
        if cursor.phase == "probe":
            return PageQuery(cursor.anchor, 1, PROBE_SIZE)
        return PageQuery(cursor.anchor, cursor.page, size)

    def read_page(self, cursor: Cursor, page: Page, translate: Translate, fresh: int, max_chains: int) -> PageRead:
        """Return what to publish of a page and what to read next.

        `fresh`: rows that this run has published or left out before this page.
        """
        if cursor.phase == "probe":
            return _read_probe(cursor, page)
        if self._widened and cursor.phase == "first" and cursor.expected is None:
            # The narrower read may have missed rows that came late, and its counters will not be seen to change.
            cursor = cursor.model_copy(update={"expected": page.total})
        if _moved(cursor, page, translate):
            return PageRead(restarted=True, next=_last_minute_again(cursor, self._since))
        read = _read(self._since, cursor, page, translate, fresh)
        return _with_acts(read, cursor) if self._keeps_acts else read

    def likely_next(self, cursor: Cursor, page: Page, size: int, max_chains: int) -> Iterator[PageQuery]:
        """Guess the pages that follow. Rows that moved between two answers show in the totals, in either order."""
        if cursor.phase != "probe":
            yield from (PageQuery(cursor.anchor, number, size) for number in range(page.number + 1, page.pages + 1))

    def pages_left(self, cursor: Cursor, page: Page | None) -> int:
        """Return how many pages the chain has left."""
        return forward_pages_left(cursor, page)

    def in_order(self, cursor: Cursor, page: Page) -> bool:
        """Return True: `read_page` recognises by the totals and ids which rows it has."""
        return True


def _read_probe(cursor: Cursor, page: Page) -> PageRead:
    if page.total == cursor.accounted:
        unchanged = KnownRows(cursor.known_from, cursor.known)
        return PageRead(
            known_rows=unchanged,
            accounted_before=cursor.accounted,
            sketch=cursor.sketch,
            acts=cursor.acts,
            rows_total=0,
            pages_total=1,
        )
    start: dict[str, object] = {
        "phase": "first",
        "expected": page.total,
        "accounted": min(cursor.accounted, page.total),
    }
    if cursor.known_from is not None:
        anchor = _anchor(cursor.known_from, cursor.anchor)
        start |= {"anchor": anchor, "floor": cursor.known_from}
    return PageRead(next=cursor.model_copy(update=start))


def _read(since: str | None, cursor: Cursor, page: Page, translate: Translate, fresh: int) -> PageRead:
    read = PageRead(rows_total=page.total, pages_total=page.pages)
    known, held = unpack(cursor.known) | unpack(cursor.previous), unpack(cursor.minute_ids)
    newest = NewestRows(cursor.newest, cursor.newest_date, cursor.newest_cut)
    near_end = page.total - page.number * page.size <= MAX_REMEMBERED
    rows = translate(page.rows, cursor.minute, held, cursor.clock)
    if rows and _begins_late(cursor, rows[0], since):
        return PageRead(restarted=True, next=cursor.model_copy(update={"anchor": _anchor(rows[0].counted, since)}))
    clock, minute = (rows[-1].clock, rows[-1].counted) if rows else (cursor.clock, cursor.minute)
    minute_ids = {row.event_id[: events.SHORT_BYTES] for row in rows if row.counted == minute}
    start = cursor.known_from
    if start is not None and (cursor.minute is None or cursor.minute < start):
        rows = list(dropwhile(lambda row: row.date < start, rows))
    late = cursor.late
    if late is not None:
        late = late_rows.read_rows(cursor, late, rows, known, read)
        if page.last or late_rows.is_over(cursor, late, rows):
            return late_rows.end_pass(cursor, late, since, fresh + len(read.new_rows) + read.left_out, read)
    else:
        cursor = _account(cursor, rows, known, newest if near_end else None, read)
        if rows and not near_end:
            newest.skip(rows[-1].date)
        if page.last:
            return _end(since, cursor, read, newest, fresh)
    read.next = cursor.model_copy(
        update={
            "phase": "forward",
            "page": page.number + 1,
            "total": page.total,
            "minute": minute,
            "minute_ids": _held_on(minute_ids, held if minute == cursor.minute else set()),
            "clock": clock,
            "newest": newest.packed(),
            "newest_date": newest.latest,
            "newest_cut": newest.cut,
            "pages": page.pages,
            "late": late,
        }
    )
    return read


def _held_on(here: set[bytes], before: set[bytes]) -> str:
    """Return the ids of the last minute, of which this page has `here`. Of too many only these."""
    return pack(here | before if len(here) + len(before) <= MAX_HELD else here)


def _account(
    cursor: Cursor, rows: list[TranslatedRow], known: set[bytes], newest: NewestRows | None, read: PageRead
) -> Cursor:
    """Publish rows or leave them out, and return the cursor that accounts for them. `newest`: remembers each."""
    widened = 0  # rows that an earlier read has counted and left out
    counted: list[bytes] = []
    for row in rows:
        short = row.event_id[: events.SHORT_BYTES]
        if newest is not None:
            newest.add(row.date, short)
        if short in known:
            read.repeats += 1
            continue
        if row.in_scope and not row.was_published:
            read.new_rows.append(row)
            widened += row.widens
        elif row.was_read:
            read.repeats += 1
        else:
            read.left_out += 1
        if not row.was_read:
            counted.append(short)
    if not widened and not counted:
        return cursor
    sketch = Sketch(cursor.sketch)
    sketch.add(counted)
    counts = {"accounted": cursor.accounted - widened, "widened": cursor.widened + widened}
    return cursor.model_copy(update={**counts, "sketch": sketch.packed()})


def _end(since: str | None, cursor: Cursor, read: PageRead, newest: NewestRows, fresh: int) -> PageRead:
    fresh += len(read.new_rows) + read.left_out
    known = newest.known_rows(cursor.floor)
    if cursor.expected is not None and cursor.accounted + fresh < cursor.expected:
        read.next = late_rows.search(cursor, since, known, newest.latest)
        return read
    read.known_rows, read.newest_date = known, newest.latest
    read.accounted_before, read.sketch = cursor.accounted, cursor.sketch
    return read


def _with_acts(read: PageRead, cursor: Cursor) -> PageRead:
    """Remember which unsubscribes the report holds: of the others the list's own listing shows when they were."""
    found = unpack(cursor.acts) | {row.event_id[: events.SHORT_BYTES] for row in read.new_rows}
    acts = pack(sorted(found)) if len(found) <= MAX_REMEMBERED else cursor.acts
    if read.next is not None:
        read.next = read.next.model_copy(update={"acts": acts})
    read.acts = acts
    return read


def _moved(cursor: Cursor, page: Page, translate: Translate) -> bool:
    """Return whether rows before this page may have moved since the page before it was read."""
    if cursor.total is None or page.total == cursor.total:
        return False
    if page.total < cursor.total or not page.rows:
        return True
    (first,) = translate(page.rows[:1], None, frozenset())
    if first.counted != cursor.minute:
        return first.counted < (cursor.minute or "")
    return first.event_id[: events.SHORT_BYTES] in unpack(cursor.minute_ids)


def _begins_late(cursor: Cursor, first: TranslatedRow, since: str | None) -> bool:
    """Return whether an increment begins within a stretch of repeated hours, all of which counts for ordinals."""
    if cursor.minute is not None or cursor.known_from is None or cursor.anchor is None or not first.clock:
        return False
    return _anchor(first.counted, since) < cursor.anchor


def _anchor(minute: str, since: str | None) -> str:
    """Return where to read from, to have all of a minute that is read at all."""
    return max(minute_before(minute), since or "")


def _last_minute_again(cursor: Cursor, since: str | None) -> Cursor:
    """Return the cursor that reads the last minute, or stretch of repeated hours, again, from its beginning."""
    start: dict[str, object] = {
        "phase": "forward",
        "page": 1,
        "total": None,
        "minute": None,
        "minute_ids": "",
        "clock": "",
    }
    if cursor.minute is not None:
        # Started again at the same minute, this pass may not have come as far as the one before: both are known.
        again = cursor.known_from is not None and cursor.known_from >= cursor.minute
        earlier = unpack(cursor.previous) if again else set()
        start |= {"anchor": _anchor(cursor.minute, since), "known_from": cursor.known_from if again else cursor.minute}
        start |= {"previous": pack(earlier | unpack(cursor.minute_ids))}
    return cursor.model_copy(update=start)
