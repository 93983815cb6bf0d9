"""What the three ways of reading a source have in common: the protocol, and what reading one page gives (pure).

Tasks and marks carry sets of event ids as short text, so that known rows are recognised. All dates are instants in UTC
(`YYYY-MM-DDTHH:MM`, maybe longer), so that they mean the same after the client has chosen another time zone.
"""

from base64 import b64decode, b64encode
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Literal, NamedTuple, Protocol

from connectors.campaign_monitor.client.entities import Page
from connectors.campaign_monitor.events import SHORT_BYTES, pack
from connectors.campaign_monitor.repeated_hours import stretch_at
from connectors.importer.translated import Translate, TranslatedRow
from schemas.import_task import Cursor, Mark

MAX_REMEMBERED = 5_000
"""Rows that a mark or cursor remembers one by one: 67 KB of text in each task at most. Fewer: bursts in the last day
outgrow it and the overlap gets shorter; more: every page carries them."""

OVERLAP = timedelta(hours=24)
"""Rows may appear this late with their own, earlier date, and are still found. Also covers the repeated hour of autumn
and a clock that differs from Campaign Monitor's."""

_MINUTE_BYTES = 5
_ENTRY = _MINUTE_BYTES + SHORT_BYTES


class KnownRows(NamedTuple):
    """The newest rows of a read: which are remembered, and from when on all are."""

    known_from: str | None
    known: str


class NewestRows:
    """Collects (minute, id) of the newest rows of a read, over several pages."""

    def __init__(self, packed: str = "", latest: str | None = None, cut: str | None = None) -> None:
        joined = b64decode(packed) if packed else b""
        self._entries = [joined[start : start + _ENTRY] for start in range(0, len(joined), _ENTRY)]
        self.latest = latest
        self.cut = cut
        """The newest minute that is not held whole; None while all rows are held."""

    def add(self, date: str, short: bytes) -> None:
        """Remember a row; one whose date cannot be read is left out."""
        minute = date[:16]
        number = _minute_bytes(minute)
        if number is None:
            return
        self._entries.append(number + short)
        if self.latest is None or date > self.latest:
            self.latest = date

    def skip(self, date: str) -> None:
        """Leave a row out: its minute, and all before, are not held whole."""
        minute = date[:16]
        if _minute_bytes(minute) is None:
            return
        if self.cut is None or minute > self.cut:
            self.cut = minute
        if self.latest is None or date > self.latest:
            self.latest = date

    def packed(self) -> str:
        """Return what is held, no more than the bounds allow."""
        self._trim()
        return b64encode(b"".join(self._entries)).decode() if self._entries else ""

    def known_rows(self, floor: str | None) -> KnownRows:
        """Return what the next read may take for known: everything before `known_from`, and these ids from then on.

        `floor`: this read began there, so earlier rows are not among those held, but known all the same.
        """
        if self.latest is None:
            return KnownRows(floor, "")
        self._trim()
        start = max(overlap_from(self.latest), floor or "")
        if self.cut is not None:
            start = max(start, text_of(instant_of(self.cut) + timedelta(minutes=1)))
        first = _minute_bytes(start) or b""
        return KnownRows(start, pack(entry[_MINUTE_BYTES:] for entry in self._entries if entry >= first))

    def ids(self) -> str:
        """Return the ids of the rows that are held, packed."""
        return pack(entry[_MINUTE_BYTES:] for entry in self._entries)

    def _trim(self) -> None:
        if self.latest is None:
            return
        first = _minute_bytes(overlap_from(self.latest)) or b""
        self._entries = sorted({entry for entry in self._entries if entry >= first})
        if len(self._entries) <= MAX_REMEMBERED:
            return
        dropped = self._entries[: -MAX_REMEMBERED or None]
        self._entries = self._entries[-MAX_REMEMBERED:]
        self.skip(_minute_text(dropped[-1][:_MINUTE_BYTES]))


def instant_of(date: str) -> datetime:
    """Return the minute of a row's date. Raises ValueError."""
    return datetime.fromisoformat(date[:16]).replace(tzinfo=UTC)


