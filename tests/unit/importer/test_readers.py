"""Sources are read completely and each row once, whatever comes, leaves and moves while they are read.

Listings lose nobody while people leave in the middle and come in at the end; reports lose no row while rows are
appended and late ones appear in the middle.
"""

import random
from collections import Counter
from hashlib import blake2b

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from connectors.importer.readers import by_email
from connectors.importer.readers import reader as readers
from connectors.importer.readers.sketch import Sketch
from schemas.import_task import Source
from tests.unit.importer.fake_pages import FakePages, ReadLoop, minute

ACTIVE = Source(resource="users", client_id="c", time_zone="UTC", list_id="l", state="active")
SUPPRESSED = Source(resource="suppression", client_id="c", time_zone="UTC")
CLICKS = Source(resource="report", client_id="c", time_zone="UTC", campaign_id="k", report="clicks")
RECIPIENTS = Source(resource="report", client_id="c", time_zone="UTC", campaign_id="k", report="recipients")


@pytest.fixture(autouse=True)
def short_parts(monkeypatch):
    """Divide reads of few pages already."""
    monkeypatch.setattr(readers, "MIN_PAGES_PER_CHAIN", 2)


def person(number: int, at: int) -> dict:
    return {"EmailAddress": f"p{number}@example.com", "Date": minute(at), "State": "Active", "number": number}


def listing(inclusive: bool) -> FakePages:
    return FakePages(lambda row: (row["Date"], row["number"]), inclusive=inclusive)


@settings(max_examples=250, deadline=None)
@given(
    inclusive=st.booleans(),
    source=st.sampled_from([ACTIVE, SUPPRESSED]),
    count=st.integers(0, 200),
    minutes=st.sampled_from([1, 10, 5000]),
    parts=st.integers(1, 5),
    ahead=st.integers(0, 4),
    leave=st.integers(0, 60),
    seed=st.integers(0, 10_000),
)
def test_who_stays_is_read_once_whoever_leaves(inclusive, source, count, minutes, parts, ahead, leave, seed):
    chance = random.Random(seed)
    server = listing(inclusive)
    server.rows = [person(number, chance.randrange(minutes)) for number in range(count)]
    stay = {row["EmailAddress"] for row in server.rows}
    came = left = 0

    def move(turn: int) -> None:
        nonlocal came, left
        for _leaver in range(chance.randint(0, min(leave, 12))):
            if server.rows and left < leave:
                left += 1
                leaver = server.rows.pop(chance.randrange(len(server.rows)))
                stay.discard(leaver["EmailAddress"])
        if came < 30:
            came += 1
            server.rows.append(person(1000 + came, minutes + came))

    loop = ReadLoop(server, source, max_chains=parts, ahead=ahead, seed=seed)
    first = loop.run(move)
    read = {row["EmailAddress"] for row in loop.rows}
    assert stay <= read, "who was there all the time was read"
    if leave <= loop.size:
        assert len(first) == len(set(first)), "and nobody twice, unless more than a page full left meanwhile"
    loop.run()
    assert {row["EmailAddress"] for row in server.rows} <= {row["EmailAddress"] for row in loop.rows}
    if leave <= loop.size:
        assert len(loop.published) == len(set(loop.published))
    assert loop.run() == []


def test_the_next_read_asks_for_few_pages():
    server = listing(True)
    server.rows = [person(number, number * 60) for number in range(500)]
    loop = ReadLoop(server, ACTIVE)
    loop.run()
    pages = loop.pages
    server.rows.append(person(999, 500 * 60))
    assert len(loop.run()) == 1
    assert loop.pages - pages <= 8


def test_an_edit_of_a_new_person_is_a_new_state():
    server = listing(True)
    server.rows = [person(number, number) for number in range(5)]
    loop = ReadLoop(server, ACTIVE)
    loop.run()
    server.rows[4] = {**server.rows[4], "Name": "Ann"}
    assert len(loop.run()) == 1
    assert loop.run() == []


def click(number: int, person: int, at: int) -> dict:
    return {"EmailAddress": f"p{person}@example.com", "ListID": "l", "Date": minute(at), "URL": "u", "number": number}


def report(inclusive: bool, whole_days: bool) -> FakePages:
    """Rows of a minute are in the order in which they came."""
    return FakePages(lambda row: (row["Date"], row["number"]), inclusive=inclusive, whole_days=whole_days)


servers = st.builds(report, st.booleans(), st.booleans())


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
    loop = ReadLoop(server, CLICKS, max_chains=parts, ahead=ahead, seed=seed)
    ids = loop.run()
    assert len(ids) == len(set(ids)) == len(minutes)
    assert loop.run() == []
    other = ReadLoop(server, CLICKS, max_chains=1, seed=seed + 1, size=20)
    assert sorted(other.run()) == sorted(ids), "the same rows have the same ids, however they are paged"


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

    loop = ReadLoop(server, CLICKS, max_chains=parts, ahead=ahead, seed=seed)
    there = Counter(map(_what, server.rows))
    first = loop.run(grow)
    assert len(first) == len(set(first))
    assert not there - Counter(map(_what, loop.rows)), "what was there when the read began was read"
    loop.run(grow)
    loop.run()
    loop.run()
    assert sorted(loop.published) == sorted(set(loop.published)), "nothing was published twice"
    by_id = dict(zip(loop.published, loop.rows, strict=True))
    assert Counter(map(_what, by_id.values())) == Counter(map(_what, server.rows)), "and all of it was"
    assert loop.run() == []


