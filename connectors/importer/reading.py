"""Which way a source is read: listings backward, reports by date, recipients by address (pure)."""

from typing import Literal

from connectors.campaign_monitor.entities import Page
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


def likely_next(source: Source, cursor: Cursor, page: Page, size: int) -> Wanted | None:
    """Guess the page after this one, so that it may be asked for while this one is published.

    A wrong guess costs one request; it never changes what is published.
    """
    asked = wanted(source, cursor, size)
    if asked.size != size:
        return None
    if way(source) != "backward":
        past = cursor.high is not None and page.number >= cursor.high
        return None if page.last or past else asked._replace(page=page.number + 1)
    if cursor.phase == "first":
        return None
    return asked._replace(page=cursor.page - 1) if cursor.phase == "down" and cursor.page > cursor.low else None