def text_of(instant: datetime) -> str:
    """Return a minute as rows compare with it."""
    return instant.isoformat()[:16]


@lru_cache(maxsize=4_096)
def overlap_from(latest: str) -> str:
    """Return from when on rows are remembered, by the date of the latest.

    Not from within hours that some zone repeats: before and after the client chooses another zone, rows there may have
    different dates.
    """
    start = instant_of(latest) - OVERLAP
    stretch = stretch_at(start)
    return text_of(start if stretch is None else stretch.begin)


def minute_before(date: str) -> str:
    """Return the minute before: it is not known whether `date` in a request includes its own rows."""
    return text_of(instant_of(date) - timedelta(minutes=1))


@lru_cache(maxsize=4_096)
def _minute_bytes(minute: str) -> bytes | None:
    """Return `YYYY-MM-DDTHH:MM` as bytes in the order of time, None for what is no such minute."""
    try:
        date = instant_of(minute)
    except ValueError:
        return None
    return int(f"{date:%Y%m%d%H%M}").to_bytes(_MINUTE_BYTES)


def _minute_text(packed: bytes) -> str:
    digits = f"{int.from_bytes(packed):012}"
    return f"{digits[:4]}-{digits[4:6]}-{digits[6:8]}T{digits[8:10]}:{digits[10:]}"


MIN_PAGES_PER_CHAIN = 6
"""A shorter part is not worth the page that its border costs."""

PROBE_SIZE = 10
"""The smallest page that Campaign Monitor gives: enough to learn the total, or the date at a position."""


UNKNOWN_PAGES = 1_000_000
"""Left of what nobody has seen yet: it is looked at first, because it may be the longest."""

OrderField = Literal["date", "email"]


class PageQuery(NamedTuple):
    """The page that a cursor asks for. `anchor`: the instant from which rows are numbered, None for all rows."""

    anchor: str | None
    page: int
    size: int


@dataclass(slots=True)
class PageRead:
    """What to publish of a page, and what to read next."""

    new_rows: list[TranslatedRow] = field(default_factory=list)
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
    sketch: str = ""
    """With `known_rows`, of a report: the sketch of the ids of all rows that are accounted for."""
    acts: str = ""
    """With it, of unsubscribes: these ids."""
    late_left_out: str = ""
    """With it: packed ids of rows that came late and are out of the job's scope."""
    removed: list[str] = field(default_factory=list)
    """With it, of a suppression list: addresses that were taken off it since the last read."""
    unnamed: int = 0
    """Instead: how many were, at least, when they are too many to be named."""
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

    def read_page(self, cursor: Cursor, page: Page, translate: Translate, fresh: int, max_chains: int) -> PageRead:
        """Return what to publish of a page and what to read next.

        `fresh`: rows that this chain has published or left out before in this run; `max_chains`: how many chains may
        share a long read.
        """

    def likely_next(self, cursor: Cursor, page: Page, size: int, max_chains: int) -> Iterator[PageQuery]:
        """Guess the pages after this one, in order, so that they may be requested while this one is published.

        A wrong guess costs one request; it never changes what is published. Several are in flight at once, and may be
        answered in any order, so only pages are named that may be read in any order, after this one.
        """

    def pages_left(self, cursor: Cursor, page: Page | None) -> int:
        """Return how many pages the chain has left; `page`: the one it read last. UNKNOWN_PAGES before the first."""

    def in_order(self, cursor: Cursor, page: Page) -> bool:
        """Return whether a prefetched page may be used as one that was read after the page before it."""


def chain_borders(pages: int, max_chains: int) -> list[int]:
    """Return the pages at which a read of so many pages is divided, ascending; none when it is not worth it."""
    count = min(max_chains, pages // MIN_PAGES_PER_CHAIN)
    if count < 2:
        return []
    return [round(pages * part / count) for part in range(1, count)]


def forward_pages_left(cursor: Cursor, page: Page | None) -> int:
    """Return how many pages a read from the first page to the last has left."""
    if page is not None:
        return max(page.pages - page.number, 0)
    return max(cursor.pages - cursor.page + 1, 0) if cursor.pages else UNKNOWN_PAGES
