"""What came of reading one page, whichever way its chain is read."""

from dataclasses import dataclass, field
from typing import NamedTuple

from connectors.importer.packed import Window
from schemas.import_task import Cursor

MIN_PAGES_PER_CHAIN = 8
"""A shorter part is not worth the page that its border costs."""


class Kept(NamedTuple):
    """A row to publish: its index in the page, and its id."""

    row: int
    id: bytes


@dataclass(slots=True)
class Step:
    """What to publish of a page, and what to read next."""

    keep: list[Kept] = field(default_factory=list)
    repeats: int = 0
    left_out: int = 0
    restarted: bool = False
    next: Cursor | None = None
    """None: the chain has come to its end."""
    divided: list[Cursor] = field(default_factory=list)
    """Parts of the same resource that other chains read from now on."""
    window: Window | None = None
    """At the end of the chain that read the newest rows: what the next run may take for known."""
    newest_date: str | None = None
    before: int = 0
    """With a window: rows that were accounted for before this run."""
    pages_total: int | None = None
    rows_total: int | None = None


class Wanted(NamedTuple):
    """The page that a cursor asks for."""

    anchor: str | None
    page: int
    size: int


PROBE_SIZE = 10
"""The smallest page that Campaign Monitor gives: enough to learn the total, or the date at a position."""


def parts(pages: int, most: int) -> list[int]:
    """Return the pages at which a read of so many pages is divided, ascending; none when it is not worth it."""
    count = min(most, pages // MIN_PAGES_PER_CHAIN)
    if count < 2:
        return []
    return [round(pages * part / count) for part in range(1, count)]
