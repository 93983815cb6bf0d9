"""Which way a source is read: listings backward, reports by date, recipients by address (pure)."""

from collections.abc import Iterator
from typing import Literal

from connectors.campaign_monitor.client.entities import Page
from connectors.importer import backward, by_date, by_email
from connectors.importer.step import Step, Wanted
from connectors.importer.translate import Identified
from schemas.import_task import Cursor, Mark, Source

Way = Literal["backward", "by_date", "by_email"]


def way(source: Source) -> Way:
    """Return how the source is read."""
    if source.resource in ("users", "suppression"):
        return "backward"
    if source.resource == "report" and source.report == "recipients":
        return "by_email"
    return "by_date"


def begin(source: Source, mark: Mark | None, accounted: int = 0) -> Cursor:
    """Return where a read begins; `mark` is what the last finished read left, None for a full read."""
    match way(source):
        case "backward":
            return backward.begin(source, mark)
        case "by_date":
            return by_date.begin(source, mark, accounted)
        case "by_email":
            return by_email.begin(mark, accounted)


def wanted(source: Source, cursor: Cursor, size: int) -> Wanted:
    """Return the page that the cursor asks for; `size` is the size of a whole page."""
    match way(source):
        case "backward":
            return backward.wanted(cursor, size)
        case "by_date":
            return by_date.wanted(cursor, size)
        case "by_email":
            return by_email.wanted(cursor, size)


def take(source: Source, cursor: Cursor, page: Page, rows: list[Identified], fresh: int, most_parts: int) -> Step:
    """Return what to publish of a page and what to read next.

    `fresh`: rows that this chain has published or left out before in this run; `most_parts`: how many chains may
    share a long read.
    """
    match way(source):
        case "backward":
            return backward.take(cursor, page, rows, most_parts)
        case "by_date":
            return by_date.take(source, cursor, page, rows, fresh, most_parts)
        case "by_email":
            return by_email.take(cursor, page, rows, fresh, most_parts)


def likely_next(source: Source, cursor: Cursor, page: Page, size: int, most_parts: int) -> Iterator[Wanted]:
    """Guess the pages after this one, in order, so that they may be asked for while this one is published.

    A wrong guess costs one request; it never changes what is published. Several are on their way at once, and may be
    answered in any order, so only pages are named that may be read in any order, after this one.
    """
    match way(source):
        case "backward":
            return backward.likely_next(cursor, page, size, most_parts)
        case "by_date":
            return by_date.likely_next(cursor, page, size, most_parts)
        case "by_email":
            return by_email.likely_next(cursor, page, size, most_parts)


def in_order(source: Source, cursor: Cursor, page: Page) -> bool:
    """Say whether a page that was asked for ahead may be taken as one that was read after the page before it.

    A read by date finds out itself which rows it has. A read by address knows the page before only, so it must not
    meet an older answer; while the total stays the same there is none.
    """
    return way(source) != "by_email" or cursor.total is None or page.total == cursor.total