def _what(row: dict) -> tuple:
    return row["EmailAddress"], row["Date"]


@settings(max_examples=100, deadline=None)
@given(count=st.integers(0, 130), parts=st.integers(1, 4), ahead=st.integers(0, 4), seed=st.integers(0, 1000))
def test_recipients_that_are_added_while_it_is_read_are_found(count, parts, ahead, seed):
    chance = random.Random(seed)
    server = FakePages(lambda row: (row["EmailAddress"],))
    server.rows = [{"EmailAddress": f"p{chance.random():.9f}@example.com", "ListID": "l"} for _ in range(count)]

    def grow(turn: int) -> None:
        if len(server.rows) < count + 30:
            server.rows += [
                {"EmailAddress": f"p{chance.random():.9f}@example.com", "ListID": "l"}
                for _ in range(chance.choice((0, 1, 2)))
            ]

    loop = ReadLoop(server, RECIPIENTS, max_chains=parts, ahead=ahead, seed=seed)
    there = {row["EmailAddress"] for row in server.rows}
    loop.run(grow if parts == 1 else lambda turn: None)
    assert there <= {row["EmailAddress"] for row in loop.rows}
    loop.run()
    assert {row["EmailAddress"] for row in loop.rows} == {row["EmailAddress"] for row in server.rows}
    assert loop.run() == []


def test_a_report_of_many_pages_is_divided():
    server = report(True, False)
    server.rows = [click(number, 1, number // 3) for number in range(400)]
    loop = ReadLoop(server, CLICKS, max_chains=4)
    assert len(set(loop.run())) == 400


@settings(max_examples=120, deadline=None)
@given(
    server=servers,
    count=st.integers(0, 300),
    late=st.lists(st.integers(0, 20_000), max_size=30),
    gone=st.integers(0, 3),
    lists=st.sampled_from([[], ["l"], ["other"]]),
    seed=st.integers(0, 1000),
)
def test_of_what_came_later_than_the_overlap_only_that_is_published(server, count, late, gone, lists, seed):
    chance = random.Random(seed)
    source = CLICKS.model_copy(update={"lists": lists})
    server.rows = [click(number, chance.randrange(3), chance.randrange(20_000)) for number in range(count)]
    loop = ReadLoop(server, source, seed=seed)
    loop.run()
    for number, at in enumerate(late):
        server.rows.append(click(1000 + number, chance.randrange(3), at))
    for _row in range(min(gone, count)):
        server.rows.remove(next(row for row in server.rows if row["number"] < 1000))
    for _run in range(4):
        loop.run()
    assert len(loop.published) == len(set(loop.published)), "nothing was published twice"
    if not gone and lists != ["other"]:
        assert Counter(map(_what, loop.rows)) == Counter(map(_what, server.rows))
    assert loop.run() == []


def test_a_late_row_is_found_by_the_total_and_published_alone():
    """901 rows were published for it, 900 of them a second time."""
    server = report(True, False)
    server.rows = [click(number, number, number * 60) for number in range(72)]
    loop = ReadLoop(server, CLICKS)
    loop.run()
    server.rows.append(click(900, 5, 10))
    loop.run()
    assert [row["number"] for row in loop.rows[72:]] == [900]
    assert loop.run() == []


def test_people_added_to_a_large_report_of_recipients_are_published_alone(monkeypatch):
    monkeypatch.setattr(by_email, "MAX_REMEMBERED", 20)
    server = FakePages(lambda row: (row["EmailAddress"],))
    server.rows = [{"EmailAddress": f"p{number:03}@example.com", "ListID": "l"} for number in range(300)]
    loop = ReadLoop(server, RECIPIENTS)
    loop.run()
    server.rows += [{"EmailAddress": f"p{number:03}x@example.com", "ListID": "l"} for number in (0, 17, 299)]
    assert len(loop.run()) == 3
    assert len(set(loop.published)) == 303
    assert loop.run() == []


def _hashed(numbers: range) -> set[bytes]:
    return {blake2b(b"%d" % number, digest_size=6).digest() for number in numbers}


@settings(max_examples=400, deadline=None)
@given(st.integers(0, 1 << 40), st.integers(0, 40), st.integers(0, 70), st.integers(0, 70))
def test_the_difference_of_two_sketches_is_that_of_their_sets_or_is_not_read(start, both, added, gone):
    """Cells that hold ids of both sets looked like one id, which was added and taken out for ever."""
    stay, come, leave = (
        _hashed(range(start + at, start + at + count)) for at, count in ((0, both), (50, added), (150, gone))
    )
    before, now = Sketch(), Sketch()
    before.add(stay | leave)
    now.add(stay | come)
    found = Sketch(now.packed()).since(Sketch(before.packed()))
    assert found is None or (found.added, found.gone) == (come, leave)


def test_nearly_all_differences_of_a_hundred_ids_are_read():
    read = 0
    for start in range(0, 20_000, 100):
        before, now = Sketch(), Sketch()
        before.add(_hashed(range(start, start + 50)))
        now.add(_hashed(range(start + 50, start + 100)))
        read += now.since(before) is not None
    assert read > 190


def test_a_difference_that_is_too_large_is_no_wrong_one():
    before, now = Sketch(), Sketch()
    now.add([blake2b(b"%d" % number, digest_size=6).digest() for number in range(2_000)])
    assert now.since(before) is None
