"""What the three ways of reading a source have in common: the protocol, and what reading one page gives (pure)."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Literal, NamedTuple, Protocol

from connectors.campaign_monitor.client.entities import Page
from connectors.importer.readers.remembered import KnownRows
from connectors.importer.translate import RowIdentity
from schemas.import_task import Cursor, Mark

MIN_PAGES_PER_CHAIN = 8
"""A shorter part is not worth the page that its border costs."""

PROBE_SIZE = 10
"""The smallest page that Campaign Monitor gives: enough to learn the total, or the date at a position."""


OrderField = Literal["date", "email"]


class PageQuery(NamedTuple):
    """The page that a cursor asks for. `anchor`: the date from which rows are numbered, None for all rows."""

    anchor: str | None
    page: int
    size: int


class NewRow(NamedTuple):
    """A row to publish: its index in the page, and the 16 bytes of its event id."""

    row_index: int
    event_id: bytes


@dataclass(slots=True)
class PageRead:
    """What to publish of a page, and what to read next."""

    new_rows: list[NewRow] = field(default_factory=list)
    repeats: int = 0
    """Rows that were known and are not published again."""
    left_out: int = 0
    """Rows that are out of the job's scope: they count, but are not published."""
    restarted: bool = False
    """Whether rows had moved, so that nothing of this page counts and a part is read again."""
    next: Cursor | None = None
    """Where the chain goes on; None when it is at its end."""
    divided: list[Cursor] = field(default_factory=list)
    """Parts of the same source that other chains read from now on."""
    known_rows: KnownRows | None = None
    """At the end of the chain that read the newest rows: what the next run may take for known."""
    newest_date: str | None = None
    accounted_before: int = 0
    """With `known_rows`: rows that were accounted for before this run."""
    pages_total: int | None = None
    rows_total: int | None = None


class SourceReader(Protocol):
    """A way to read one source to its end, page by page."""

    order_field: OrderField
    """How the API is asked to order the rows, ascending."""

    def first_cursor(self, mark: Mark | None, accounted: int = 0) -> Cursor:
        """Return where a read begins.

        `mark`: what the last finished read left, None for a full read; `accounted`: rows that earlier runs published
        or left out.
        """

    def page_query(self, cursor: Cursor, size: int) -> PageQuery:
        """Return the page that the cursor asks for; `size` is the size of a whole page."""

    def read_page(self, cursor: Cursor, page: Page, rows: list[RowIdentity], fresh: int, max_chains: int) -> PageRead:
        """Return what to publish of a page and what to read next.

        `fresh`: rows that this chain has published or left out before in this run; `max_chains`: how many chains may
        share a long read.
        """

    def likely_next(self, cursor: Cursor, page: Page, size: int, max_chains: int) -> Iterator[PageQuery]:
        """Guess the pages after this one, in order, so that they may be requested while this one is published.

        A wrong guess costs one request; it never changes what is published. Several are in flight at once, and may be
        answered in any order, so only pages are named that may be read in any order, after this one.
        """

    def in_order(self, cursor: Cursor, page: Page) -> bool:
        """Return whether a prefetched page may be used as one that was read after the page before it."""


def chain_borders(pages: int, max_chains: int) -> list[int]:
    """Return the pages at which a read of so many pages is divided, ascending; none when it is not worth it."""
    count = min(max_chains, pages // MIN_PAGES_PER_CHAIN)
    if count < 2:
        return []
    return [round(pages * part / count) for part in range(1, count)]
