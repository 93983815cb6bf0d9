"""Ten lines of a server with paged rows, and a driver that reads it the way the connector does."""

import random
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import islice
from zoneinfo import ZoneInfo

from connectors.campaign_monitor.client.entities import Page
from connectors.campaign_monitor.dates import ClientDates
from connectors.importer import reading
from connectors.importer.step import Wanted
from connectors.importer.translate import Translator
from schemas.import_task import Cursor, Mark, Source

START = datetime(2026, 3, 1, 12, 0)


def minute(number: int) -> str:
    return f"{START + timedelta(minutes=number):%Y-%m-%d %H:%M}:00"


@dataclass
class Server:
    """Rows in the order of `key`; `inclusive` and `whole_days` are what is not known of the real one."""

    key: Callable[[dict], tuple]
    rows: list[dict] = field(default_factory=list)
    inclusive: bool = True
    whole_days: bool = False

    def page(self, wanted: Wanted) -> Page:
        rows = sorted(self.rows, key=self.key)
        if wanted.anchor:
            since = wanted.anchor if len(wanted.anchor) > 10 and not self.whole_days else wanted.anchor[:10] + " 00:00"
            rows = [row for row in rows if row["Date"][:16] > since or (self.inclusive and row["Date"][:16] == since)]
        size = wanted.size
        here = rows[(wanted.page - 1) * size : wanted.page * size]
        pages = max(1, -(-len(rows) // size))
        return Page(list(here), "date", "asc", wanted.page, size, len(here), len(rows), pages)


@dataclass
class Asked:
    """A page that was asked for ahead; it is answered at some time, maybe after those asked for later."""

    wanted: Wanted
    page: Page | None = None

    def answered(self, server: Server) -> Page:
        if self.page is None:
            self.page = server.page(self.wanted)
        return self.page


@dataclass
class Chain:
    """A chain: where it stands, how many rows it told of, and what was asked for ahead of it."""

    cursor: Cursor
    fresh: int = 0
    asked: list[Asked] = field(default_factory=list)

    def page(self, server: Server, source: Source, wanted: Wanted) -> Page:
        if self.asked and self.asked[0].wanted == wanted:
            page = self.asked.pop(0).answered(server)
            if reading.in_order(source, self.cursor, page):
                return page
        self.asked.clear()
        return server.page(wanted)


@dataclass
class Reader:
    """Reads a source to its end, chain by chain in random order, with something happening between the pages.

    Up to `ahead` pages of each chain are asked for ahead.
    """

    server: Server
    source: Source
    size: int = 10
    most_parts: int = 1
    ahead: int = 0
    seed: int = 0
    published: list[str] = field(default_factory=list)
    rows: list[dict] = field(default_factory=list)
    mark: Mark | None = None
    accounted: int = 0
    pages: int = 0

    def run(self, between: Callable[[int], None] = lambda page: None, *, full: bool = False) -> list[str]:
        """Return the ids that this run published."""
        translator = Translator(self.source, "job", ClientDates(ZoneInfo("UTC")), "2026-01-01T00:00:00.000Z")
        order = random.Random(self.seed)
        chains = [Chain(reading.begin(self.source, None if full else self.mark, self.accounted))]
        fresh_ids: list[str] = []
        fresh_all = before = 0
        window = None
        for turn in range(10_000):
            if not chains:
                break
            chain = chains.pop(order.randrange(len(chains)))
            cursor, fresh = chain.cursor, chain.fresh
            page = chain.page(self.server, self.source, reading.wanted(self.source, cursor, self.size))
            guesses = reading.likely_next(self.source, cursor, page, self.size, self.most_parts)
            for number, guess in enumerate(islice(guesses, self.ahead)):
                if number == len(chain.asked):
                    chain.asked.append(Asked(guess))
            self.pages += 1
            rows = [translator.identify(row) for row in page.rows]
            step = reading.take(self.source, cursor, page, rows, fresh, self.most_parts)
            # The page was read: from here on the world may change before the next one is.
            between(turn)
            for one in (asked for any_chain in (chain, *chains) for asked in any_chain.asked):
                if order.random() < 0.3:
                    one.answered(self.server)
            fresh_ids += [kept.id.hex() for kept in step.keep]
            self.rows += [page.rows[kept.row] for kept in step.keep]
            fresh += len(step.keep) + step.left_out
            fresh_all += len(step.keep) + step.left_out
            chains += [Chain(part) for part in step.divided]
            if step.next is not None:
                chains.append(Chain(Cursor.from_bytes(step.next.to_bytes()), fresh, chain.asked))
            if step.window is not None:
                window, before = step.window, step.before
        else:
            raise AssertionError("the read does not end")
        assert window is not None, "no chain read the newest rows"
        self.mark = Mark(job_id="job", run=1, chain="c", known_from=window.known_from, known=window.known)
        self.accounted = before + fresh_all
        self.published += fresh_ids
        return fresh_ids
