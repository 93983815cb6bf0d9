"""Reports are read completely and once, also while rows are appended and late ones come in the middle."""

import random
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from connectors.importer import step as steps
from schemas.import_task import Source
from tests.unit.importer.listing import Reader, Server, minute

CLICKS = Source(resource="report", client_id="c", time_zone="UTC", campaign_id="k", report="clicks")
RECIPIENTS = Source(resource="report", client_id="c", time_zone="UTC", campaign_id="k", report="recipients")


def click(number: int, person: int, at: int) -> dict:
    return {"EmailAddress": f"p{person}@example.com", "ListID": "l", "Date": minute(at), "URL": "u", "number": number}


def report(inclusive: bool, whole_days: bool) -> Server:
    """Rows of a minute stand in the order in which they came."""
    return Server(lambda row: (row["Date"], row["number"]), inclusive=inclusive, whole_days=whole_days)


servers = st.builds(report, st.booleans(), st.booleans())


@pytest.fixture(autouse=True)
def short_parts(monkeypatch):
    """Divide reads of few pages already."""
    monkeypatch.setattr(steps, "MIN_PAGES_PER_CHAIN", 2)


@settings(max_examples=150, deadline=None)
@given(
    server=servers,
    minutes=st.lists(st.integers(0, 40), max_size=150),
    people=st.integers(1, 4),
    parts=st.integers(1, 4),
    ahead=st.integers(0, 4),
    seed=st.integers(0, 1000),
)
def test_a_report_at_rest_is_read_once(server, minutes, people, parts, ahead, seed):
    server.rows = [click(number, number % people, at) for number, at in enumerate(minutes)]
    reader = Reader(server, CLICKS, most_parts=parts, ahead=ahead, seed=seed)
    ids = reader.run()
    assert len(ids) == len(set(ids)) == len(minutes)
    assert reader.run() == []
    again = Reader(server, CLICKS, most_parts=1, seed=seed + 1, size=20)
    assert sorted(again.run()) == sorted(ids), "the same rows have the same ids, however they are paged"


@settings(max_examples=200, deadline=None)
@given(
    server=servers,
    count=st.integers(0, 120),
    people=st.integers(1, 3),
    parts=st.integers(1, 4),
    ahead=st.integers(0, 4),
    late=st.booleans(),
    seed=st.integers(0, 10_000),
)
def test_rows_that_come_while_it_is_read_are_lost_neither_now_nor_later(
    server, count, people, parts, ahead, late, seed
):
    chance = random.Random(seed)
    server.rows = [click(number, chance.randrange(people), chance.randrange(30)) for number in range(count)]
    latest = 30

    def grow(turn: int) -> None:
        nonlocal latest
        for _row in range(chance.choice((0, 0, 1, 3))):
            latest += chance.choice((0, 0, 1, 5))
            at = chance.randrange(latest) if late and chance.random() < 0.4 else latest
            if len(server.rows) < count + 60:
                server.rows.append(click(len(server.rows), chance.randrange(people), at))

    reader = Reader(server, CLICKS, most_parts=parts, ahead=ahead, seed=seed)
    there = Counter(map(_what, server.rows))
    first = reader.run(grow)
    assert len(first) == len(set(first))
    assert not there - Counter(map(_what, reader.rows)), "what was there when the read began was read"
    reader.run(grow)
    reader.run()
    reader.run()
    if parts == 1 or not late:
        assert sorted(reader.published) == sorted(set(reader.published)), "nothing was published twice"
    # A late row that came before the part in which the newest are makes the whole report be read again, by id once.
    told = dict(zip(reader.published, reader.rows, strict=True))
    assert Counter(map(_what, told.values())) == Counter(map(_what, server.rows)), "and all of it was"
    assert reader.run() == []


def _what(row: dict) -> tuple:
    return row["EmailAddress"], row["Date"]


@settings(max_examples=100, deadline=None)
@given(count=st.integers(0, 130), parts=st.integers(1, 4), ahead=st.integers(0, 4), seed=st.integers(0, 1000))
def test_recipients_that_are_added_while_it_is_read_are_found(count, parts, ahead, seed):
    chance = random.Random(seed)
    server = Server(lambda row: (row["EmailAddress"],))
    server.rows = [{"EmailAddress": f"p{chance.random():.9f}@example.com", "ListID": "l"} for _ in range(count)]

    def grow(turn: int) -> None:
        if len(server.rows) < count + 30:
            server.rows += [
                {"EmailAddress": f"p{chance.random():.9f}@example.com", "ListID": "l"}
                for _ in range(chance.choice((0, 1, 2)))
            ]

    reader = Reader(server, RECIPIENTS, most_parts=parts, ahead=ahead, seed=seed)
    there = {row["EmailAddress"] for row in server.rows}
    reader.run(grow if parts == 1 else lambda turn: None)
    assert there <= {row["EmailAddress"] for row in reader.rows}
    reader.run()
    assert {row["EmailAddress"] for row in reader.rows} == {row["EmailAddress"] for row in server.rows}
    assert reader.run() == []


def test_a_report_of_many_pages_is_divided():
    server = report(True, False)
    server.rows = [click(number, 1, number // 3) for number in range(400)]
    reader = Reader(server, CLICKS, most_parts=4)
    assert len(set(reader.run())) == 400


def test_what_came_later_than_the_overlap_is_found_by_the_total():
    server = report(True, False)
    server.rows = [click(number, number, number * 60) for number in range(72)]
    reader = Reader(server, CLICKS)
    reader.run()
    server.rows.append(click(900, 5, 10))
    ids = reader.run()
    assert {row["EmailAddress"] for row in reader.rows if row["number"] == 900} == {"p5@example.com"}
    assert set(ids) - set(reader.published[:72]), "the late row is there"
    assert reader.run() == []
