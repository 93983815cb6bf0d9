"""Listings lose nobody while people leave them in the middle and come in at the end."""

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from connectors.importer import step as steps
from schemas.import_task import Source
from tests.unit.importer.listing import Reader, Server, minute

ACTIVE = Source(resource="users", client_id="c", time_zone="UTC", list_id="l", state="active")
SUPPRESSED = Source(resource="suppression", client_id="c", time_zone="UTC")


@pytest.fixture(autouse=True)
def short_parts(monkeypatch):
    """Divide reads of few pages already."""
    monkeypatch.setattr(steps, "MIN_PAGES_PER_CHAIN", 2)


def person(number: int, at: int) -> dict:
    return {"EmailAddress": f"p{number}@example.com", "Date": minute(at), "State": "Active", "number": number}


def listing(inclusive: bool) -> Server:
    return Server(lambda row: (row["Date"], row["number"]), inclusive=inclusive)


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
        for _one in range(chance.randint(0, min(leave, 12))):
            if server.rows and left < leave:
                left += 1
                gone = server.rows.pop(chance.randrange(len(server.rows)))
                stay.discard(gone["EmailAddress"])
        if came < 30:
            came += 1
            server.rows.append(person(1000 + came, minutes + came))

    reader = Reader(server, source, most_parts=parts, ahead=ahead, seed=seed)
    first = reader.run(move)
    read = {row["EmailAddress"] for row in reader.rows}
    assert stay <= read, "who was there all the time was read"
    if leave <= reader.size:
        assert len(first) == len(set(first)), "and nobody twice, unless more than a page full left meanwhile"
    reader.run()
    assert {row["EmailAddress"] for row in server.rows} <= {row["EmailAddress"] for row in reader.rows}
    if leave <= reader.size:
        assert len(reader.published) == len(set(reader.published))
    assert reader.run() == []


def test_the_next_read_asks_for_few_pages():
    server = listing(True)
    server.rows = [person(number, number * 60) for number in range(500)]
    reader = Reader(server, ACTIVE)
    reader.run()
    pages = reader.pages
    server.rows.append(person(999, 500 * 60))
    assert len(reader.run()) == 1
    assert reader.pages - pages <= 8


def test_an_edit_of_a_new_person_is_a_new_state():
    server = listing(True)
    server.rows = [person(number, number) for number in range(5)]
    reader = Reader(server, ACTIVE)
    reader.run()
    server.rows[4] = {**server.rows[4], "Name": "Ann"}
    assert len(reader.run()) == 1
    assert reader.run() == []
