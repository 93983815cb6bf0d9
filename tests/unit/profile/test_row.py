"""A profile as bytes and back; the ids that it remembers."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.mapping.catalog import read_catalog
from streams.mapping.fields import Fields, Shape
from streams.profile.folding.row import (
    ENTRY_BYTES,
    KEPT_ANYWAY,
    WINDOW_MINUTES,
    AddressHistory,
    OutgoingTransfer,
    Profile,
    ProfileCodec,
    WrongMappingError,
    both,
    entry,
    fingerprint,
    remember,
    seen,
)

VERSION = "0123456789abcdef"
LAYOUT = read_catalog(
    [("s.lql", "SELECT x AS b, set(x) AS a, count(x) AS c, y AS d FROM s INTO user BY email(email)")]
).layout
SHAPE = Shape(LAYOUT)
CODEC = ProfileCodec(VERSION, LAYOUT)


def counted(n: int) -> Fields:
    return Fields(SHAPE, {"c": n}, [None, None, None])


def test_fields_come_out_in_order_however_they_came_in():
    profile = CODEC.empty()
    profile.fields.add(2)
    profile.fields.insert(1, "2", 7)
    profile.fields.latest(0, "x", 5, 6)
    value, state = CODEC.encode(profile)
    assert value == b'{"b":"x","a":["2"],"c":1}'
    assert CODEC.encode(CODEC.decode(b"k", value, state)) == (value, state)


@given(
    st.lists(st.tuples(st.integers(0, 2**40), st.text())),
    st.lists(st.text()),
    st.none() | st.integers(0, 2**40),
    st.binary(max_size=60).map(lambda raw: raw[: len(raw) // ENTRY_BYTES * ENTRY_BYTES]),
)
def test_ways_and_ids_survive(to, came_from, erased_at, ids):
    for moving in (None, OutgoingTransfer("id", "b@x.com", 5)):
        profile = Profile(counted(1), ids, AddressHistory(to, came_from, moving, erased_at))
        assert CODEC.decode(b"k", *CODEC.encode(profile)) == profile


def test_no_profile_is_a_tombstone_that_remembers():
    value, state = CODEC.encode(Profile(Fields(SHAPE), b"i" * ENTRY_BYTES, AddressHistory([(5, "b@x.com")])))
    assert value is None
    assert CODEC.decode(b"k", None, state).history == AddressHistory([(5, "b@x.com")])
    assert CODEC.decode(b"k", None, b"") == CODEC.empty()


def test_rows_of_other_mappings_are_refused():
    other = ProfileCodec("fedcba9876543210", LAYOUT)
    with pytest.raises(WrongMappingError, match="version 0123456789abcdef, and version fedcba9876543210 runs"):
        other.decode(b"k", *CODEC.encode(Profile(counted(1))))


@given(st.lists(st.text() | st.uuids().map(lambda it: it.hex), unique=True, max_size=80), st.text())
def test_ids_are_known_again(event_ids, other):
    ids = b""
    for minute, event_id in enumerate(event_ids):
        assert not seen(ids, fingerprint(event_id))
        ids, early = remember(ids, entry(fingerprint(event_id), minute))
        assert early == 0
    assert all(seen(ids, fingerprint(event_id)) for event_id in event_ids)
    assert seen(ids, fingerprint(other)) == (other in event_ids)
    assert both(ids, ids)[0] == ids


def test_ids_that_only_count_up_are_told_apart():
    marks = {fingerprint(f"{number:032x}") for number in range(1000)} | {
        fingerprint(f"{n << 64:032x}") for n in range(1000)
    }
    assert len(marks) == 1999


def test_old_ids_go_when_there_are_many_and_young_ones_only_at_the_cap():
    ids, lost = b"", 0
    for number in range(KEPT_ANYWAY):
        ids = remember(ids, entry(fingerprint(str(number)), 0))[0]
    ids = remember(ids, entry(fingerprint("late"), WINDOW_MINUTES))[0]
    assert seen(ids, fingerprint("0"))
    ids = remember(ids, entry(fingerprint("later"), WINDOW_MINUTES + 1))[0]
    assert (seen(ids, fingerprint("0")), seen(ids, fingerprint("late"))) == (False, True)
    for number in range(200):
        ids, early = remember(ids, entry(fingerprint(f"n{number}"), WINDOW_MINUTES + 1), cap=100)
        lost += early
    assert len(ids) == 100 * ENTRY_BYTES
    assert lost > 0
    assert seen(ids, fingerprint("n199"))
