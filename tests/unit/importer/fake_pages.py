"""Ten lines of a server with paged rows, and a loop that reads it the way the connector does."""

import random
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import islice
from zoneinfo import ZoneInfo

import orjson

from connectors.campaign_monitor.client.entities import Page
from connectors.campaign_monitor.dates import ClientDates
from connectors.importer.fetch import date_filter
from connectors.importer.readers import reader_for
from connectors.importer.readers.reader import PageQuery
from connectors.importer.translate import RowTranslator
from schemas.import_task import Cursor, Mark, Source

START = datetime(2026, 3, 1, 12, 0)


def minute(number: int) -> str:
    return f"{START + timedelta(minutes=number):%Y-%m-%d %H:%M}:00"


@dataclass
class FakePages:
    """Rows in the order of `key`; `inclusive` and `whole_days` are what is not known of the real one."""

    key: Callable[[dict], tuple]
    rows: list[dict] = field(default_factory=list)
    inclusive: bool = True
    whole_days: bool = False

    def page(self, request: PageQuery) -> Page:
        rows = sorted(self.rows, key=self.key)
        if request.anchor:
            since = (
                request.anchor if len(request.anchor) > 10 and not self.whole_days else request.anchor[:10] + " 00:00"
            )
            rows = [row for row in rows if row["Date"][:16] > since or (self.inclusive and row["Date"][:16] == since)]
        size = request.size
        here = rows[(request.page - 1) * size : request.page * size]
        pages = max(1, -(-len(rows) // size))
        return Page(list(here), "date", "asc", request.page, size, len(here), len(rows), pages)


@dataclass
class PrefetchedPage:
    """A page that was requested ahead; it is answered at some time, maybe after those requested later."""

    request: PageQuery
    page: Page | None = None

    def answered(self, answer: Callable[[PageQuery], Page]) -> Page:
        if self.page is None:
            self.page = answer(self.request)
        return self.page


@dataclass
class ReadChain:
    """A chain: its cursor, how many of its rows counted, and what was prefetched of it."""

    cursor: Cursor
    fresh: int = 0
    prefetched: list[PrefetchedPage] = field(default_factory=list)

    def page(self, answer: Callable[[PageQuery], Page], source: Source, request: PageQuery) -> Page:
        if self.prefetched and self.prefetched[0].request == request:
            page = self.prefetched.pop(0).answered(answer)
            if reader_for(source).in_order(self.cursor, page):
                return page
        self.prefetched.clear()
        return answer(request)


@dataclass
class ReadLoop:
    """Reads a source to its end, chain by chain in random order, with something happening between the pages.

    Up to `ahead` pages of each chain are prefetched.
    """

    server: FakePages
    source: Source
    size: int = 10
    max_chains: int = 1
    ahead: int = 0
    seed: int = 0
    published: list[str] = field(default_factory=list)
    rows: list[dict] = field(default_factory=list)
    dated: list[str] = field(default_factory=list)
    mark: Mark | None = None
    accounted: int = 0
    sketch: str = ""
    removed: list[str] = field(default_factory=list)
    pages: int = 0
    zone: str = "UTC"

    def run(
        self, between: Callable[[int], None] = lambda page: None, *, full: bool = False, widen: bool = False
    ) -> list[str]:
        """Return the ids that this run published."""
        dates = ClientDates(ZoneInfo(self.zone))
        translator = RowTranslator(self.source, "job", dates, "2026-01-01T00:00:00.000Z")
        order = random.Random(self.seed)
        reader = reader_for(self.source)
        first = reader.first_cursor(None if full else self.mark, self.accounted)
        if widen:
            first = first.model_copy(update={"accounted": self.accounted, "sketch": self.sketch})
        chains = [ReadChain(first)]
        fresh_ids: list[str] = []
        fresh_all = before = 0
        known_rows, sketch = None, ""

        def answer(request: PageQuery) -> Page:
            return self.server.page(request._replace(anchor=date_filter(self.source, request.anchor, dates)))

        for turn in range(10_000):
            if not chains:
                break
            chain = chains.pop(order.randrange(len(chains)))
            cursor, fresh = chain.cursor, chain.fresh
            page = chain.page(answer, self.source, reader.page_query(cursor, self.size))
            guesses = reader.likely_next(cursor, page, self.size, self.max_chains)
            for number, guess in enumerate(islice(guesses, self.ahead)):
                if number == len(chain.prefetched):
                    chain.prefetched.append(PrefetchedPage(guess))
            self.pages += 1
            raw: dict[bytes, dict] = {}

            def translate(rows, minute, held, clock="", raw=raw):
                translated = translator.translate(rows, minute, held, clock)
                raw.update(zip((row.event_id for row in translated), rows, strict=True))
                return translated

            read = reader.read_page(cursor, page, translate, fresh, self.max_chains)
            # The page was read: from here on the world may change before the next one is.
            between(turn)
            for prefetched in (page for any_chain in (chain, *chains) for page in any_chain.prefetched):
                if order.random() < 0.3:
                    prefetched.answered(answer)
            fresh_ids += [new.event_id.hex() for new in read.new_rows]
            self.dated += [orjson.loads(new.record.value)["at"] for new in read.new_rows if new.record is not None]
            self.rows += [raw[new.event_id] for new in read.new_rows]
            fresh += len(read.new_rows) + read.left_out
            fresh_all += len(read.new_rows) + read.left_out
            chains += [ReadChain(part) for part in read.divided]
            if read.next is not None:
                chains.append(ReadChain(Cursor.from_bytes(read.next.to_bytes()), fresh, chain.prefetched))
            self.removed += read.removed
            if read.known_rows is not None:
                known_rows, before, sketch = read.known_rows, read.accounted_before, read.sketch
        else:
            raise AssertionError("the read does not end")
        assert known_rows is not None, "no chain read the newest rows"
        known = {"known_from": known_rows.known_from, "known": known_rows.known, "sketch": sketch}
        self.mark, self.sketch = Mark(job_id="job", run=1, chain="c", **known), sketch
        self.accounted = before + fresh_all
        self.published += fresh_ids
        return fresh_ids
