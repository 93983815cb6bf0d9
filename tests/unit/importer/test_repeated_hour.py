"""The hour that clocks repeat in autumn: rows are dated by their order, and none is lost or doubled in it."""

import random
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from connectors.campaign_monitor.client.entities import Page
from connectors.campaign_monitor.dates import ClientDates
from connectors.importer.readers import by_date
from connectors.importer.readers.reader import PageQuery
from schemas.import_task import Source
from tests.unit.importer.fake_pages import FakePages, ReadLoop

CLICKS = Source(resource="report", client_id="c", time_zone="", campaign_id="k", report="clicks")
AUTUMNS = {
    "Europe/Berlin": datetime(2026, 10, 25, 0, tzinfo=UTC),
    "America/New_York": datetime(2026, 11, 1, 5, tzinfo=UTC),
    "Australia/Lord_Howe": datetime(2026, 4, 4, 14, 30, tzinfo=UTC),
    "Antarctica/Troll": datetime(2026, 10, 24, 23, tzinfo=UTC),
}
"""Zone -> when its repeated hour begins for the first time."""


class Server(FakePages):
    """Orders and filters by instants, as a server does that knows them; `fold`: which pass a `date` means to it."""

    zone: ZoneInfo
    fold: int

    def page(self, request: PageQuery) -> Page:
        rows = sorted(self.rows, key=lambda row: (row["at"], row["number"]))
        if request.anchor:
            since = datetime.fromisoformat(request.anchor).replace(tzinfo=self.zone, fold=self.fold)
            rows = [row for row in rows if row["at"] >= since + timedelta(minutes=not self.inclusive)]
        size = request.size
        here = rows[(request.page - 1) * size : request.page * size]
        pages = max(1, -(-len(rows) // size))
        return Page(list(here), "date", "asc", request.page, size, len(here), len(rows), pages)


def server(zone: str, inclusive: bool, fold: int) -> Server:
    made = Server(lambda row: (), inclusive=inclusive)
    made.zone, made.fold = ZoneInfo(zone), fold
    return made


def click(of: Server, number: int, person: int, at: datetime) -> dict:
    date = f"{at.astimezone(of.zone):%Y-%m-%d %H:%M}:00"
    return {"EmailAddress": f"p{person}@b.example", "ListID": "l", "Date": date, "URL": "u", "number": number, "at": at}


def expected(of: Server) -> list[str]:
    """When rows happened, as their order shows it: a clock that shows less than before is in its second pass."""
    shown, found = "", []
    for row in sorted(of.rows, key=lambda row: (row["at"], row["number"])):
        second = row["at"].astimezone(of.zone).fold == 1
        if second and row["Date"] < shown:
            shown = "9999"
        elif second or row["Date"] >= shown:
            shown = row["Date"]
        local = datetime.fromisoformat(row["Date"]).replace(tzinfo=of.zone, fold=second and shown == "9999")
        shown = shown if second or shown != "9999" else ""
        found.append(f"{local.astimezone(UTC):%Y-%m-%dT%H:%M}:00.000Z")
    return sorted(found)


reads = {
    "zone": st.sampled_from(sorted(AUTUMNS)),
    "inclusive": st.booleans(),
    "fold": st.integers(0, 1),
    "people": st.integers(1, 3),
    "ahead": st.integers(0, 3),
    "seed": st.integers(0, 10_000),
}


@settings(max_examples=200, deadline=None)
@given(minutes=st.lists(st.integers(-30, 270), max_size=90), **reads)
def test_rows_are_dated_by_their_order_and_equal_ones_an_hour_apart_are_two(
    minutes, zone, inclusive, fold, people, ahead, seed
):
    of = server(zone, inclusive, fold)
    of.rows = [
        click(of, number, number % people, AUTUMNS[zone] + timedelta(minutes=at)) for number, at in enumerate(minutes)
    ]
    loop = ReadLoop(of, CLICKS, zone=zone, ahead=ahead, seed=seed)
    ids = loop.run()
    assert len(set(ids)) == len(ids) == len(minutes)
    assert sorted(loop.dated) == expected(of)
    assert loop.run() == []
    other = ReadLoop(of, CLICKS, zone=zone, size=30)
    assert sorted(other.run()) == sorted(ids), "the same rows have the same ids, however they are paged"


@settings(max_examples=200, deadline=None)
@given(count=st.integers(0, 80), late=st.booleans(), **reads)
def test_rows_that_come_in_it_and_on_the_next_day_are_lost_and_doubled_by_no_run(
    count, late, zone, inclusive, fold, people, ahead, seed
):
    chance = random.Random(seed)
    of, begin = server(zone, inclusive, fold), AUTUMNS[zone]
    now = -40

    def come(rows: int, minutes: int) -> None:
        nonlocal now
        for _row in range(rows):
            now += chance.randint(0, minutes)
            at = now - chance.randrange(200) if late and chance.random() < 0.2 else now
            of.rows.append(click(of, len(of.rows), chance.randrange(people), begin + timedelta(minutes=at)))

    def grow(_turn: int) -> None:
        if len(of.rows) < count + 40:
            come(chance.choice((0, 0, 1, 3)), 5)

    loop = ReadLoop(of, CLICKS, zone=zone, ahead=ahead, seed=seed)
    come(count, 4)
    for _run in range(3):
        loop.run(grow)
    now = max(now, 23 * 60 + chance.randrange(240))  # the overlap of a day begins in the repeated hour
    for _run in range(3):
        come(chance.randint(0, 5), 20)
        loop.run()
    loop.run()
    assert len(loop.published) == len(set(loop.published)), "nothing was published twice"
    assert len(loop.published) == len(of.rows), "and all of it was"
    assert loop.run() == []


def test_of_too_many_rows_in_one_hour_a_task_holds_the_last_page_only(monkeypatch):
    monkeypatch.setattr(by_date, "MAX_HELD", 25)
    of = server("Europe/Berlin", True, 0)
    begin = AUTUMNS["Europe/Berlin"]
    of.rows = [click(of, number, number, begin + timedelta(minutes=number)) for number in range(59)]
    loop = ReadLoop(of, CLICKS, zone="Europe/Berlin")
    assert len(set(loop.run())) == 59
    assert loop.run() == []


@pytest.mark.parametrize(
    ("zone", "text", "begin", "end"),
    [
        ("Europe/Berlin", "2026-10-25 02:59:59", "2026-10-25 02:00", "2026-10-25 03:00"),
        ("Europe/Berlin", "2026-10-25 03:00:00", None, None),
        ("Europe/Berlin", "2026-10-25 01:59:59", None, None),
        ("Europe/Berlin", "2026-03-29 02:30:00", None, None),
        ("Europe/Berlin", "soon", None, None),
        ("Europe/Berlin", "", None, None),
        ("Europe/Berlin", "2026-10-25 02:30:00+02:00", None, None),
        ("Australia/Lord_Howe", "2026-04-05 01:30", "2026-04-05 01:30", "2026-04-05 02:00"),
        ("Australia/Lord_Howe", "2026-04-05 01:29", None, None),
        ("Antarctica/Troll", "2026-10-25 02:30:00", "2026-10-25 01:00", "2026-10-25 03:00"),
        ("Asia/Tokyo", "2026-10-25 02:30:00", None, None),
    ],
)
def test_what_clocks_repeat(zone, text, begin, end):
    hour = ClientDates(ZoneInfo(zone)).repeated(text)
    assert (hour and hour.begin, hour and hour.end) == (begin, end)


@given(
    instant=st.datetimes(datetime(2020, 1, 1), datetime(2036, 1, 1), timezones=st.just(UTC)),
    minutes=st.integers(0, 400),
    zone=st.sampled_from(sorted(AUTUMNS)),
    near=st.one_of(st.none(), st.integers(0, 59)),
)
def test_filters_hold_both_passes(instant, minutes, zone, near):
    """What happened since an instant has a date from `minute_filter` on, and is read as of `date_from` or later."""
    instant = instant if near is None else AUTUMNS[zone] + timedelta(minutes=near)
    dates, other = ClientDates(ZoneInfo(zone)), instant + timedelta(minutes=minutes)
    shown = f"{dates.local(other):%Y-%m-%d %H:%M}"
    assert shown >= dates.minute_filter(instant)
    assert dates.utc_text(shown) >= dates.date_from(instant)
